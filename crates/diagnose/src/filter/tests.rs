//! Tests of the filter language and of what filters match.

use std::net::SocketAddr;

use halfopen_evidence::{
    Cookie, EndpointKey, Holder, HolderSearch, Holders, Inode, Missing, NetnsId, NetnsLabel,
    NeverAccepted, ProcessName, Reading, SynRecv,
};
use proptest::prelude::*;

use super::*;
use crate::SubjectKind;

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn netns() -> Netns {
    Netns {
        id: NetnsId(4_026_531_840),
        labels: vec![
            NetnsLabel::Name("blue".to_owned()),
            NetnsLabel::Container("3f2a9c0e5b7d4f61".to_owned()),
        ],
        is_own: false,
        member: None,
        sysctls: halfopen_evidence::Sysctls::default(),
        counters: Reading::not_collected(),
        tcp_use: Reading::not_collected(),
        endpoints: Reading::not_collected(),
        connecting: Reading::not_collected(),
        close_wait: Reading::not_collected(),
        ports: Reading::not_collected(),
        conntrack: Reading::not_collected(),
    }
}

fn endpoint(local: &str, holders: Reading<Holders>) -> Endpoint {
    let local: SocketAddr = local.parse().expect("an address");
    Endpoint {
        key: EndpointKey { local, device: 0, v6_only: false },
        listeners: vec![Listener {
            cookie: Cookie(1),
            inode: Inode(2),
            uid: 33,
            depth: 0,
            limit: 128,
            drops: Reading::Known(0),
            syn_queue: Reading::not_collected(),
            holders,
        }],
        syn_recv: SynRecv::default(),
        never_accepted: NeverAccepted::default(),
    }
}

fn held_by(pid: u32, comm: &str, search: HolderSearch) -> Reading<Holders> {
    let holder = Holder { pid: Pid(pid), fd: 3, comm: comm.to_owned(), start_ticks: 1 };
    Reading::Known(Holders { found: vec![holder], search })
}

fn check(text: &str, local: &str, holders: &Reading<Holders>, expected: Truth) {
    let endpoint = endpoint(local, holders.clone());
    let truth = filter(text).listener_truth(&netns(), &endpoint, &endpoint.listeners[0]);
    assert_eq!(truth, expected, "{text:?} of {local}");
}

#[test]
fn listeners_are_chosen_by_port_and_address() {
    let nobody = Reading::not_collected();
    for (text, local, expected) in [
        ("", "0.0.0.0:8080", true),
        (":8080", "0.0.0.0:8080", true),
        ("8080", "10.0.0.1:8080", true),
        ("port 8080", "[::]:8080", true),
        ("port 8080", "[::]:8081", false),
        ("*:8080", "[::]:8080", true),
        ("sport = :8080", "10.0.0.1:8080", true),
        ("sport == 8080", "10.0.0.1:8080", true),
        ("sport != 8080", "10.0.0.1:8080", false),
        ("sport neq 8081", "10.0.0.1:8080", true),
        ("sport >= 1000 and sport < 8080", "10.0.0.1:8080", false),
        ("sport gt 1000 sport le 8080", "10.0.0.1:8080", true),
        ("sport 8000-8100", "10.0.0.1:8080", true),
        ("dport = :8080", "10.0.0.1:8080", false),
        ("not dport = :8080", "10.0.0.1:8080", true),
        ("src 10.0.0.0/8", "10.0.0.1:8080", true),
        ("src 10.0.0.0/8", "11.0.0.1:8080", false),
        ("src 10.0.0.0/8", "[::ffff:10.0.0.1]:8080", true),
        ("src 10.0.0.1:8080", "0.0.0.0:8080", true),
        ("src 10.0.0.1", "[::]:8080", true),
        ("src fd00::/8", "[fd12::1]:8080", true),
        ("src fd00::/8", "0.0.0.0:8080", false),
        ("src [fd12::1]:8080", "[fd12::1]:8080", true),
        ("src = :8080", "10.0.0.1:8080", true),
        ("src port 8080", "10.0.0.1:8080", true),
        ("src net 10.0.0.0/8 && !dst port 80", "10.0.0.1:8080", true),
        ("dst 10.0.0.1", "10.0.0.1:8080", false),
        ("host 10.0.0.1", "10.0.0.1:8080", true),
        (":80 or :8080", "10.0.0.1:8080", true),
        (":80 || (:8080 and not src 10.0.0.1)", "10.0.0.1:8080", false),
        ("netns blue", "10.0.0.1:8080", true),
        ("netns 4026531840", "10.0.0.1:8080", true),
        ("netns 3f2a9c0e", "10.0.0.1:8080", true),
        ("netns 3f2", "10.0.0.1:8080", false),
        ("netns green", "10.0.0.1:8080", false),
        ("uid 33", "10.0.0.1:8080", true),
        ("uid != 33", "10.0.0.1:8080", false),
    ] {
        check(text, local, &nobody, expected.into());
    }
}

#[test]
fn who_was_not_looked_for_is_neither_matched_nor_excluded() {
    let local = "0.0.0.0:8080";
    let everywhere = held_by(812, "java", HolderSearch::Everywhere);
    check("pid 812", local, &everywhere, Truth::Yes);
    check("comm java", local, &everywhere, Truth::Yes);
    check("pid 813", local, &everywhere, Truth::No);
    check("not pid 813", local, &everywhere, Truth::Yes);
    let first = held_by(812, "java", HolderSearch::FirstDescriptors);
    check("pid 812", local, &first, Truth::Yes);
    check("pid 813", local, &first, Truth::Unknown);
    let permitted = held_by(812, "java", HolderSearch::Permitted { unreadable: 9 });
    check("process nginx", local, &permitted, Truth::No);
    let hidden = Missing::needs("root").into();
    check("pid 812", local, &hidden, Truth::Unknown);
    check("not pid 812", local, &hidden, Truth::Unknown);
    check("pid 812 and :80", local, &hidden, Truth::No);
    check("pid 812 or :8080", local, &hidden, Truth::Yes);
}

#[test]
fn names_longer_than_a_comm_match_what_the_kernel_keeps_of_them() {
    let cut = held_by(1, "kube-controller", HolderSearch::Everywhere);
    check("comm kube-controller-manager", "0.0.0.0:1", &cut, Truth::Yes);
    let short = held_by(1, "kube", HolderSearch::Everywhere);
    check("comm kube-controller-manager", "0.0.0.0:1", &short, Truth::No);
    let odd = held_by(1, "(sd-pam) \"x\"", HolderSearch::Everywhere);
    check(r#"comm "(sd-pam) \"x\"""#, "0.0.0.0:1", &odd, Truth::Yes);
    check(r#"comm = '(sd-pam) "x"'"#, "0.0.0.0:1", &odd, Truth::Yes);
}

#[test]
fn destinations_are_chosen_by_their_port_and_either_address() {
    let subject = Subject {
        kind: SubjectKind::Destination {
            source: "10.0.0.5".parse().expect("an address"),
            destination: "10.0.0.7:443".parse().expect("an address"),
        },
        netns: NetnsId(1),
        netns_label: "blue".to_owned(),
        own_netns: true,
        processes: vec![ProcessName { pid: Pid(7), comm: "curl".to_owned() }],
    };
    for (text, expected) in [
        ("", true),
        (":443", true),
        ("dport = :443", true),
        ("sport = :443", false),
        ("dst 10.0.0.7:443", true),
        ("dst 10.0.0.0/29 and src 10.0.0.5", true),
        ("dst 10.0.0.0/30", false),
        ("host 10.0.0.7 pid 7", true),
        ("pid 8", false),
        ("uid 0", false),
        ("not uid 0", false),
        ("netns blue", true),
        ("netns 1", true),
    ] {
        assert_eq!(filter(text).matches(&subject), expected, "{text:?}");
    }
}

#[test]
fn limits_are_told_only_where_nothing_else_can_match() {
    let ports = |text| filter(text).local_ports().map(Vec::from_iter);
    assert_eq!(ports("sport = :80"), Some(vec![80]));
    assert_eq!(ports("sport = :80 or src 10.0.0.1:81"), Some(vec![80, 81]));
    assert_eq!(ports("sport 80-82 and sport 82-90 and pid 1"), Some(vec![82]));
    for open in [":80", "sport = :80 or pid 1", "not sport = :80", "sport >= 80", ""] {
        assert_eq!(ports(open), None, "{open:?}");
    }
    let either = |text| filter(text).ports().map(Vec::from_iter);
    assert_eq!(either(":80 or dport 443"), Some(vec![80, 443]));
    assert_eq!(filter("pid 1 or (pid 2 and :80)").pids(), Some([Pid(1), Pid(2)].into()));
    assert_eq!(filter("pid 1 or :80").pids(), None);
    assert_eq!(filter("netns blue :80").netns_names(), Some(["blue".to_owned()].into()));
    assert!(filter("not (:80 or comm x)").needs_holders());
    assert!(!filter("not :80").needs_holders());
    assert!(!filter("dst 10.0.0.1").concerns_listeners());
    assert!(filter("not dst 10.0.0.1").concerns_listeners());
}

fn error(text: &str) -> String {
    Filter::parse(text).expect_err(text).to_string()
}

#[test]
fn errors_point_at_the_place_and_give_an_example() {
    let errors = [
        "sport = :http",
        "netns blue and",
        "10.0.0.1",
        "(:80 or :81",
        "pid > 4",
        ":80 )",
        "comm \"x",
        "a\u{1b}[31m b",
    ];
    insta::assert_snapshot!(errors.map(error).join("\n\n"));
}

#[test]
fn text_that_is_no_filter_is_refused() {
    for text in [
        "and",
        "not",
        "()",
        "sport",
        "sport =",
        "sport = = 1",
        ":65536",
        "port -1",
        "port 9-8",
        "sport < 0",
        "sport > 65535",
        "sport > 1-2",
        "src",
        "src 10.0.0.0/33",
        "src *",
        "src [::1",
        "dst 10.0.0.1:x",
        "pid +1",
        "pid x",
        "comm \"\"",
        "netns",
        "uid -1",
        "\"8080\"",
        "& &",
    ] {
        assert!(Filter::parse(text).is_err(), "{text:?}");
    }
    assert!(Filter::parse(&"(".repeat(4000)).is_err());
    assert!(Filter::parse(&"not ".repeat(1000)).is_err());
    assert!(Filter::parse(&":1 or ".repeat(1000)).is_err());
}

/// Words and signs of the language in any order: some of it is a filter.
fn soup() -> impl Strategy<Value = String> {
    let words = [
        "sport",
        "dport",
        "port",
        "src",
        "dst",
        "host",
        "pid",
        "comm",
        "netns",
        "uid",
        "and",
        "or",
        "not",
        "(",
        ")",
        "=",
        "!=",
        ">=",
        "<",
        "8080",
        ":80",
        "1000-2000",
        "10.0.0.0/8",
        "fd00::1",
        "[::1]:80",
        "10.0.0.7:443",
        "nginx",
        "\"a \\\" b\"",
        "812",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..12).prop_map(|all| all.join(" "))
}

/// A filter: tests joined in any way.
fn valid() -> impl Strategy<Value = String> {
    let tests = [
        ":80",
        "sport >= 1000",
        "dport != 443",
        "port 0-65535",
        "src 10.0.0.0/8",
        "dst fd00::1",
        "host 10.0.0.7:443",
        "src [::ffff:10.0.0.1]:80",
        "pid 812",
        "comm \"(x) \\\\ y\"",
        "netns != blue",
        "uid 33",
        "sport <= 0",
    ];
    prop::sample::select(tests.to_vec()).prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("not ({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or ({b})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) ({b})")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in any::<String>(), soup in soup()) {
        for text in [text, soup] {
            match Filter::parse(&text) {
                Ok(filter) => prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter)),
                Err(error) => prop_assert!(error.to_string().contains('^')),
            }
        }
    }

    #[test]
    fn what_a_filter_prints_reads_back_as_the_same_filter(text in valid()) {
        let filter = Filter::parse(&text).expect("a filter");
        prop_assert_eq!(Filter::parse(&filter.to_string()), Ok(filter));
    }
}

#[test]
fn networks_are_told_only_where_nothing_else_can_match() {
    let networks = |text| {
        let networks = filter(text).networks()?;
        Some(networks.iter().map(|(address, bits)| format!("{address}/{bits}")).collect())
    };
    let some = |list: &[&str]| Some(list.iter().map(|&it| it.to_owned()).collect::<Vec<_>>());
    assert_eq!(networks("dst 10.0.0.0/8"), some(&["10.0.0.0/8"]));
    assert_eq!(networks("src fd00::1 and sport = :80"), some(&["fd00::1/128"]));
    assert_eq!(networks("src 10.0.0.1 or dst 10.0.0.2"), some(&["10.0.0.1/32", "10.0.0.2/32"]));
    assert_eq!(networks("src 10.0.0.1 and dst 10.0.0.2"), some(&["10.0.0.1/32"]));
    assert_eq!(networks("src 10.0.0.1 or sport = :80"), None);
    assert_eq!(networks("not src 10.0.0.1"), None);
    assert_eq!(networks(""), None);
}
