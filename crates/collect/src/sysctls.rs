//! Settings of the network namespace that the calling thread is in.
//!
//! `/proc/sys/net` shows each thread its own namespace (net/sysctl_net.c `net_ctl_header_lookup`).

use std::path::Path;
use std::str::FromStr;

use halfopen_evidence::{Missing, Reading, Sysctls};
use halfopen_model::PortRange;

use crate::files;

/// Reads the settings below this `/proc`.
pub(crate) fn read(proc: &Path) -> Sysctls {
    let number = |name: &str| number::<u32>(proc, name);
    let range = parsed(proc, "ipv4/ip_local_port_range", |text| {
        text.parse::<PortRange>().map_err(|_| "is no port range")
    });
    let reserved = range.value().map_or_else(
        || range.as_ref().map(|_| 0),
        |range| {
            parsed(proc, "ipv4/ip_local_reserved_ports", |text| {
                range.reserved(text).map_err(|_| "is no list of ports")
            })
        },
    );
    Sysctls {
        somaxconn: number("core/somaxconn"),
        tcp_max_syn_backlog: self::number(proc, "ipv4/tcp_max_syn_backlog"),
        tcp_syncookies: number("ipv4/tcp_syncookies"),
        tcp_abort_on_overflow: number("ipv4/tcp_abort_on_overflow"),
        tcp_synack_retries: number("ipv4/tcp_synack_retries"),
        tcp_syn_retries: number("ipv4/tcp_syn_retries"),
        tcp_syn_linear_timeouts: number("ipv4/tcp_syn_linear_timeouts"),
        tcp_tw_reuse: number("ipv4/tcp_tw_reuse"),
        tcp_timestamps: number("ipv4/tcp_timestamps"),
        tcp_max_tw_buckets: number("ipv4/tcp_max_tw_buckets"),
        tcp_migrate_req: number("ipv4/tcp_migrate_req"),
        ip_local_port_range: range,
        reserved_ports: reserved,
    }
}

fn number<N: FromStr>(proc: &Path, name: &str) -> Reading<N> {
    parsed(proc, name, |text| text.trim().parse().map_err(|_| "is no number"))
}

fn parsed<T>(
    proc: &Path,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
) -> Reading<T> {
    let path = proc.join("sys/net").join(name);
    match files::read(&path) {
        Err(why) => why.into(),
        Ok(text) => match parse(&text) {
            Ok(value) => Reading::Known(value),
            Err(what) => {
                let text: String = text.chars().take(32).collect();
                Missing::unreadable(format_args!("{}: {text:?} {what}", path.display())).into()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sysctls(files: &[(&str, &str)]) -> Sysctls {
        let proc = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = proc.path().join("sys/net").join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        read(proc.path())
    }

    #[test]
    fn settings_are_read_and_those_of_other_kernels_are_missing() {
        let sysctls = sysctls(&[
            ("core/somaxconn", "4096\n"),
            ("ipv4/ip_local_port_range", "32768\t60999\n"),
            ("ipv4/ip_local_reserved_ports", "40000-40009,1\n"),
        ]);
        assert_eq!(sysctls.somaxconn, Reading::Known(4096));
        assert_eq!(sysctls.reserved_ports, Reading::Known(10));
        assert_eq!(sysctls.usable_ports(), Reading::Known(28222));
        assert_eq!(sysctls.tcp_migrate_req, Missing::NotOnThisKernel.into());
    }

    #[test]
    fn a_setting_that_makes_no_sense_names_its_file() {
        let sysctls =
            sysctls(&[("core/somaxconn", "many"), ("ipv4/ip_local_port_range", "60999 32768")]);
        for missing in [sysctls.somaxconn.missing(), sysctls.reserved_ports.missing()] {
            let Some(Missing::Unreadable { what }) = missing else {
                panic!("unreadable, not {missing:?}");
            };
            assert!(what.contains("sys/net/"), "{what}");
        }
    }
}
