//! Picks segments in the everyday part of tcpdump's language.
//!
//! ```text
//! host 10.0.0.7            either address; also src host, dst host, src, dst, or only the address
//! net 10.0.0.0/8           either address; also src net, dst net
//! port 443                 either port; also src port, dst port
//! portrange 8000-8010      either port; also src portrange, dst portrange
//! tcp, ip, ip6             any segment, one over IPv4, one over IPv6; also before the above: tcp port 80
//! vlan, vlan 7             in any VLAN, in that one; unlike in tcpdump, what follows needs no order
//! src and dst net 10/8     both ends; src or dst: either, as without
//! ```
//!
//! joined by `and`, `or`, `not` and parentheses, or by `&&`, `||` and `!`. As in tcpdump, `and` and `or`
//! bind equally, from left to right, and `port 80 or 443` is short for `port 80 or port 443`.
//!
//! Left out: names of hosts and services, since nothing is looked up here; bytes of headers such as
//! `tcp[tcpflags]`; other protocols than TCP. The filter of `halfopen check` is another language
//! (crates/diagnose/src/filter), about sockets and their owners, and its answers may be unknown.

mod error;
mod expr;
mod parse;
#[cfg(test)]
mod tests;
mod token;

use crate::decode::Scopes;
use crate::observed::{IcmpError, TcpSegment};
use expr::{Expr, Subject};

pub use error::FilterError;

/// What an analysis is narrowed to. See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    expr: Option<Expr>,
}

impl Filter {
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

    /// Whether it matches a segment.
    #[must_use]
    #[inline]
    pub fn matches(&self, segment: &TcpSegment, scopes: &Scopes) -> bool {
        let TcpSegment { from, to, scope, .. } = *segment;
        self.expr.as_ref().is_none_or(|expr| {
            expr.matches(&Subject { from: from.into(), to: to.into(), scope, scopes })
        })
    }

    /// Whether it matches the segment that an ICMP error is about.
    #[must_use]
    pub fn matches_error(&self, error: &IcmpError, scopes: &Scopes) -> bool {
        let IcmpError { from, to, scope, .. } = *error;
        self.expr.as_ref().is_none_or(|expr| {
            expr.matches(&Subject { from: from.into(), to: to.into(), scope, scopes })
        })
    }
}
