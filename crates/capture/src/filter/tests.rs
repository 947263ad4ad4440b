//! What filters match, and how they fail.

use super::Filter;
use crate::decode::tests::build;
use crate::{Decoder, Observed, TcpSegment};

/// The segment is 10.0.0.7:40000 to 10.9.0.1:443 in VLAN 7, or fd00::7 to fd00::1 in none.
fn check(text: &str, v4: bool, v6: bool) {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let mut decoder = Decoder::new();
    let segment = |ends: (&str, &str), scope| -> TcpSegment {
        let (from, to) = (ends.0.parse().unwrap(), ends.1.parse().unwrap());
        TcpSegment { from, to, scope, ..build::plain_segment() }
    };
    let frame =
        build::ethernet(0x8100, &build::vlan(7, 0x0800, &build::ipv4(6, &build::tcp(&[], 0))));
    let Ok(Observed::Segment(tagged)) = decoder.decode(&build::packet(1, &frame)) else {
        panic!("the frame has a segment");
    };
    let one = segment(("10.0.0.7:40000", "10.9.0.1:443"), tagged.scope);
    let two = segment(("[fd00::7]:40000", "[fd00::1]:443"), 0);
    let matched = [one, two].map(|segment| filter.matches(&segment, decoder.scopes()));
    assert_eq!(matched, [v4, v6], "{text}");
}

fn check_error(text: &str, position: usize, expected: &str) {
    let error = Filter::parse(text).expect_err(text);
    assert!(error.to_string().contains(expected), "{error}");
    assert_eq!(error.position(), position, "{error}");
}

#[test]
fn hosts_and_networks_match_either_end_unless_one_is_named() {
    check("", true, true);
    check("host 10.0.0.7", true, false);
    check("host 10.9.0.1", true, false);
    check("10.9.0.1", true, false);
    check("src host 10.9.0.1", false, false);
    check("src 10.0.0.7", true, false);
    check("dst host 10.9.0.1", true, false);
    check("host fd00::1", false, true);
    check("ip6 host fd00::1", false, true);
    check("ip host 10.0.0.8", false, false);
    check("net 10.0.0.0/8", true, false);
    check("net 10", true, false);
    check("net 10.9", true, false);
    check("src net 10.9", false, false);
    check("src and dst net 10", true, false);
    check("src and dst net 10.9", false, false);
    check("src or dst net 10.9", true, false);
    check("net fd00::/16", false, true);
    check("net 0.0.0.0/0", true, false);
    check("net ::/0", false, true);
}

#[test]
fn ports_match_either_end_unless_one_is_named() {
    check("port 443", true, true);
    check("port 40000", true, true);
    check("tcp port 443", true, true);
    check("src port 443", false, false);
    check("dst port 443", true, true);
    check("tcp dst port 443", true, true);
    check("portrange 440-450", true, true);
    check("src portrange 440-450", false, false);
    check("dst portrange 443", true, true);
}

#[test]
fn protocols_and_vlans_match() {
    check("tcp", true, true);
    check("ip", true, false);
    check("ip6", false, true);
    check("vlan", true, false);
    check("vlan 7", true, false);
    check("vlan 8", false, false);
    check("not vlan", false, true);
    check("vlan 7 and port 443", true, false);
    check("(vlan) or ip6", true, true);
}

#[test]
fn and_binds_no_tighter_than_or() {
    // In most other languages the first would be true.
    check("tcp or port 1 and port 2", false, false);
    check("tcp or (port 1 and port 2)", true, true);
    check("! port 1 && not port 2", true, true);
    check("not (port 443 or port 80)", false, false);
    check("not not port 443", true, true);
    check("ip&&port 443||ip6", true, true);
}

#[test]
fn what_was_said_last_counts_for_what_follows() {
    check("port 80 or 443", true, true);
    check("src port 443 or 40000", true, true);
    check("src port 80 or 443", false, false);
    check("host 10.0.0.1 or 10.0.0.7", true, false);
    check("dst host 10.0.0.1 or 10.0.0.7", false, false);
    check("port 80 or 10.0.0.7", true, false);
}

#[test]
fn errors_say_where_and_what_was_expected() {
    check_error("port", 4, "a port number");
    check_error("port http", 5, "names are not looked up");
    check_error("port 65536", 5, "a port number");
    check_error("host example.org", 5, "an IP address");
    check_error("net 10.0.0.1/8", 4, "no bits set beyond");
    check_error("net 10.0.0.0/33", 4, "a network");
    check_error("portrange 9-8", 10, "the lower one first");
    check_error("port 80 port 81", 8, "and, or, or the end");
    check_error("(port 80", 8, "and, or, or )");
    check_error("port 80)", 7, "and, or, or the end");
    check_error("vlan 4096", 5, "up to 4095");
    check_error("udp port 53", 0, "other protocols");
    check_error("tcp[tcpflags] & 2 != 0", 0, "no bytes of headers");
    check_error("port 80 & 443", 8, "and, or, or the end");
    check_error("tcp and", 7, "host, net, port");
    check_error("é or tcp", 0, "host, net, port");
    check_error(&"(".repeat(1000), 65, "fewer parentheses");
    check_error(&"!".repeat(1000), 65, "fewer parentheses");
    let error = Filter::parse("port 80 or\u{1b} x").unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'));
}
