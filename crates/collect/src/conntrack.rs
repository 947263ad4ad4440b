//! Fill of the connection-tracking table of the network namespace that the calling thread is in.
//!
//! Where the nf_conntrack module is not loaded there are no such files, and no such table.

use std::path::Path;

use halfopen_evidence::{Conntrack, Missing, Reading};

use crate::files;

/// Reads the figures below this `/proc`, whose `thread-self/net` is `net`.
pub(crate) fn read(proc: &Path, net: &Path) -> Reading<Conntrack> {
    let figure = |name: &str| -> Result<u32, Missing> {
        let path = proc.join("sys/net/netfilter").join(name);
        files::read(&path)?
            .trim()
            .parse()
            .map_err(|_| Missing::unreadable(format_args!("{}: is no number", path.display())))
    };
    let (count, max) = match (figure("nf_conntrack_count"), figure("nf_conntrack_max")) {
        (Ok(count), Ok(max)) => (count, max),
        (Err(why), _) | (_, Err(why)) => return why.into(),
    };
    let path = net.join("stat/nf_conntrack");
    let text = files::read(&path);
    let sum = |column: &str| -> Reading<u64> {
        match &text {
            Err(why) => why.clone().into(),
            Ok(text) => match sum_of_column(text, column) {
                Ok(sum) => Reading::Known(sum),
                Err(what) => Missing::unreadable(format_args!("{}: {what}", path.display())).into(),
            },
        }
    };
    Reading::Known(Conntrack {
        count,
        max,
        drops: sum("drop"),
        insert_failures: sum("insert_failed"),
        early_drops: sum("early_drop"),
    })
}

/// The sum of a column over all CPUs: a line of names, then one line of hexadecimal figures for each
/// (net/netfilter/nf_conntrack_standalone.c `ct_cpu_seq_show`).
fn sum_of_column(text: &str, column: &str) -> Result<u64, String> {
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default();
    let Some(index) = names.split_whitespace().position(|name| name == column) else {
        return Err(format!("no column {column:?}"));
    };
    lines.try_fold(0_u64, |sum, line| {
        line.split_whitespace()
            .nth(index)
            .and_then(|figure| u64::from_str_radix(figure, 16).ok())
            .map(|figure| sum.saturating_add(figure))
            .ok_or_else(|| format!("a line has no figure for {column:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "entries  clashres found insert_failed drop early_drop\n\
                        0000000c 00000000 00000003 0000000a 00000010 00000000\n\
                        0000000c 00000000 00000004 00000001 00000002 00000000\n";

    #[test]
    fn columns_are_hexadecimal_and_summed_over_cpus() {
        assert_eq!(sum_of_column(STAT, "drop"), Ok(0x12));
        assert_eq!(sum_of_column(STAT, "insert_failed"), Ok(0xb));
    }

    #[test]
    fn broken_tables_are_refused() {
        assert!(sum_of_column("", "drop").is_err());
        assert!(sum_of_column("found drop\n1\n", "drop").is_err());
        assert!(sum_of_column("found drop\n1 z\n", "drop").is_err());
    }

    #[test]
    fn no_module_means_no_table() {
        let proc = tempfile::tempdir().expect("a directory");
        assert_eq!(read(proc.path(), proc.path()), Missing::NotOnThisKernel.into());
        let sysctls = proc.path().join("sys/net/netfilter");
        std::fs::create_dir_all(&sysctls).expect("a directory");
        std::fs::write(sysctls.join("nf_conntrack_count"), "12\n").expect("a file");
        std::fs::write(sysctls.join("nf_conntrack_max"), "262144\n").expect("a file");
        let expected = Conntrack {
            count: 12,
            max: 262_144,
            drops: Missing::NotOnThisKernel.into(),
            insert_failures: Missing::NotOnThisKernel.into(),
            early_drops: Missing::NotOnThisKernel.into(),
        };
        assert_eq!(read(proc.path(), proc.path()), Reading::Known(expected));
    }
}
