//! Reads a filter.

use std::net::{IpAddr, Ipv4Addr};

use super::error::FilterError;
use super::expr::{Expr, Net, Side, Test};
use super::token::{Token, tokens};

/// Parentheses and negations in one another.
const MAX_DEPTH: usize = 64;

const PRIMITIVE: &str = "host, net, port, portrange, tcp, ip, ip6, vlan, an address, not or (";
const OPERATOR: &str = "and, or, or the end";
const ADDRESS: &str = "an IP address (names are not looked up)";
const NET: &str = "a network such as 10.0.0.0/8, with no bits set beyond its length";
const PORT: &str = "a port number (names are not looked up)";
const RANGE: &str = "ports such as 8000-8010, the lower one first";
const VLAN: &str = "a VLAN number up to 4095";
const ANOTHER_PROTOCOL: &str = "a filter for TCP: other protocols are not analysed";
const BYTES: &str = "no bytes of headers: only addresses, ports and VLANs are filtered";

/// The filter of a text; nothing if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Expr>, FilterError> {
    let mut parser = Parser { text, tokens: tokens(text), next: 0, kind: None, side: Side::Either };
    if parser.tokens.is_empty() {
        return Ok(None);
    }
    let expr = parser.expr(0)?;
    match parser.peek() {
        Some(_) => Err(parser.error(OPERATOR)),
        None => Ok(Some(expr)),
    }
}

/// What an identifier names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    /// What was said last, which counts for an identifier that says nothing: `port 80 or 443`.
    kind: Option<Kind>,
    side: Side,
}

impl<'a> Parser<'a> {
    /// `and` and `or` bind equally, from left to right (pcap-filter(7)).
    fn expr(&mut self, depth: usize) -> Result<Expr, FilterError> {
        let mut left = self.term(depth)?;
        loop {
            if self.takes(&["and", "&&"]) {
                left = left.and(self.term(depth)?);
            } else if self.takes(&["or", "||"]) {
                left = left.or(self.term(depth)?);
            } else {
                return Ok(left);
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Expr, FilterError> {
        if depth > MAX_DEPTH {
            return Err(self.error("fewer parentheses and negations in one another"));
        }
        if self.takes(&["not", "!"]) {
            return Ok(Expr::Not(Box::new(self.term(depth + 1)?)));
        }
        if self.takes(&["("]) {
            let inner = self.expr(depth + 1)?;
            return if self.takes(&[")"]) { Ok(inner) } else { Err(self.error("and, or, or )")) };
        }
        self.primitive()
    }

    /// `[tcp|ip|ip6] [src|dst] [host|net|port|portrange] WHAT`, or a part of it that means something.
    fn primitive(&mut self) -> Result<Expr, FilterError> {
        if self.takes(&["vlan"]) {
            return self.vlan();
        }
        if matches!(self.peek(), Some("udp" | "icmp" | "icmp6" | "arp" | "rarp" | "sctp" | "ether"))
        {
            return Err(self.error(ANOTHER_PROTOCOL));
        }
        if self.peek().is_some_and(|word| word.contains('[')) {
            return Err(self.error(BYTES));
        }
        let protocol = if self.takes(&["tcp"]) {
            Some(Expr::Tcp)
        } else if self.takes(&["ip"]) {
            Some(Expr::Ip { v4: true })
        } else if self.takes(&["ip6"]) {
            Some(Expr::Ip { v4: false })
        } else {
            None
        };
        let side = self.side();
        let kind = self.kind();
        let Some(protocol) = protocol else { return self.ends(side, kind) };
        if side.is_none() && kind.is_none() {
            return Ok(protocol);
        }
        Ok(protocol.and(self.ends(side, kind)?))
    }

    /// After the words that say which end and what kind, if any do.
    fn ends(&mut self, side: Option<Side>, kind: Option<Kind>) -> Result<Expr, FilterError> {
        if side.is_none() && kind.is_none() {
            // What was said last still counts, but a whole address is one anyway.
            let Some(word) = self.peek() else { return Err(self.error(PRIMITIVE)) };
            let said = self.kind.unwrap_or(Kind::Host);
            if word.parse::<IpAddr>().is_ok() && matches!(said, Kind::Port | Kind::PortRange) {
                (self.kind, self.side) = (Some(Kind::Host), Side::Either);
            } else if self.kind.is_none() && word.parse::<IpAddr>().is_err() {
                return Err(self.error(PRIMITIVE));
            }
        } else {
            self.side = side.unwrap_or(Side::Either);
            self.kind = kind.or(Some(Kind::Host));
        }
        let (side, kind) = (self.side, self.kind.unwrap_or(Kind::Host));
        let (read, expected): (fn(&str) -> Option<Test>, _) = match kind {
            Kind::Host => (host, ADDRESS),
            Kind::Net => (net, NET),
            Kind::Port => (port, PORT),
            Kind::PortRange => (port_range, RANGE),
        };
        let test = self.peek().and_then(read).ok_or_else(|| self.error(expected))?;
        self.next += 1;
        Ok(Expr::Ends(side, test))
    }

    fn side(&mut self) -> Option<Side> {
        let (here, sign, there) = (self.peek()?, self.word(1), self.word(2));
        let (side, words) =
            match (here, sign, there) {
                ("src", Some("and" | "&&"), Some("dst"))
                | ("dst", Some("and" | "&&"), Some("src")) => (Side::Both, 3),
                ("src", Some("or" | "||"), Some("dst"))
                | ("dst", Some("or" | "||"), Some("src")) => (Side::Either, 3),
                ("src", ..) => (Side::Source, 1),
                ("dst", ..) => (Side::Destination, 1),
                _ => return None,
            };
        self.next += words;
        Some(side)
    }

    fn kind(&mut self) -> Option<Kind> {
        let kind = match self.peek()? {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            _ => return None,
        };
        self.next += 1;
        Some(kind)
    }

    fn vlan(&mut self) -> Result<Expr, FilterError> {
        match self.peek() {
            None | Some("and" | "&&" | "or" | "||" | ")") => Ok(Expr::Vlan(None)),
            Some(number) => match number.parse() {
                Ok(vlan @ ..4096) => {
                    self.next += 1;
                    Ok(Expr::Vlan(Some(vlan)))
                }
                _ => Err(self.error(VLAN)),
            },
        }
    }

    fn peek(&self) -> Option<&'a str> {
        self.word(0)
    }

    fn word(&self, after: usize) -> Option<&'a str> {
        self.tokens.get(self.next + after).map(|token| token.text)
    }

    fn takes(&mut self, words: &[&str]) -> bool {
        let there = self.peek().is_some_and(|word| words.contains(&word));
        self.next += usize::from(there);
        there
    }

    fn error(&self, expected: &'static str) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |token| token.at);
        FilterError::new(self.text, at, expected)
    }
}

fn host(word: &str) -> Option<Test> {
    let address: IpAddr = word.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    Some(Test::Net(Net { address, bits }))
}

/// `10.0.0.0/8`, or as tcpdump has it `10.1`, which is `10.1.0.0/16`, also with a length.
fn net(word: &str) -> Option<Test> {
    let (address, bits) = match word.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (word, None),
    };
    let (address, most, usual) = match address.parse::<IpAddr>() {
        Ok(address @ IpAddr::V6(_)) => (address, 128, 128),
        Ok(address @ IpAddr::V4(_)) => (address, 32, 32),
        Err(_) => {
            let (address, bits) = short_v4(address)?;
            (IpAddr::V4(address), 32, bits)
        }
    };
    let bits = bits.unwrap_or(usual);
    let net = Net { address, bits };
    (bits <= most && net.is_clean()).then_some(Test::Net(net))
}

/// One to three numbers.
fn short_v4(text: &str) -> Option<(Ipv4Addr, u8)> {
    let mut numbers = [0; 4];
    let mut bits = 0;
    for (place, part) in text.split('.').enumerate() {
        *numbers.get_mut(place)? = part.parse().ok()?;
        bits += 8;
    }
    Some((Ipv4Addr::from(numbers), bits))
}

fn port(word: &str) -> Option<Test> {
    let port = word.parse().ok()?;
    Some(Test::Ports { first: port, last: port })
}

fn port_range(word: &str) -> Option<Test> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(Test::Ports { first, last })
}
