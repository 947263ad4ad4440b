//! Reads a filter by recursive descent. Text comes from a command line or a script: it is untrusted,
//! so its length and the depth of its nesting are bounded.

use std::net::IpAddr;
use std::str::FromStr;

use halfopen_evidence::Pid;

use super::FilterError;
use super::expr::{Expr, Ports, Test};
use super::prefix::Prefix;
use super::token::{Compare, Token, TokenKind, tokens};

/// Longest filter, in bytes.
const LENGTH_MAX: usize = 4096;

/// Deepest nesting of parentheses and negations.
const DEPTH_MAX: usize = 64;

/// Reads a filter; `None` for an empty one.
pub(super) fn parse(text: &str) -> Result<Option<Expr>, FilterError> {
    if text.len() > LENGTH_MAX {
        let short: String = text.chars().take(60).collect();
        let at = short.len();
        return Err(FilterError::new(&short, at, "at most 4096 bytes in all", ":8080 or :8443"));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Ok(None);
    }
    let expr = parser.any_of()?;
    match parser.peek() {
        None => Ok(Some(expr)),
        Some(_) => Err(parser.error("the end, or `and` or `or`", ":8080 or :8443")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

/// What a comparison compares with: the words for it in an error.
struct Wanted {
    what: &'static str,
    example: &'static str,
}

const PORT: Wanted = Wanted { what: "a port number from 0 to 65535", example: "sport = :8080" };
const ADDRESS: Wanted =
    Wanted { what: "an address, with a prefix length or a port", example: "src 10.0.0.0/8" };
const PID: Wanted = Wanted { what: "a process id", example: "pid 812" };
const UID: Wanted = Wanted { what: "a user's number", example: "uid 33" };
const COMM: Wanted = Wanted { what: "the name of a process", example: "comm nginx" };
const NETNS: Wanted =
    Wanted { what: "the name or number of a network namespace", example: "netns blue" };

impl Parser<'_> {
    fn any_of(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.all_of()?];
        while self.takes(&TokenKind::Or) {
            parts.push(self.all_of()?);
        }
        Ok(join(parts, Expr::Or))
    }

    fn all_of(&mut self) -> Result<Expr, FilterError> {
        let mut parts = vec![self.part()?];
        while self.takes(&TokenKind::And) || self.peek().is_some_and(begins_part) {
            parts.push(self.part()?);
        }
        Ok(join(parts, Expr::And))
    }

    fn part(&mut self) -> Result<Expr, FilterError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("less nesting", "not (:8080 or :8443)"));
        }
        self.depth += 1;
        let expr = if self.takes(&TokenKind::Not) {
            Expr::Not(Box::new(self.part()?))
        } else if self.takes(&TokenKind::Open) {
            let inside = self.any_of()?;
            if !self.takes(&TokenKind::Close) {
                return Err(self.error("a closing parenthesis", "(:8080 or :8443) and netns blue"));
            }
            inside
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self) -> Result<Expr, FilterError> {
        let Some(TokenKind::Word(word)) = self.peek() else {
            return Err(self.no_test());
        };
        let keyword = word.to_ascii_lowercase();
        if word.starts_with([':', '*']) || word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.plain_port();
        }
        match keyword.as_str() {
            "sport" => self.port(Test::SourcePort),
            "dport" => self.port(Test::DestinationPort),
            "port" | "portrange" => self.port(Test::EitherPort),
            "src" => self.end(Test::Source, Test::SourcePort),
            "dst" => self.end(Test::Destination, Test::DestinationPort),
            "host" | "net" => self.either_end(),
            "pid" => self.number(&PID, |pid| Test::Pid(Pid(pid))),
            "uid" => self.number(&UID, Test::Uid),
            "comm" | "process" => self.name(&COMM, Test::Comm),
            "netns" => self.name(&NETNS, Test::Netns),
            _ => Err(self.no_test()),
        }
    }

    fn plain_port(&mut self) -> Result<Expr, FilterError> {
        let ports = self.word().and_then(|word| ports(&word)).ok_or_else(|| {
            self.error_before(
                "a port number from 0 to 65535, or src or dst before an address",
                ":8080",
            )
        })?;
        Ok(Expr::Test(Test::EitherPort(ports)))
    }

    /// After `sport`, `dport` or `port`.
    fn port(&mut self, test: fn(Ports) -> Test) -> Result<Expr, FilterError> {
        self.next += 1;
        let compare = self.compare();
        let given = self.value(&PORT, ports)?;
        let Ports { first, last } = given;
        if matches!(compare, Compare::Equal | Compare::NotEqual) {
            return Ok(equal(compare, Expr::Test(test(given))));
        }
        let one = if first == last { Some(first) } else { None };
        let ports = one.and_then(|port| match compare {
            Compare::Less => Some(Ports { first: 0, last: port.checked_sub(1)? }),
            Compare::LessOrEqual => Some(Ports { first: 0, last: port }),
            Compare::Greater => Some(Ports { first: port.checked_add(1)?, last: u16::MAX }),
            _ => Some(Ports { first: port, last: u16::MAX }),
        });
        let ports = ports.ok_or_else(|| {
            self.error_before("one port that others can lie below or above", "sport >= :1024")
        })?;
        Ok(Expr::Test(test(ports)))
    }

    /// After `src` or `dst`: an address, a port or both. tcpdump's `src host`, `src net` and
    /// `src port` are the same.
    fn end(
        &mut self,
        address: fn(Prefix) -> Test,
        port: fn(Ports) -> Test,
    ) -> Result<Expr, FilterError> {
        if self.second_word_is(&["port", "portrange"]) {
            self.next += 1;
            return self.port(port);
        }
        let (compare, end) = self.address()?;
        Ok(equal(compare, end.expr(address, port)))
    }

    /// After `host` or `net`: the address of either end.
    fn either_end(&mut self) -> Result<Expr, FilterError> {
        let (compare, end) = self.address()?;
        let source = end.expr(Test::Source, Test::SourcePort);
        let destination = end.expr(Test::Destination, Test::DestinationPort);
        Ok(equal(compare, Expr::Or(vec![source, destination])))
    }

    fn address(&mut self) -> Result<(Compare, End), FilterError> {
        self.next += if self.second_word_is(&["host", "net"]) { 2 } else { 1 };
        let compare = self.equality()?;
        Ok((compare, self.value(&ADDRESS, End::read)?))
    }

    fn number(&mut self, wanted: &Wanted, test: fn(u32) -> Test) -> Result<Expr, FilterError> {
        self.next += 1;
        let compare = self.equality()?;
        let number = self.value(wanted, number)?;
        Ok(equal(compare, Expr::Test(test(number))))
    }

    fn name(&mut self, wanted: &Wanted, test: fn(String) -> Test) -> Result<Expr, FilterError> {
        self.next += 1;
        let compare = self.equality()?;
        let name = self.value(wanted, |word| (!word.is_empty()).then(|| word.to_owned()))?;
        Ok(equal(compare, Expr::Test(test(name))))
    }

    fn compare(&mut self) -> Compare {
        let Some(&TokenKind::Compare(compare)) = self.peek() else {
            return Compare::Equal;
        };
        self.next += 1;
        compare
    }

    fn equality(&mut self) -> Result<Compare, FilterError> {
        match self.compare() {
            compare @ (Compare::Equal | Compare::NotEqual) => Ok(compare),
            _ => Err(self.error_before("`=` or `!=`: only ports have an order", "sport >= :1024")),
        }
    }

    fn value<T>(
        &mut self,
        wanted: &Wanted,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, FilterError> {
        let Some(word) = self.word() else {
            return Err(self.error(wanted.what, wanted.example));
        };
        read(&word).ok_or_else(|| self.error_before(wanted.what, wanted.example))
    }

    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn takes(&mut self, kind: &TokenKind) -> bool {
        let takes = self.peek() == Some(kind);
        self.next += usize::from(takes);
        takes
    }

    fn word(&mut self) -> Option<String> {
        let (TokenKind::Word(word) | TokenKind::Quoted(word)) = self.peek()? else {
            return None;
        };
        let word = word.clone();
        self.next += 1;
        Some(word)
    }

    fn second_word_is(&self, words: &[&str]) -> bool {
        let second = self.tokens.get(self.next + 1).map(|token| &token.kind);
        matches!(second, Some(TokenKind::Word(word)) if words.contains(&word.as_str()))
    }

    fn no_test(&self) -> FilterError {
        self.error(
            "a port, or one of sport, dport, port, src, dst, host, pid, comm, netns, uid",
            "sport = :8080 and netns blue",
        )
    }

    /// About the token that comes next.
    fn error(&self, expected: &'static str, example: &'static str) -> FilterError {
        let at = self.tokens.get(self.next).map_or(self.text.len(), |token| token.at);
        FilterError::new(self.text, at, expected, example)
    }

    /// About the token that was just taken.
    fn error_before(&self, expected: &'static str, example: &'static str) -> FilterError {
        let taken = self.next.saturating_sub(1);
        let at = self.tokens.get(taken).map_or(self.text.len(), |token| token.at);
        FilterError::new(self.text, at, expected, example)
    }
}

fn begins_part(kind: &TokenKind) -> bool {
    matches!(kind, TokenKind::Word(_) | TokenKind::Open | TokenKind::Not)
}

fn join(mut parts: Vec<Expr>, joined: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            joined(parts)
        }
    }
}

fn equal(compare: Compare, expr: Expr) -> Expr {
    if compare == Compare::NotEqual { Expr::Not(Box::new(expr)) } else { expr }
}

/// `8080`, `:8080`, `*:8080` or `8000-8010`.
fn ports(word: &str) -> Option<Ports> {
    let word = word.strip_prefix('*').filter(|rest| rest.starts_with(':')).unwrap_or(word);
    let word = word.strip_prefix(':').unwrap_or(word);
    match word.split_once('-') {
        None => number(word).map(Ports::one),
        Some((first, last)) => {
            let ports = Ports { first: number(first)?, last: number(last)? };
            (ports.first <= ports.last).then_some(ports)
        }
    }
}

/// Digits alone: `parse` would take a sign too.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// One end of a connection: an address, a port, or both.
struct End {
    prefix: Option<Prefix>,
    ports: Option<Ports>,
}

impl End {
    /// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1:80`, `[fd00::1]:80`, `[fd00::1]`, `fd00::/8`, `:80`.
    fn read(word: &str) -> Option<Self> {
        if let Some(prefix) = prefix(word) {
            return Some(Self { prefix: Some(prefix), ports: None });
        }
        let (address, port) = match word.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']')?;
                (address, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => word.rsplit_once(':').map(|(address, port)| (address, Some(port)))?,
        };
        let ports = port.map(|port| ports(port).ok_or(())).transpose().ok()?;
        if matches!(address, "" | "*") {
            return ports.map(|ports| Self { prefix: None, ports: Some(ports) });
        }
        Some(Self { prefix: Some(prefix(address)?), ports })
    }

    fn expr(&self, address: fn(Prefix) -> Test, port: fn(Ports) -> Test) -> Expr {
        let tests = self.prefix.map(address).into_iter().chain(self.ports.map(port));
        join(tests.map(Expr::Test).collect(), Expr::And)
    }
}

fn prefix(word: &str) -> Option<Prefix> {
    match word.split_once('/') {
        None => Some(Prefix::one(IpAddr::from_str(word).ok()?)),
        Some((address, bits)) => Prefix::new(IpAddr::from_str(address).ok()?, number(bits)?),
    }
}
