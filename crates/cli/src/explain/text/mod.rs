//! Answers for people at a terminal. One file per kind of answer; `sheet` is what they are written on.

mod limits;
mod names;
mod pages;
mod retries;
mod sheet;

use super::entries::{Answer, Document};
use sheet::Sheet;

/// The answer, laid out for a terminal of that width.
pub(super) fn text(document: &Document, width: usize, colour: bool) -> String {
    let mut sheet = Sheet::new(width, colour);
    match &document.answer {
        Answer::Limits(limits) => limits::write(&mut sheet, limits),
        Answer::Retries(retries) => retries::write(&mut sheet, retries),
        Answer::Counter(counter) => pages::counter(&mut sheet, counter),
        Answer::Reason { reasons } => pages::reasons(&mut sheet, reasons),
        Answer::Rule(rule) => pages::rule(&mut sheet, rule),
        Answer::Finding { page, .. } => return page.clone(),
        Answer::Counters { counters } => {
            names::write(&mut sheet, counters);
            sheet.hint("`halfopen explain counter NAME` says what moves it, and on which kernels.");
        }
        Answer::Reasons { reasons } => {
            names::write(&mut sheet, reasons);
            sheet.hint("`halfopen explain reason NAME` says what it means and what it does not.");
        }
        Answer::Rules { rules, findings } => {
            names::write(&mut sheet, rules);
            names::write(&mut sheet, findings);
            sheet.hint("`halfopen explain rule ID` prints the page of either.");
        }
    }
    sheet.finish()
}
