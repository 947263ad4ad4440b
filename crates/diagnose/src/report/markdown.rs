pub(super) fn markdown(report: &super::Report) -> String { report.summary.clone() }
