//! How many TCP sockets the network namespace of the calling thread has.
//!
//! `/proc/net/sockstat` counts IPv4 sockets and, on its own for both families, TIME_WAIT and orphans;
//! `/proc/net/sockstat6` counts IPv6 sockets (net/ipv4/proc.c `sockstat_seq_show`). Orphans are
//! counted for the whole host.

use std::path::Path;

use halfopen_evidence::{Missing, Reading, TcpUse};

use crate::files;

/// Reads the figures below this directory (`/proc/thread-self/net`).
pub(crate) fn read(net: &Path) -> Reading<TcpUse> {
    let path = net.join("sockstat");
    let text = match files::read(&path) {
        Ok(text) => text,
        Err(why) => return why.into(),
    };
    let figures = (
        figure(&text, "TCP:", "inuse"),
        figure(&text, "TCP:", "tw"),
        figure(&text, "TCP:", "orphan"),
    );
    let (Some(in_use), Some(time_wait), Some(orphans)) = figures else {
        return Missing::unreadable(format_args!("{}: no TCP figures", path.display())).into();
    };
    let path = net.join("sockstat6");
    let in_use_v6 = match files::read(&path) {
        Ok(text) => figure(&text, "TCP6:", "inuse"),
        // A kernel without IPv6 has no such file, and no such sockets.
        Err(Missing::NotOnThisKernel) => Some(0),
        Err(why) => return why.into(),
    };
    let Some(in_use_v6) = in_use_v6 else {
        return Missing::unreadable(format_args!("{}: no TCP figures", path.display())).into();
    };
    Reading::Known(TcpUse { in_use: in_use.saturating_add(in_use_v6), time_wait, orphans })
}

/// The number after a word in the line of a table.
fn figure(text: &str, table: &str, word: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix(table))?;
    let mut words = line.split_whitespace();
    words.find(|&found| found == word)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tcp_use(v4: &str, v6: Option<&str>) -> Reading<TcpUse> {
        let net = tempfile::tempdir().expect("a directory");
        fs::write(net.path().join("sockstat"), v4).expect("a file");
        if let Some(text) = v6 {
            fs::write(net.path().join("sockstat6"), text).expect("a file");
        }
        read(net.path())
    }

    #[test]
    fn both_families_are_added() {
        let v4 = "sockets: used 12\nTCP: inuse 5 orphan 1 tw 7 alloc 9 mem 71\n";
        let expected = |in_use| Reading::Known(TcpUse { in_use, time_wait: 7, orphans: 1 });
        assert_eq!(tcp_use(v4, Some("TCP6: inuse 3\n")), expected(8));
        assert_eq!(tcp_use(v4, None), expected(5));
    }

    #[test]
    fn only_a_kernel_without_ipv6_has_no_ipv6_sockets() {
        let v4 = "TCP: inuse 5 orphan 1 tw 7 alloc 9 mem 71\n";
        let reading = tcp_use(v4, Some("TCP6: \n"));
        assert!(matches!(reading, Reading::Missing(Missing::Unreadable { .. })), "{reading:?}");
        let net = tempfile::tempdir().expect("a directory");
        fs::write(net.path().join("sockstat"), v4).expect("a file");
        fs::create_dir(net.path().join("sockstat6")).expect("a directory");
        let reading = read(net.path());
        assert!(matches!(reading, Reading::Missing(Missing::Unreadable { .. })), "{reading:?}");
    }

    #[test]
    fn a_file_without_figures_is_named() {
        for text in ["", "TCP: inuse\n", "TCP: inuse x orphan 1 tw 2\n", "TCP: inuse 1 orphan 1\n"]
        {
            let reading = tcp_use(text, None);
            let Some(Missing::Unreadable { what }) = reading.missing() else {
                panic!("{text:?} gave {reading:?}");
            };
            assert!(what.contains("sockstat"), "{what}");
        }
    }
}
