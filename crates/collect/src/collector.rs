//! The collector: what the binary holds while it looks at this host.

use std::path::PathBuf;
use std::time::Duration;

use halfopen_evidence::{Between, Snapshot, Want};

use crate::{CollectError, Scope};

/// Reads this host. See the crate's text.
#[derive(Debug)]
pub struct Collector {
    proc_root: PathBuf,
    scope: Scope,
}

impl Collector {
    /// A collector of what the scope names.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    pub fn new(scope: Scope) -> Result<Self, CollectError> {
        Ok(Self { proc_root: PathBuf::from("/proc"), scope })
    }

    /// The cheap evidence of everything in scope: a few small files and at most three dumps per
    /// network namespace. Holders and processes are not looked for.
    ///
    /// # Errors
    /// If not even one network namespace could be read, or none is called what the scope names.
    pub fn look(&mut self) -> Result<Snapshot, CollectError> {
        let _ = (&self.proc_root, &self.scope);
        Err(CollectError::Thread(std::io::ErrorKind::Unsupported.into()))
    }

    /// Dear evidence, into the snapshot. Of what was asked for nothing is left
    /// [`halfopen_evidence::Missing::NotCollected`]: it is there, or says why it cannot be.
    pub fn fetch(&mut self, snapshot: &mut Snapshot, wants: &[Want]) {
        let _ = (snapshot, wants);
    }

    /// Sleeps through a window and samples meanwhile, about ten times a second: the accept queues of
    /// the listeners that matter, and the threads of the snapshot's processes. Ends early if `stop`
    /// says so.
    pub fn watch(
        &mut self,
        snapshot: &Snapshot,
        window: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Between {
        let _ = (snapshot, window, stop);
        Between::default()
    }

    /// Looks for one holder of each listener among the first descriptors of each process: quick, and
    /// enough for a table.
    pub fn name_listeners(&mut self, snapshot: &mut Snapshot) {
        let _ = snapshot;
    }
}
