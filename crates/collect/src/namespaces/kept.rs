//! Something that is kept open in each network namespace of a scope, while namespaces come and go.

use std::collections::BTreeSet;
use std::path::PathBuf;

use halfopen_evidence::{Missing, NetnsId, NetnsLabel};

use super::{Discovery, Found, discover, visit};
use crate::proc::ProcRoot;
use crate::{CollectError, NetnsScope};

/// A namespace that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedNetns {
    /// Its number.
    pub id: NetnsId,
    /// What it is called.
    pub label: String,
    /// Whether it is the collector's own.
    pub is_own: bool,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    proc: PathBuf,
    root: ProcRoot,
    scope: NetnsScope,
    has_looked: bool,
    all: Vec<(WatchedNetns, T)>,
}

/// Why nothing is kept in a namespace.
pub(crate) enum Closed<E> {
    /// It cannot be entered.
    NotEntered(Missing),
    /// It was entered, and this came of the attempt to open something there.
    NotOpened(E),
}

impl<T: Send> Kept<T> {
    /// Nothing is open yet.
    pub(crate) fn new(scope: NetnsScope) -> Self {
        let proc = PathBuf::from("/proc");
        Self { root: ProcRoot::new(&proc), proc, scope, has_looked: false, all: Vec::new() }
    }

    pub(crate) fn scope(&self) -> &NetnsScope {
        &self.scope
    }

    /// What is open, each at its place.
    pub(crate) fn all(&self) -> &[(WatchedNetns, T)] {
        &self.all
    }

    /// What is open at a place.
    pub(crate) fn at(&mut self, place: usize) -> Option<&mut T> {
        self.all.get_mut(place).map(|(_, open)| open)
    }

    /// What is open in a namespace.
    pub(crate) fn in_netns(&mut self, id: NetnsId) -> Option<&mut T> {
        self.all.iter_mut().find(|(netns, _)| netns.id == id).map(|(_, open)| open)
    }

    /// Looks for namespaces: leaves those that nobody is in any more, which what is open there would
    /// keep alive, and opens something in those that are new. `gone` is told the place of each before it
    /// is left; `open` is called inside each, with how many there are in all. Returns those that stay
    /// closed; one that went away meanwhile is none of them.
    ///
    /// # Errors
    /// If `/proc` cannot be read, or, at the first look, there is no namespace that the scope names.
    pub(crate) fn look<E: Send>(
        &mut self,
        mut gone: impl FnMut(usize),
        open: impl Fn(usize) -> Result<T, E> + Send,
    ) -> Result<Vec<(WatchedNetns, Closed<E>)>, CollectError> {
        let found = match discover(&self.root, &self.proc, &self.scope) {
            Ok(Discovery { found, .. }) => found,
            // The one that was named is gone.
            Err(CollectError::NoSuchNetns { .. } | CollectError::NetnsOfProcess { .. })
                if self.has_looked =>
            {
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        self.has_looked = true;
        let there: BTreeSet<NetnsId> = found.iter().map(|found| found.id).collect();
        for place in (0..self.all.len()).rev() {
            if !there.contains(&self.all[place].0.id) {
                gone(place);
                self.all.remove(place);
            }
        }
        let known: BTreeSet<NetnsId> = self.all.iter().map(|(netns, _)| netns.id).collect();
        let new: Vec<&Found> = found.iter().filter(|found| !known.contains(&found.id)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let in_all = self.all.len() + new.len();
        let opened = visit(&new, &self.proc, move |found, entered| {
            let label = NetnsLabel::best(&found.labels, found.id);
            let netns = WatchedNetns { id: found.id, label, is_own: found.is_own };
            (netns, entered.map(|_| open(in_all)))
        })?;
        let mut closed = Vec::new();
        for (netns, opened) in opened {
            match opened {
                Ok(Ok(open)) => self.all.push((netns, open)),
                Ok(Err(error)) => closed.push((netns, Closed::NotOpened(error))),
                Err(Missing::Vanished) => {}
                Err(why) => closed.push((netns, Closed::NotEntered(why))),
            }
        }
        Ok(closed)
    }
}
