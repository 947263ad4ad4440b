//! Narrows a report to some listeners, destinations, processes or namespaces.

mod error;

use std::collections::BTreeSet;

use halfopen_evidence::{Endpoint, Listener, Netns, Pid};

use crate::Subject;

pub use error::FilterError;

/// What a report is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {}

impl Filter {
    /// Matches everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self {}
    }

    /// Reads a filter; an empty text matches everything.
    ///
    /// # Errors
    /// If the text is no filter; the error says where and what was expected.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.trim().is_empty() {
            return Ok(Self::everything());
        }
        Err(FilterError::new(text, 0, "nothing yet", ":8080"))
    }

    /// The local ports, if it can match nothing but sockets with these.
    #[must_use]
    pub fn local_ports(&self) -> Option<BTreeSet<u16>> {
        None
    }

    /// The names of namespaces, if it can match nothing outside them.
    #[must_use]
    pub fn netns_names(&self) -> Option<BTreeSet<String>> {
        None
    }

    /// The processes, if it can match nothing but what belongs to these.
    #[must_use]
    pub fn pids(&self) -> Option<BTreeSet<Pid>> {
        None
    }

    /// Whether it asks which processes hold a socket, so that they must be found before it is used.
    #[must_use]
    pub fn needs_holders(&self) -> bool {
        false
    }

    /// Whether it matches the subject of a finding.
    #[must_use]
    pub fn matches(&self, _subject: &Subject) -> bool {
        true
    }

    /// Whether it matches a listening socket.
    #[must_use]
    pub fn matches_listener(&self, _: &Netns, _: &Endpoint, _: &Listener) -> bool {
        true
    }
}
