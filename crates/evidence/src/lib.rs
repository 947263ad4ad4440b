//! What is known about a host, as plain values: no clock, no file, no socket.
//!
//! Collectors, recordings, pasted text and the simulator all produce these types, and the rules of
//! `halfopen-diagnose` see nothing else. So a rule cannot tell where its evidence came from, and any
//! live diagnosis can be replayed on another machine.
//!
//! - [`Snapshot`] is one look at a host: its [`Netns`]es with their [`Endpoint`]s, and the
//!   [`Process`]es that were asked about.
//! - [`Interval`] is two looks, what was sampled in between, and what changed.
//! - [`Evidence`] is either; [`Want`] is what a rule asks for when it needs more.
//! - [`Reading`] is a value, or the reason why there is none.
//! - [`SocketFold`] folds sockets into these aggregates as they stream by.
//! - [`Watched`] are handshakes folded per listener.
//! - [`Handshake`] is one attempt to make a connection, as it was seen on the way.
//! - [`KernelEvent`] is something that happened to one, as the kernel tells it.
//! - [`Recording`] is evidence in a file.
//! - [`HeavyKeys`] and [`Index`] count in bounded memory, for folds here and in other crates.

mod close_wait;
mod counters;
mod crossing;
mod destination;
mod endpoint;
mod fold;
mod goroutine;
mod handshake;
mod heavy;
mod ids;
mod index;
mod interval;
mod kernel_event;
mod labels;
mod managed;
mod netns;
mod prefetch;
mod process;
mod process_name;
mod reading;
mod recording;
mod samples;
mod snapshot;
mod stack;
mod sync;
mod traced;
mod want;
mod watched;

pub use close_wait::{CloseWaitGroup, CloseWaitSide, HeldCloseWait};
pub use counters::Counters;
pub use crossing::{Crossing, Located, Passage};
pub use destination::{Connecting, DestinationPorts, PortStates};
pub use endpoint::{
    Endpoint, EndpointKey, Holder, HolderSearch, Holders, Listener, NeverAccepted, RequestSample,
    SynQueueState, SynRecv, ThirdAcks, Waiting,
};
pub use fold::{FoldLimits, Folded, SocketFold, SocketRow};
pub use goroutine::{GoroutineGroup, GoroutineState, Goroutines};
pub use handshake::{Handshake, IgnoredEnd, Mark, Outcome, Sends, Stages, Vantage};
pub use heavy::{Hashed, HeavyKeys, Weight};
pub use ids::{Cookie, Inode, NetnsId, Pid, Tid};
pub use index::Index;
pub use interval::{Between, Evidence, Interval, QueueTrack, Sighting, ThreadTrack};
pub use kernel_event::{KernelEvent, KernelEventKind, SocketCall};
pub use labels::label_of_cgroup;
pub use managed::{ManagedFrame, ManagedThread, Runtime};
pub use netns::{Conntrack, Netns, NetnsLabel, PortSpace, Sysctls, TcpUse};
pub use prefetch::prefetch;
pub use process::{
    Activity, Call, CallTarget, CgroupState, CpuQuota, EpollRegistration, FdUse, Process,
    SchedStat, Thread, ThreadPlace, Throttling, Via, WaitedSocket,
};
pub use process_name::ProcessName;
pub use reading::{Missing, Reading};
pub use recording::{RECORDING_VERSION, Recording, RecordingError, RecordingHeader};
pub use samples::{SampledStack, Samples};
pub use snapshot::{Gap, Host, Snapshot, Taken};
pub use stack::{Frame, SourceLine, Stack, StackEnd};
pub use sync::{OwnerBasis, OwnerPlace, OwnerProcess, SyncKind};
pub use traced::{Dropped, DroppedSegment, Phase, Reset, Traced, TracedEnd};
pub use want::Want;
pub use watched::{
    Burst, BurstKind, ConnectTimes, OneClient, Watched, WatchedClient, WatchedListener, WatchedSide,
};
