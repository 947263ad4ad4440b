//! One path, captured at both ends while it lost named segments. The packets are a real kernel's: the lab
//! played `path-loses-each` (`halfopen lab run path-loses-each --pcap FILE`), whose wire has both ends in
//! one namespace and gives the server's end other addresses. Each test cuts that capture in two, and sets
//! the clock of the server's end.

mod common;

use common::{Ran, run};
use serde_json::Value;

const CAPTURE: &[u8] = include_bytes!("../../../bundles/captures/path-loses-each.pcap");

/// The address of the lab's host. Its client is seen at another address by its server.
const NEAR: [u8; 4] = [10, 77, 0, 1];

/// How far the server's clock is ahead.
const AHEAD_NS: i64 = 3_725_000_000_123;

/// How the two ends are called at the server's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// As at the client's end.
    Same,
    /// The same, in IPv6.
    SameV6,
    /// Otherwise, as the lab's wire has them.
    Translated,
}

struct Packet {
    time_ns: i64,
    bytes: Vec<u8>,
}

impl Packet {
    fn port(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[20 + at], self.bytes[21 + at]])
    }

    fn is_by_server(&self) -> bool {
        self.port(0) < 10_000
    }

    fn server_port(&self) -> u16 {
        if self.is_by_server() { self.port(0) } else { self.port(2) }
    }

    fn is_at_server(&self) -> bool {
        (self.bytes[12..16] == NEAR) == self.is_by_server()
    }

    fn swap_addresses(&mut self) {
        let source: Vec<u8> = self.bytes[12..16].to_vec();
        self.bytes.copy_within(16..20, 12);
        self.bytes[16..20].copy_from_slice(&source);
    }

    /// The same segment in IPv6.
    fn to_v6(&self) -> Vec<u8> {
        let address = |at: usize| {
            let mut address = [0; 16];
            address[..2].copy_from_slice(&[0xfd, 0x77]);
            address[12..].copy_from_slice(&self.bytes[at..at + 4]);
            address
        };
        let length = u16::try_from(self.bytes.len() - 20).expect("short");
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([6, self.bytes[8]]);
        packet.extend(address(12));
        packet.extend(address(16));
        packet.extend(&self.bytes[20..]);
        packet
    }
}

/// The packets of the lab's capture.
fn packets() -> Vec<Packet> {
    let field = |at: usize| u32::from_le_bytes(CAPTURE[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((field(0), field(20)), (0xa1b2_3c4d, 228), "nanoseconds, IPv4, little endian");
    let (mut at, mut packets) = (24, Vec::new());
    while at < CAPTURE.len() {
        let time_ns = i64::from(field(at)) * 1_000_000_000 + i64::from(field(at + 4));
        let length = usize::try_from(field(at + 8)).expect("short");
        packets.push(Packet { time_ns, bytes: CAPTURE[at + 16..at + 16 + length].to_vec() });
        at += 16 + length;
    }
    packets
}

fn pcap(packets: &[Packet], is_v6: bool, ahead_ns: i64) -> Vec<u8> {
    let link = if is_v6 { 229 } else { 228 };
    let mut file = Vec::new();
    for field in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(field.to_le_bytes());
    }
    for packet in packets {
        let bytes = if is_v6 { packet.to_v6() } else { packet.bytes.clone() };
        let time_ns = packet.time_ns + ahead_ns;
        let length = i64::try_from(bytes.len()).expect("short");
        for field in [time_ns / 1_000_000_000, time_ns % 1_000_000_000, length, length] {
            file.extend(u32::try_from(field).expect("a field").to_le_bytes());
        }
        file.extend(bytes);
    }
    file
}

/// Captures of both ends in a folder.
struct Captures {
    folder: tempfile::TempDir,
}

impl Captures {
    /// Of the packets that are wanted.
    fn of(names: Names, is_wanted: impl Fn(&Packet) -> bool) -> Self {
        let (mut at_server, at_client): (Vec<Packet>, Vec<Packet>) =
            packets().into_iter().filter(is_wanted).partition(Packet::is_at_server);
        if names != Names::Translated {
            at_server.iter_mut().for_each(Packet::swap_addresses);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let is_v6 = names == Names::SameV6;
        for (name, packets, ahead_ns) in
            [("client.pcap", at_client, 0), ("server.pcap", at_server, AHEAD_NS)]
        {
            let path = folder.path().join(name);
            std::fs::write(path, pcap(&packets, is_v6, ahead_ns)).expect("written");
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let files = ["client.pcap", "server.pcap"].map(|name| self.path(name));
        run(&[&["pcap", &files[0], &files[1]], arguments].concat())
    }

    fn lines(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.run(&[&["--json"], arguments].concat());
        assert_eq!(ran.stderr, "");
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Port, outcome and what was located of each handshake that is notable.
fn notable(lines: &[Value]) -> Vec<(u64, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let mut notable: Vec<(u64, String, Vec<String>)> = lines
        .iter()
        .filter(|line| line["type"] == "handshake")
        .map(|line| {
            let server = text(&line["server"]);
            let port = server.rsplit(':').next().and_then(|port| port.parse().ok());
            let located = line["between"]["located"].as_array().cloned().unwrap_or_default();
            let located: Vec<String> =
                located.iter().map(text).filter(|it| it != "translated").collect();
            (port.expect("a port"), text(&line["outcome"]), located)
        })
        .filter(|(_, outcome, located)| outcome != "established" || !located.is_empty())
        .collect();
    notable.sort();
    notable
}

fn one(port: u64, outcome: &str, located: &str) -> (u64, String, Vec<String>) {
    (port, outcome.to_owned(), vec![located.to_owned()])
}

#[test]
fn each_loss_is_located_in_both_families_and_through_nat() {
    for names in [Names::Same, Names::SameV6, Names::Translated] {
        let lines = Captures::of(names, |_| true).lines(&[]);
        assert_eq!(
            notable(&lines),
            [
                one(8080, "syn-unanswered", "syn-lost"),
                one(8081, "third-ack-missing", "syn-ack-lost"),
                one(8082, "third-ack-missing", "ack-lost"),
            ]
        );
        let summary = lines.last().expect("a summary");
        let points = &summary["points"];
        let offset_ns = points["offset_ns"].as_i64().expect("an offset");
        let within_ns = points["offset_within_ns"].as_u64().expect("bounds");
        assert!(offset_ns.abs_diff(AHEAD_NS) <= within_ns && within_ns < 100_000, "{points}");
        assert_eq!(
            (points["joined"].as_u64(), points["clients_side"].as_u64()),
            (Some(10), Some(1))
        );
        assert_eq!(summary["attempts"], 11, "each is counted once");
        let findings = summary["findings"].as_array().expect("findings");
        let sure: Vec<(&str, &str)> = findings
            .iter()
            .map(|it| (it["id"].as_str().expect("id"), it["confidence"].as_str().expect("words")))
            .collect();
        assert_eq!(
            sure,
            [
                ("connect-unanswered", "certain"),
                ("third-ack-lost", "certain"),
                ("third-ack-lost", "certain"),
            ]
        );
    }
}

#[test]
fn the_order_of_the_files_does_not_matter_and_other_files_are_one_capture() {
    let captures = Captures::of(Names::Same, |_| true);
    let files = ["server.pcap", "client.pcap"].map(|name| captures.path(name));
    let ran = run(&["pcap", &files[0], &files[1], "--json"]);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(notable(&lines).len(), 3);
    assert_eq!(lines.last().expect("a summary")["points"]["clients_side"], 2);
    let pieces = captures.lines(&["--pieces"]);
    assert_eq!(pieces.last().expect("a summary")["points"], Value::Null);
}

#[test]
fn a_path_that_loses_nothing_is_not_blamed() {
    let captures = Captures::of(Names::Same, |packet| packet.server_port() == 8083);
    let lines = captures.lines(&[]);
    assert_eq!(notable(&lines), []);
    assert_eq!(lines.last().expect("a summary")["findings"], Value::Array(Vec::new()));
}

#[test]
fn what_may_have_come_after_the_other_capture_ended_is_not_called_lost() {
    // Without the connections at the end nothing says that the server's end was still captured.
    let captures = Captures::of(Names::Same, |packet| packet.server_port() == 8080);
    assert_eq!(notable(&captures.lines(&[])), [(8080, "syn-unanswered".to_owned(), Vec::new())]);
}

#[test]
fn what_a_damaged_capture_lacks_is_not_called_lost() {
    let captures = Captures::of(Names::Same, |_| true);
    let server = captures.path("server.pcap");
    let mut bytes = std::fs::read(&server).expect("the capture");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 80].fill(0xff);
    std::fs::write(&server, bytes).expect("written");
    let lines = captures.lines(&[]);
    let located: Vec<String> = notable(&lines).into_iter().flat_map(|it| it.2).collect();
    assert_eq!(located, ["syn-ack-lost"], "the client's end is whole");
    assert!(lines.last().expect("a summary")["points"].is_object());
    let text = captures.run(&[]).stdout;
    assert!(text.contains("server.pcap lacks packets"), "{text}");
}

#[test]
fn points_can_be_named_and_are_refused_where_they_have_nothing_in_common() {
    let captures = Captures::of(Names::Same, |_| true);
    let [client, server] = ["client.pcap", "server.pcap"].map(|name| captures.path(name));
    let [a, b] = [format!("shop={client}"), format!("db={server}")];
    let ran = run(&["pcap", "--point", &a, "--point", &b, "port", "8082"]);
    assert!(ran.stdout.contains("shop (clients' side) and db (servers' side)"), "{}", ran.stdout);
    assert!(ran.stdout.contains("1 ACK lost on the way to the server's side"), "{}", ran.stdout);
    let ran = run(&["pcap", "--point", &a, "--point", &b, "port", "9"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (64, ""));
    assert!(ran.stderr.contains("have no handshake in common"), "{}", ran.stderr);
    assert_eq!(run(&["pcap", "--point", &a, "--pieces"]).status, 64);
}

#[test]
fn the_two_points_as_a_user_sees_them() {
    let captures = Captures::of(Names::Same, |_| true);
    let folder = captures.folder.path().to_str().expect("UTF-8").to_owned();
    insta::assert_snapshot!("points-summary", captures.run(&[]).stdout.replace(&folder, "."));
    insta::assert_snapshot!("points-handshakes", captures.run(&["--handshakes"]).stdout);
    insta::assert_snapshot!("points-sequence", captures.run(&["--sequence", "19"]).stdout);
    let svg = captures.run(&["--sequence", "19", "--svg", "-"]).stdout;
    assert!(svg.contains("server.pcap") && svg.contains("not seen at the server"), "{svg}");
    let page = captures.run(&["--html", "-"]).stdout;
    assert!(page.contains("server.pcap is 3,725.000"), "{page}");
}
