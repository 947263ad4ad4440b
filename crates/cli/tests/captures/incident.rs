//! What an engineer's tcpdump printed in a real incident, turned into a capture: a backlog that an old
//! kernel had cut to zero (the finding `backlog-truncated`, on the host).

use std::net::{Ipv4Addr, SocketAddr};

use halfopen_capture::script::{self, Ends};
use serde_json::Value;

use super::common::{repository_file, run};
use super::{frame, told};

/// The capture, and who takes part in it.
fn capture(listing: &str) -> (Vec<u8>, Ends) {
    let first = listing.lines().next().expect("a line");
    let [client, server] = ends(first);
    let others = script::families()[0].others;
    let (mut isns, mut packets) = ([None; 2], String::new());
    for line in listing.lines() {
        packets += &packet(line, client, &mut isns);
        packets.push('\n');
    }
    let ends = Ends { client, server, others };
    (frame::file(&script::packets(&packets, ends)), ends)
}

/// A line of tcpdump as one of a script. tcpdump counts the numbers of a connection from its SYNs, but
/// those of the SYNs themselves, and of an RST without ACK, from zero.
fn packet(line: &str, client: SocketAddr, isns: &mut [Option<u32>; 2]) -> String {
    let word_after = |label: &str| {
        let word = line.split_once(label)?.1.split([',', ' ', ']']).next();
        Some(word.unwrap_or_default())
    };
    let number = |label| word_after(label).map(|word| word.parse::<u32>().expect("a number"));
    let side = usize::from(ends(line)[0] != client);
    let flags = word_after("Flags [").expect("flags");
    assert_eq!(word_after("length "), Some("0"), "only packets without data are read here");
    let numbers = match (number("seq "), number("ack ")) {
        (Some(isn), ack) if flags.starts_with('S') => {
            isns[side] = Some(isn);
            let acknowledged = ack.map(|ack| ack.wrapping_sub(isns[1 - side].expect("a SYN")));
            format!("isn {isn}{}", acknowledged.map_or(String::new(), |ack| format!(" ack {ack}")))
        }
        (Some(seq), None) => format!("seq {}", seq.wrapping_sub(isns[side].expect("a SYN"))),
        (None, Some(ack)) => format!("ack {ack}"),
        other => panic!("{other:?} in {line}"),
    };
    format!("{} {} {flags} {numbers}", ["client", "server"][side], seconds(line))
}

/// Who sent it, and to whom: `IP 192.168.80.111.34764 > 192.168.80.101.29394:`.
fn ends(line: &str) -> [SocketAddr; 2] {
    let (from, to) =
        line.split_once(" IP ").and_then(|(_, rest)| rest.split_once(" > ")).expect("ends");
    let to = to.split_once(':').expect("an end").0;
    [from, to].map(|end| {
        let (ip, port) = end.rsplit_once('.').expect("a port");
        let ip: Ipv4Addr = ip.parse().expect("an address");
        SocketAddr::new(ip.into(), port.parse().expect("a port"))
    })
}

/// `16:58:54.159262` as seconds of the day.
fn seconds(line: &str) -> String {
    let (time, _) = line.split_once(' ').expect("a time");
    let (whole, fraction) = time.split_once('.').expect("a fraction");
    let whole = whole
        .split(':')
        .fold(0, |sum: u32, part| sum * 60 + part.parse::<u32>().expect("a number"));
    format!("{whole}.{fraction}")
}

#[test]
fn the_client_is_established_the_server_ignores_it_and_a_probe_a_minute_later_is_reset() {
    let listing = repository_file("bundles/captures/backlog-truncated.tcpdump.txt");
    let (capture, ends) = capture(&listing);
    let expected = [
        "= third-ack-ignored reset-by-probe +half-open-closed",
        "! third-ack-dropped",
        "! half-open",
    ];
    assert_eq!(told(&capture, ends), expected);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, &capture).expect("written");
    let ran = run(&["pcap", path.to_str().expect("UTF-8"), "--json"]);
    let first: Value =
        ran.stdout.lines().next().map(serde_json::from_str).expect("a line").expect("JSON");
    assert_eq!(
        (&first["client"], &first["server"]),
        (&"192.168.80.111:34764".into(), &"192.168.80.101:29394".into())
    );
    assert_eq!(first["syn_acks"]["at_us"], serde_json::json!([61, 1_199_173, 3_199_160]));
    assert_eq!((&first["syn_acks"]["count"], &first["syns"]["count"]), (&3.into(), &1.into()));
    assert_eq!(
        (&first["connect_ns"], &first["lasted_ns"]),
        (&76_000.into(), &59_999_287_000_u64.into())
    );
    assert_eq!(ran.status, 2);
}
