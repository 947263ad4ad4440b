//! `docs/captures.md` as a list of pictures. What is in a block is said on the page itself.

use std::net::{IpAddr, SocketAddr};

use super::{Ends, families, packets};
use crate::Observed;

/// A block of the page.
#[derive(Debug, Default)]
pub struct Picture {
    /// The section that it is in.
    pub section: String,
    /// The line of the page on which it begins.
    pub line: usize,
    /// What it is, in the page's words.
    pub about: String,
    /// Whether it is about what IPv6 has not.
    is_of_ipv4: bool,
    /// The packets.
    script: String,
    /// How often they come, each time from another client.
    clients: Option<(u16, i64)>,
    /// How it must come out, a line per handshake, timetable and finding.
    pub expected: Vec<String>,
}

const FENCE: &str = "```";

/// The pictures of the page, in their order.
///
/// # Panics
/// If a block cannot be read.
#[must_use]
pub fn pictures(page: &str) -> Vec<Picture> {
    let mut pictures = Vec::new();
    let (mut section, mut about, mut is_new) = (String::new(), String::new(), true);
    let mut lines = page.lines().zip(1..);
    while let Some((text, line)) = lines.next() {
        if let Some(title) = text.strip_prefix("## ") {
            title.trim_matches('`').clone_into(&mut section);
        } else if let Some(kind) = text.strip_prefix("```capture") {
            let block: Vec<&str> =
                lines.by_ref().map(|(text, _)| text).take_while(|text| *text != FENCE).collect();
            let is_of_ipv4 = kind == " IPv4";
            pictures.push(Picture {
                section: section.clone(),
                line,
                is_of_ipv4,
                ..picture(&about, &block)
            });
        } else if text.is_empty() {
            is_new = true;
        } else {
            if std::mem::take(&mut is_new) {
                about.clear();
            }
            about.push_str(text);
            about.push(' ');
        }
    }
    pictures
}

/// What a block says.
fn picture(about: &str, block: &[&str]) -> Picture {
    let (mut packets, mut expected, mut clients) = (Vec::new(), Vec::new(), None);
    for text in block {
        if text.starts_with(['=', '~', '!']) {
            expected.push((*text).to_owned());
        } else if let Some(text) = text.strip_prefix("clients ") {
            let (count, every) = text.split_once(" every ").expect("clients N every MILLISECONDS");
            let every_ms: i64 = every.parse().expect("milliseconds");
            clients = Some((count.parse().expect("a number of clients"), every_ms * 1_000_000));
        } else {
            packets.push(*text);
        }
    }
    let (about, script) = (about.to_owned(), packets.join("\n"));
    Picture { about, script, clients, expected, ..Picture::default() }
}

impl Picture {
    /// Between whom it is played.
    pub fn families(&self) -> impl Iterator<Item = Ends> {
        let is_of_ipv4 = self.is_of_ipv4;
        families().into_iter().filter(move |ends| ends.client.is_ipv4() || !is_of_ipv4)
    }

    /// Its packets in the order of time.
    ///
    /// # Panics
    /// If a line cannot be read.
    #[must_use]
    pub fn packets(&self, ends: Ends) -> Vec<Observed> {
        let (clients, every_ns) = self.clients.unwrap_or((1, 0));
        let of_client = |client: u16| {
            let ends = Ends { client: another(ends.client, client), ..ends };
            let mut all = packets(&self.script, ends);
            all.iter_mut().for_each(|packet| delay(packet, i64::from(client) * every_ns));
            all
        };
        let mut all: Vec<Observed> = (0..clients).flat_map(of_client).collect();
        all.sort_by_key(time_ns);
        all.iter_mut().zip(1..).for_each(|(packet, record)| number(packet, record));
        all
    }

    /// Whether the section's outcome or mark is expected in it.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        let words = self.expected.iter().flat_map(|line| line.split(' '));
        words.map(|word| word.trim_start_matches('+')).any(|word| word == self.section)
    }
}

/// Equal lines in a row as one, with their number.
#[must_use]
pub fn counted(lines: &[String]) -> Vec<String> {
    let runs = lines.chunk_by(|one, next| one == next);
    let words = |run: &[String]| match run {
        [one] => one.clone(),
        [one, ..] => format!("{one}, {} times", run.len()),
        [] => String::new(),
    };
    runs.map(words).collect()
}

/// Another client's address; the first one's is as it was.
fn another(client: SocketAddr, number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    let ip = match client.ip() {
        IpAddr::V4(ip) => {
            let [a, _, _, d] = ip.octets();
            [a, high, low, d].into()
        }
        IpAddr::V6(ip) => {
            let mut octets = ip.octets();
            [octets[2], octets[3]] = [high, low];
            octets.into()
        }
    };
    SocketAddr::new(ip, client.port())
}

fn time_ns(packet: &Observed) -> i64 {
    match packet {
        Observed::Segment(segment) => segment.time_ns,
        Observed::IcmpError(error) => error.time_ns,
        Observed::Other => unreachable!("no script has it"),
    }
}

fn delay(packet: &mut Observed, ns: i64) {
    match packet {
        Observed::Segment(segment) => segment.time_ns += ns,
        Observed::IcmpError(error) => error.time_ns += ns,
        Observed::Other => {}
    }
}

fn number(packet: &mut Observed, record: u64) {
    match packet {
        Observed::Segment(segment) => segment.record = record,
        Observed::IcmpError(error) => error.record = record,
        Observed::Other => {}
    }
}
