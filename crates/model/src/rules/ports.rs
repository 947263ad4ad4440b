//! Local ports: the search for one, and when one in TIME_WAIT may be taken.

use crate::{FirstPort, PortSearch, TimeWaitReuse};

use super::{Rule, seen, unconfirmed};

pub(super) const RULES: &[Rule] = &[PORT_SEARCH, TIME_WAIT_REUSE];

const PORT_SEARCH: Rule = Rule {
    id: "port-search",
    title: "How connect() looks for a local port, and why it gets slow",
    text: "Per destination, every port of ip_local_port_range without the reserved ones can be \
           used once; for another destination the same port is free again. Ports that bind() or \
           listen() took are skipped. If none is left connect() fails with EADDRNOTAVAIL: no \
           packet, no counter.\n\
           Since the search goes by parity, ports of the lower bound's parity come first. Once \
           half of the range is taken for a destination, each connect() walks that half in vain \
           before it tries the other: system time rises a hundredfold. bind() to port 0 prefers \
           the other parity.\n\
           IP_LOCAL_PORT_RANGE (6.3) narrows the range of a socket; from 6.8 such a search has \
           one pass. From 6.15 a look without lock comes first.",
    code: &["net/ipv4/inet_hashtables.c __inet_hash_connect"],
    commits: &[
        seen("1580ab63fc9a", "between 4.5 and 4.9: two passes"),
        seen("190cc82489f4", "5.12: a start per destination, table of 256"),
        seen("4c2c8f03a5ab", "5.18: table of 65536; also in 5.10.y and 5.15.y"),
        seen("91d0b78c5177", "6.3: IP_LOCAL_PORT_RANGE"),
        seen("207184853dbd", "6.8: one pass with that option"),
    ],
    differs: |semantics| {
        let ports = semantics.ports;
        let search = match ports.search {
            PortSearch::OnePass => "one pass",
            PortSearch::TwoPasses => "two passes by parity",
        };
        let first = match ports.first_port {
            FirstPort::OneHint => "one hint for the host".to_owned(),
            FirstPort::HintPerDestination { slots } => format!("{slots} hints by destination"),
        };
        format!("{search}; {first}; default range {}", ports.range_default)
    },
    findings: &["ports-exhausted", "ports-low"],
};

const TIME_WAIT_REUSE: Rule = Rule {
    id: "time-wait-reuse",
    title: "When connect() may take a port in TIME_WAIT",
    text: "A port whose connection to the same destination is in TIME_WAIT (60 s) is taken again \
           only if both sides used timestamps, tcp_tw_reuse allows it (0 never, 1 always, 2 over \
           loopback only) and the connection has been in TIME_WAIT for a second. Loopback means \
           an address of 127/8 or a socket bound to lo; another address of the host over lo does \
           not count.\n\
           TIME_WAIT is with the side that closed first. tcp_tw_recycle, which refused honest \
           clients behind NAT, is gone from 4.12.",
    code: &["net/ipv4/tcp_ipv4.c tcp_twsk_unique"],
    commits: &[
        seen("79e9fed46038", "4.18: tcp_tw_reuse = 2, the default"),
        unconfirmed("ca6a6f93867a", "6.14: tcp_tw_reuse_delay in milliseconds"),
    ],
    differs: |semantics| {
        let ports = semantics.ports;
        let default = match ports.time_wait_reuse_default {
            TimeWaitReuse::Off => "off by default",
            TimeWaitReuse::On => "on by default",
            TimeWaitReuse::LoopbackOnly => "loopback by default",
        };
        let delay = if ports.time_wait_reuse_delay_exists { "tcp_tw_reuse_delay" } else { "1 s" };
        let fin_wait = if ports.reuses_fin_wait2 { "; FIN_WAIT2 too" } else { "" };
        format!("{default}; after {delay}{fin_wait}")
    },
    findings: &["ports-exhausted"],
};
