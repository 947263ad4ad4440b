//! What a look takes in: which network namespaces, and which ports.

use std::collections::BTreeSet;

use halfopen_evidence::{NetnsId, Pid};

/// What to look at. The default is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Which network namespaces.
    pub netns: NetnsScope,
    /// Only connections with one of these ports at either end. Listeners are always looked at, all
    /// of them: that is cheap, and whether a counter of the namespace belongs to one of them depends
    /// on the others.
    pub ports: Option<BTreeSet<u16>>,
    /// Loads no BPF programs.
    pub without_bpf: bool,
}

/// Which network namespaces to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetnsScope {
    /// Every one that can be found and entered.
    #[default]
    All,
    /// The collector's own.
    Own,
    /// That of a process.
    OfProcess(Pid),
    /// Those with one of these numbers.
    Ids(BTreeSet<NetnsId>),
    /// Those that go by this name: a bind mount's name, `host`, a pod's uid or a container's id (or
    /// a beginning of either with at least six characters), a unit, a process name, or a number.
    Named(String),
}
