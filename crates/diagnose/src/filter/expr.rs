//! A filter as a tree, and three-valued logic over it (Kleene's).

use std::collections::BTreeSet;
use std::fmt;

use halfopen_evidence::Pid;

use super::prefix::Prefix;

/// An answer that may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    /// For certain not.
    No,
    /// What decides it was not seen.
    Unknown,
    /// For certain.
    Yes,
}

/// A filter that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Test(Test),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// One question to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    SourcePort(Ports),
    DestinationPort(Ports),
    EitherPort(Ports),
    Source(Prefix),
    Destination(Prefix),
    Pid(Pid),
    Comm(String),
    Netns(String),
    Uid(u32),
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl Expr {
    pub(super) fn truth(&self, answer: &dyn Fn(&Test) -> Truth) -> Truth {
        match self {
            Self::Test(test) => answer(test),
            Self::Not(expr) => !expr.truth(answer),
            Self::And(all) => all.iter().map(|e| e.truth(answer)).min().unwrap_or(Truth::Yes),
            Self::Or(any) => any.iter().map(|e| e.truth(answer)).max().unwrap_or(Truth::No),
        }
    }

    /// Whether some test of it is such.
    pub(super) fn any(&self, such: &dyn Fn(&Test) -> bool) -> bool {
        match self {
            Self::Test(test) => such(test),
            Self::Not(expr) => expr.any(such),
            Self::And(all) | Self::Or(all) => all.iter().any(|expr| expr.any(such)),
        }
    }

    /// The values outside which nothing matches, if there is such a limit; `of` says it of a test.
    pub(super) fn only<T: Ord + Clone>(
        &self,
        of: &dyn Fn(&Test) -> Option<BTreeSet<T>>,
    ) -> Option<BTreeSet<T>> {
        match self {
            Self::Test(test) => of(test),
            Self::Not(_) => None,
            Self::And(all) => all.iter().filter_map(|expr| expr.only(of)).reduce(|a, b| &a & &b),
            Self::Or(any) => {
                let limits: Option<Vec<_>> = any.iter().map(|expr| expr.only(of)).collect();
                limits.map(|limits| limits.into_iter().flatten().collect())
            }
        }
    }
}

impl Expr {
    /// Values of which one holds for whatever matches, if there are such; `of` says it of a test.
    pub(super) fn any_of<T>(&self, of: &dyn Fn(&Test) -> Option<T>) -> Option<Vec<T>> {
        match self {
            Self::Test(test) => of(test).map(|value| vec![value]),
            Self::Not(_) => None,
            Self::And(all) => all.iter().find_map(|expr| expr.any_of(of)),
            Self::Or(any) => {
                let parts: Option<Vec<_>> = any.iter().map(|expr| expr.any_of(of)).collect();
                parts.map(|parts| parts.into_iter().flatten().collect())
            }
        }
    }
}

impl Ports {
    pub(super) const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    pub(super) const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Each of them, unless there are more than that.
    pub(super) fn listed(self, most: usize) -> Option<BTreeSet<u16>> {
        let ports = self.first..=self.last;
        (ports.len() <= most).then(|| ports.collect())
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Truth {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(test) => test.fmt(f),
            Self::Not(expr) => {
                f.write_str("not ")?;
                expr.fmt_part(f)
            }
            Self::And(all) => Self::fmt_joined(all, " and ", f),
            Self::Or(any) => Self::fmt_joined(any, " or ", f),
        }
    }
}

impl Expr {
    fn fmt_joined(parts: &[Self], join: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(join)?;
            }
            part.fmt_part(f)?;
        }
        Ok(())
    }

    fn fmt_part(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(_) | Self::Not(_) => write!(f, "{self}"),
            Self::And(_) | Self::Or(_) => write!(f, "({self})"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourcePort(ports) => write!(f, "sport {ports}"),
            Self::DestinationPort(ports) => write!(f, "dport {ports}"),
            Self::EitherPort(ports) => write!(f, "port {ports}"),
            Self::Source(prefix) => write!(f, "src {prefix}"),
            Self::Destination(prefix) => write!(f, "dst {prefix}"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Comm(name) => write!(f, "comm {}", Quoted(name)),
            Self::Netns(name) => write!(f, "netns {}", Quoted(name)),
            Self::Uid(uid) => write!(f, "uid {uid}"),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { first, last } if first == last => write!(f, "= :{first}"),
            Self { first, last: u16::MAX } => write!(f, ">= :{first}"),
            Self { first: 0, last } => write!(f, "<= :{last}"),
            Self { first, last } => write!(f, "= :{first}-{last}"),
        }
    }
}

/// A word in quotes, so that no name is taken for anything else.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
