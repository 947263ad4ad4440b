//! Narrows a check to some listeners, destinations, processes or namespaces.
//!
//! The language is that of ss and tcpdump, cut to what findings are about:
//!
//! ```text
//! :8080                  a listener's port, or the port of a destination; also: 8080, port 8080
//! sport = :8080          a listener's port; also != < <= > >=, and a range: sport 8000-8010
//! dport = :443           a destination's port
//! src 10.0.0.0/8         a local address, alone, with a prefix length or with a port
//! dst 10.0.0.7:443       a remote address
//! host 10.0.0.7          either
//! pid 812                what a process holds
//! comm nginx             what processes of that name hold; also: process nginx
//! netns blue             a namespace by name, pod, container, unit, process name or number
//! uid 33                 listeners that a user made
//! ```
//!
//! joined by `and` (or nothing), `or`, `not` and parentheses, or by `&&`, `||` and `!`. A word with
//! odd characters goes into quotes.
//!
//! What is not known is neither a yes nor a no: who holds a listener that nobody was allowed to look
//! at, for one. Such a subject is left out, by `pid 812` and by `not pid 812` alike, and the report
//! says how many there were.

mod error;
mod expr;
mod parse;
mod prefix;
mod token;
mod traits;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use halfopen_evidence::{Endpoint, Listener, Netns, Pid};

use crate::Subject;
pub(crate) use expr::Truth;
use expr::{Expr, Test};
use traits::Traits;

pub use error::FilterError;

/// Ports of a range that are still listed one by one.
const LISTED_PORTS: usize = 1024;

/// What a check is narrowed to. See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    expr: Option<Expr>,
}

impl Filter {
    /// Matches everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self { expr: None }
    }

    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    /// If the text is no filter; the error says where and what was expected.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Ok(Self { expr: parse::parse(text)? })
    }

    /// Whether it matches everything.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.expr.is_none()
    }

    /// The local ports, if it can match nothing but sockets with one of these: `sport = :8080`, not
    /// `:8080`, which may be a destination's port too.
    #[must_use]
    pub fn local_ports(&self) -> Option<BTreeSet<u16>> {
        self.only(&|test| match test {
            Test::SourcePort(ports) => ports.listed(LISTED_PORTS),
            _ => None,
        })
    }

    /// The ports, if it can match nothing but sockets with one of these at the one end or the other.
    #[must_use]
    pub fn ports(&self) -> Option<BTreeSet<u16>> {
        self.only(&|test| match test {
            Test::SourcePort(ports) | Test::DestinationPort(ports) | Test::EitherPort(ports) => {
                ports.listed(LISTED_PORTS)
            }
            _ => None,
        })
    }

    /// Networks, each by an address and the number of bits that its addresses share, if it can match
    /// nothing but sockets with an address in one of these at the one end or the other. They may hold
    /// more than what it matches.
    #[must_use]
    pub fn networks(&self) -> Option<Vec<(IpAddr, u8)>> {
        self.expr.as_ref()?.any_of(&|test| match test {
            Test::Source(prefix) | Test::Destination(prefix) => Some(prefix.parts()),
            _ => None,
        })
    }

    /// The names or numbers of namespaces, if it can match nothing outside them.
    #[must_use]
    pub fn netns_names(&self) -> Option<BTreeSet<String>> {
        self.only(&|test| match test {
            Test::Netns(name) => Some(BTreeSet::from([name.clone()])),
            _ => None,
        })
    }

    /// The processes, if it can match nothing but what belongs to one of these.
    #[must_use]
    pub fn pids(&self) -> Option<BTreeSet<Pid>> {
        self.only(&|test| match test {
            Test::Pid(pid) => Some(BTreeSet::from([*pid])),
            _ => None,
        })
    }

    /// Whether it asks which processes hold a socket, so that all of them must be found before it is
    /// used.
    #[must_use]
    pub fn needs_holders(&self) -> bool {
        self.expr
            .as_ref()
            .is_some_and(|expr| expr.any(&|test| matches!(test, Test::Pid(_) | Test::Comm(_))))
    }

    /// Whether it asks for the users that sockets belong to.
    #[must_use]
    pub fn needs_uids(&self) -> bool {
        self.expr.as_ref().is_some_and(|expr| expr.any(&|test| matches!(test, Test::Uid(_))))
    }

    /// Whether it matches the subject of a finding, for certain.
    #[must_use]
    pub fn matches(&self, subject: &Subject) -> bool {
        self.subject_truth(subject) == Truth::Yes
    }

    /// Whether it matches a listening socket, for certain.
    #[must_use]
    pub fn matches_listener(
        &self,
        netns: &Netns,
        endpoint: &Endpoint,
        listener: &Listener,
    ) -> bool {
        self.listener_truth(netns, endpoint, listener) == Truth::Yes
    }

    /// Whether it matches the subject of a finding.
    pub(crate) fn subject_truth(&self, subject: &Subject) -> Truth {
        self.truth(&Traits::of_subject(subject))
    }

    /// Whether it matches a listening socket.
    pub(crate) fn listener_truth(
        &self,
        netns: &Netns,
        endpoint: &Endpoint,
        listener: &Listener,
    ) -> Truth {
        self.truth(&Traits::of_listener(netns, endpoint, listener))
    }

    /// Whether something in this namespace could match.
    pub(crate) fn concerns_netns(&self, netns: &Netns) -> bool {
        self.could(&|test| match test {
            Test::Netns(name) => traits::is_called(netns, name).into(),
            _ => Truth::Unknown,
        })
    }

    /// Whether a listener could match; else it is about outgoing connections alone.
    pub(crate) fn concerns_listeners(&self) -> bool {
        self.could(&|test| match test {
            Test::DestinationPort(_) | Test::Destination(_) => Truth::No,
            _ => Truth::Unknown,
        })
    }

    /// Whether it names a port of listeners and nothing else.
    pub(crate) const fn is_plain_port(&self) -> bool {
        matches!(self.expr, Some(Expr::Test(Test::EitherPort(_) | Test::SourcePort(_))))
    }

    fn could(&self, test: &dyn Fn(&Test) -> Truth) -> bool {
        self.expr.as_ref().is_none_or(|expr| expr.truth(test) != Truth::No)
    }

    fn truth(&self, traits: &Traits<'_>) -> Truth {
        self.expr.as_ref().map_or(Truth::Yes, |expr| expr.truth(&|test| traits.answer(test)))
    }

    fn only<T: Ord + Clone>(
        &self,
        of: &dyn Fn(&Test) -> Option<BTreeSet<T>>,
    ) -> Option<BTreeSet<T>> {
        self.expr.as_ref()?.only(of)
    }
}

/// The filter in a form that [`Filter::parse`] reads back as the same filter.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.as_ref().map_or(Ok(()), |expr| expr.fmt(f))
    }
}

#[cfg(test)]
mod tests;
