//! Lists of names, a line each.

use halfopen_diagnose::report::layout::columns;

use super::sheet::Sheet;
use crate::explain::entries::NameEntry;

/// Writes them under the headings of what they belong to.
pub(super) fn write(sheet: &mut Sheet, names: &[NameEntry]) {
    let width = names.iter().map(|name| columns(&name.name)).max().unwrap_or(0);
    for group in names.chunk_by(|a, b| a.of == b.of) {
        let Some(first) = group.first() else { continue };
        let (subject, text) = heading(&first.of);
        sheet.title(subject, text);
        for name in group {
            sheet.named(&name.name, width + 4, &name.meaning);
        }
        sheet.blank();
    }
}

fn heading(of: &str) -> (&str, &'static str) {
    match of {
        "rule" => ("RULES", "of the kernel"),
        "finding" => ("FINDINGS", "of halfopen check"),
        "kernel drop" => ("DROP REASONS", "of the kernel, in tracepoint skb:kfree_skb"),
        "kernel reset" => ("RESET REASONS", "of the kernel, in tracepoint tcp:tcp_send_reset"),
        "model" => ("MODEL", "halfopen's own reasons, finer than the kernel's"),
        "TcpExt" => (of, "in /proc/net/netstat"),
        _ => (of, "in /proc/net/snmp"),
    }
}
