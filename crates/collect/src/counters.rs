//! SNMP counters of the network namespace that the calling thread is in.
//!
//! `/proc/net/snmp` and `/proc/net/netstat` have two lines per table: one of names, one of values in
//! the same order (net/ipv4/proc.c).

use std::path::Path;

use halfopen_evidence::{Counters, Missing, Reading};
use halfopen_model::{Counter, CounterTable};

use crate::files;

/// Reads the counters below this directory (`/proc/thread-self/net`).
pub(crate) fn read(net: &Path) -> Reading<Counters> {
    let mut counters = Counters::default();
    for name in ["snmp", "netstat"] {
        let path = net.join(name);
        let added = files::read(&path).and_then(|text| {
            add(&text, &mut counters)
                .map_err(|what| Missing::unreadable(format_args!("{}: {what}", path.display())))
        });
        if let Err(why) = added {
            return why.into();
        }
    }
    Reading::Known(counters)
}

/// Adds the counters that the text has and [`Counter`] knows.
fn add(text: &str, counters: &mut Counters) -> Result<(), String> {
    let mut lines = text.lines();
    while let Some(names) = lines.next() {
        let Some((table, names)) = names.split_once(':') else {
            return Err(format!("line {:?} has no table name", start_of(names)));
        };
        let values = lines.next().and_then(|line| line.strip_prefix(table)?.strip_prefix(':'));
        let Some(values) = values else {
            return Err(format!("table {:?} has names and no values", start_of(table)));
        };
        let Some(table) = table_of(table) else {
            continue;
        };
        let (mut names, mut values) = (names.split_whitespace(), values.split_whitespace());
        loop {
            match (names.next(), values.next()) {
                (Some(name), Some(value)) => add_one(table, name, value, counters)?,
                (None, None) => break,
                _ => return Err(format!("table {table:?} has not as many values as names")),
            }
        }
    }
    Ok(())
}

fn add_one(
    table: CounterTable,
    name: &str,
    value: &str,
    counters: &mut Counters,
) -> Result<(), String> {
    let Some(counter) = Counter::find(table, name) else {
        return Ok(());
    };
    let value =
        value.parse().map_err(|_| format!("{counter} is {:?}, not a count", start_of(value)))?;
    counters.set(counter, value);
    Ok(())
}

fn table_of(name: &str) -> Option<CounterTable> {
    [CounterTable::Tcp, CounterTable::TcpExt, CounterTable::Ip]
        .into_iter()
        .find(|table| table.name() == name)
}

/// As much of a text as an error should show.
fn start_of(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counters(text: &str) -> Result<Counters, String> {
        let mut counters = Counters::default();
        add(text, &mut counters).map(|()| counters)
    }

    #[test]
    fn known_counters_of_known_tables_are_read() {
        let text = "TcpExt: SyncookiesSent ListenDrops Unheard\nTcpExt: 1 22 3\n\
                    IpExt: InNoRoutes\nIpExt: 9\n\
                    Tcp: MaxConn ActiveOpens\nTcp: -1 7\n";
        let expected = Counters::from_iter([
            (Counter::SyncookiesSent, 1),
            (Counter::ListenDrops, 22),
            (Counter::ActiveOpens, 7),
        ]);
        assert_eq!(counters(text), Ok(expected));
    }

    #[test]
    fn lines_that_do_not_match_are_refused() {
        for (text, part) in [
            ("TcpExt: A B\nTcpExt: 1\n", "not as many"),
            ("TcpExt: A\nTcpExt: 1 2\n", "not as many"),
            ("TcpExt: A\n", "no values"),
            ("TcpExt: A\nTcp: 1\n", "no values"),
            ("nothing\n", "no table name"),
            ("Tcp: ActiveOpens\nTcp: x\n", "ActiveOpens"),
        ] {
            let error = counters(text).expect_err(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let net = tempfile::tempdir().expect("a directory");
        std::fs::write(net.path().join("snmp"), "Tcp: A\n").expect("a file");
        let Reading::Missing(Missing::Unreadable { what }) = read(net.path()) else {
            panic!("half a table is no table");
        };
        assert!(what.contains("/snmp: "), "{what}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "(Tcp|TcpExt|Ip|[ -~\u{e9}\n:]){0,80}") {
            let _ = counters(&text);
        }
    }
}
