//! The backend that needs no BPF: packet sockets, a decoder and a tracker for each network namespace.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use halfopen_capture::{
    Decoder, Limits, LinkType, Observed, Packet, Scopes, Statistics, Tracker, Tunnels,
};
use halfopen_collect::packets::{PacketFilter, PacketSockets, RingPacket};
use halfopen_collect::{NetnsScope, WatchedNetns};
use halfopen_evidence::{Handshake, Phase};

use super::REFRESH;
use super::busy::Busy;
use super::seen::Seen;

/// What is not seen from packet sockets.
pub(super) const NOT_SEEN: &str =
    "time in accept queues, why the kernel drops or resets, processes on other hosts";

/// Where that is not seen from.
pub(super) const FROM: &str = "a packet socket";

/// Flows that are followed at a time in each namespace.
const FLOWS: usize = 1_000_000;

/// When a connection that both ends have taken is told.
const ESTABLISHED_NS: i64 = 1_000_000_000;

/// Blocks that are read of one namespace before it is another's turn.
const BLOCKS: usize = 16;

/// How often so many are read at the end.
const LAST_ROUNDS: usize = 8;

/// A packet as it would lie on Ethernet: two addresses, which nobody reads, and what follows.
const ETHERNET: LinkType = LinkType(1);
const ADDRESSES: usize = 12;
const VLAN: u16 = 0x8100;

/// See the module's text.
pub(super) struct Packets {
    /// The sockets.
    pub(super) sockets: PacketSockets,
    filter: PacketFilter,
    posts: Vec<Post>,
    refreshed: Instant,
    record: u64,
    dropped: u64,
    ended: Statistics,
}

/// A namespace.
struct Post {
    netns: Rc<WatchedNetns>,
    decoder: Decoder,
    tracker: Tracker,
    busy: Busy,
    batch: Vec<Observed>,
}

impl Packets {
    /// Opens the sockets.
    ///
    /// # Errors
    /// If there is none that could be opened.
    pub(super) fn open(scope: NetnsScope, filter: PacketFilter) -> anyhow::Result<Self> {
        let sockets = PacketSockets::open(scope, &filter)?;
        let mut packets = Self {
            sockets,
            filter,
            posts: Vec::new(),
            refreshed: Instant::now(),
            record: 0,
            dropped: 0,
            ended: Statistics::default(),
        };
        packets.add_posts();
        Ok(packets)
    }

    /// Packets so far.
    pub(super) const fn packets(&self) -> u64 {
        self.record
    }

    /// Packets that the rings had no room for.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the trackers counted.
    pub(super) fn statistics(&self) -> Statistics {
        let trackers = self.posts.iter().map(|post| *post.tracker.statistics());
        trackers.fold(self.ended, Statistics::with)
    }

    /// Waits for packets, so long at the most, and hands on what they tell.
    ///
    /// # Errors
    /// If waiting fails, or `/proc` cannot be read.
    pub(super) fn step(&mut self, most: Duration) -> anyhow::Result<Vec<Seen>> {
        self.sockets.wait(most)?;
        let mut seen = Vec::new();
        // Before anything else, since places move when namespaces go.
        if self.refreshed.elapsed() >= REFRESH {
            self.refresh(&mut seen)?;
        }
        for place in 0..self.posts.len() {
            let is_empty = self.read(place, &mut seen);
            if is_empty {
                self.posts[place].on_clock(&mut seen);
            }
            self.dropped += u64::from(self.sockets.dropped(place));
        }
        Ok(seen)
    }

    /// Ends it, when what lies in the rings has been read: what was not told yet.
    pub(super) fn finish(&mut self) -> Vec<Seen> {
        std::thread::sleep(PacketSockets::LATENCY * 2);
        let mut seen = Vec::new();
        for place in 0..self.posts.len() {
            // No more than lies in a ring: what comes meanwhile could go on for ever.
            let _ = (0..LAST_ROUNDS).any(|_| self.read(place, &mut seen));
            self.dropped += u64::from(self.sockets.dropped(place));
        }
        for post in self.posts.drain(..) {
            self.ended = self.ended.with(post.finish(&mut seen));
        }
        seen
    }

    /// Reads some blocks of a namespace; whether there are no more.
    fn read(&mut self, place: usize, seen: &mut Vec<Seen>) -> bool {
        let (sockets, post, record) = (&mut self.sockets, &mut self.posts[place], &mut self.record);
        for _ in 0..BLOCKS {
            let is_block = sockets.take_block(place, |packet| {
                *record += 1;
                post.add(&packet, *record);
            });
            if !is_block {
                return true;
            }
            post.follow(seen);
            if let Some(busy) = post.busy.changed() {
                sockets.set_filter(place, &PacketFilter { busy, ..self.filter.clone() });
            }
        }
        false
    }

    fn refresh(&mut self, seen: &mut Vec<Seen>) -> anyhow::Result<()> {
        self.refreshed = Instant::now();
        let (posts, ended) = (&mut self.posts, &mut self.ended);
        self.sockets.refresh(&self.filter, |place| {
            *ended = ended.with(posts.remove(place).finish(seen));
        })?;
        self.add_posts();
        Ok(())
    }

    fn add_posts(&mut self) {
        let new = self.sockets.namespaces().skip(self.posts.len()).cloned().map(Post::new);
        self.posts.extend(new);
    }
}

impl Post {
    fn new(netns: WatchedNetns) -> Self {
        let limits = Limits {
            max_flows: FLOWS,
            hash_seed: RandomState::new().hash_one(0),
            established_ns: Some(ESTABLISHED_NS),
            ..Limits::default()
        };
        Self {
            netns: Rc::new(netns),
            decoder: Decoder::with_tunnels(Tunnels::NONE),
            tracker: Tracker::new(limits),
            busy: Busy::new(),
            batch: Vec::new(),
        }
    }

    fn add(&mut self, packet: &RingPacket<'_>, record: u64) {
        let mut frame = [0; ADDRESSES + 6 + 256];
        let (Some(captured), Ok(above)) =
            (framed(packet, &mut frame), u32::try_from(ADDRESSES + 2))
        else {
            return;
        };
        let packet = Packet {
            time_ns: packet.time_ns,
            record,
            offset: 0,
            interface: packet.interface,
            link: ETHERNET,
            captured,
            original_len: packet.length.saturating_add(above),
        };
        match self.decoder.decode(&packet) {
            Ok(Observed::Segment(segment)) => {
                self.busy.on_segment(&segment);
                self.batch.push(Observed::Segment(segment));
            }
            Ok(error @ Observed::IcmpError(_)) => self.batch.push(error),
            // What contradicts itself is counted by the decoder and tells nothing.
            Ok(Observed::Other) | Err(_) => {}
        }
    }

    /// Follows what was added, and says what has ended and what is in trouble.
    fn follow(&mut self, seen: &mut Vec<Seen>) {
        let (netns, scopes) = (&self.netns, self.decoder.scopes());
        let ended = |handshake, scope| told(netns, scopes, handshake, scope);
        self.tracker.on_batch(&self.batch, &mut |handshake, scope| {
            seen.push(ended(handshake, scope));
        });
        for observed in self.batch.drain(..) {
            if let Some((handshake, scope)) = self.tracker.in_trouble(&observed) {
                seen.push(Seen { phase: Phase::Open, ..ended(handshake, scope) });
            }
        }
    }

    fn on_clock(&mut self, seen: &mut Vec<Seen>) {
        let (netns, scopes) = (&self.netns, self.decoder.scopes());
        self.tracker.on_clock(now_ns(), &mut |handshake, scope| {
            seen.push(told(netns, scopes, handshake, scope));
        });
    }

    fn finish(self, seen: &mut Vec<Seen>) -> Statistics {
        let (netns, scopes) = (&self.netns, self.decoder.scopes());
        self.tracker.finish(&mut |handshake, scope| {
            seen.push(told(netns, scopes, handshake, scope));
        })
    }
}

fn told(netns: &Rc<WatchedNetns>, scopes: &Scopes, mut handshake: Handshake, scope: u32) -> Seen {
    handshake.scope = scopes.name(scope).unwrap_or_default();
    Seen { netns: Rc::clone(netns), handshake, phase: Phase::Ended, kernel: None }
}

/// The packet behind the header that the kernel has taken off, with the VLAN tag put back. Decoding is
/// fastest so.
fn framed<'a>(packet: &RingPacket<'_>, frame: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut at = ADDRESSES;
    let mut put = |bytes: &[u8]| -> Option<()> {
        frame.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        at += bytes.len();
        Some(())
    };
    if let Some(tag) = packet.vlan {
        put(&VLAN.to_be_bytes())?;
        put(&tag.to_be_bytes())?;
    }
    put(&packet.ether_type.to_be_bytes())?;
    put(packet.bytes)?;
    frame.get(..at)
}

/// Nanoseconds since 1970, UTC.
pub(super) fn now_ns() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX)
}
