//! Laws that hold for any events in any order.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use halfopen_evidence::{Inode, KernelEvent, KernelEventKind, NetnsId, Phase, SocketCall};
use halfopen_model::AcceptQueue;
use halfopen_model::tcp::Flags;
use halfopen_trace::{Assembler, Told};
use proptest::prelude::*;

fn kind() -> impl Strategy<Value = KernelEventKind> {
    let queue = || (0..4_u32).prop_map(|depth| AcceptQueue { depth, limit: 2 });
    let reason = || {
        prop_oneof![Just("NO_SOCKET"), Just("TCP_INVALID_SYN"), Just("TCP_LISTEN_OVERFLOW")]
            .prop_map(str::to_owned)
    };
    let flags = || {
        prop_oneof![Just(2_u8), Just(18), Just(16), Just(24), Just(4), any::<u8>()]
            .prop_map(Flags::from_byte)
    };
    let repeats = || prop_oneof![0..4_u32, any::<u32>()];
    prop_oneof![
        (repeats(), any::<u64>()).prop_map(|(repeats, round_trip_us)| {
            KernelEventKind::Connected { repeats, round_trip_us }
        }),
        (prop_oneof![Just(0), Just(110), Just(111), any::<i32>()], repeats(), any::<u64>())
            .prop_map(|(errno, repeats, age_us)| KernelEventKind::ConnectFailed {
                errno,
                repeats,
                age_us
            }),
        (repeats(), any::<u64>())
            .prop_map(|(repeats, age_us)| KernelEventKind::SynRepeated { repeats, age_us }),
        repeats().prop_map(|repeats| KernelEventKind::DataRepeated { repeats }),
        (repeats(), any::<u64>()).prop_map(|(repeats, round_trip_us)| {
            KernelEventKind::Queued { repeats, round_trip_us }
        }),
        any::<u64>().prop_map(|waited_us| KernelEventKind::Accepted { waited_us }),
        (repeats(), any::<bool>(), 0..3_u8, 0..4_u8, queue()).prop_map(
            |(repeats, acked, defer_accept, timeouts, queue)| KernelEventKind::SynAckRepeated {
                repeats,
                acked,
                defer_accept,
                timeouts,
                queue
            }
        ),
        (flags(), reason(), proptest::option::of(queue())).prop_map(|(flags, reason, queue)| {
            KernelEventKind::SegmentDropped { flags, reason, queue }
        }),
        queue().prop_map(|queue| KernelEventKind::SynDropped { queue }),
        (flags(), proptest::option::of(reason()), proptest::option::of(queue()))
            .prop_map(|(flags, reason, queue)| KernelEventKind::ResetSent { flags, reason, queue }),
        any::<u64>().prop_map(|age_us| KernelEventKind::ResetReceived { age_us }),
        any::<u64>()
            .prop_map(|waited_us| KernelEventKind::ClosedUnaccepted { waited_us, reason: None }),
        any::<i32>()
            .prop_map(|errno| KernelEventKind::CallFailed { call: SocketCall::Bind, errno }),
        Just(KernelEventKind::Listening { backlog: 5, limit: 5 }),
    ]
}

/// Events of three connections of two namespaces, at either end, in any order of time.
fn event() -> impl Strategy<Value = KernelEvent> {
    let place = (0..2_u64, 0..3_u16, any::<bool>(), proptest::option::of(1..9_u64));
    let at_ns = prop_oneof![0..200_000_000_000_u64, any::<u64>()];
    (at_ns, place, kind()).prop_map(|(at_ns, (netns, port, at_client, inode), what)| {
        let client = SocketAddr::from(([10, 0, 0, 2], 40_000 + port));
        let server = SocketAddr::from(([10, 0, 0, 1], 80));
        let (local, peer) = if at_client { (client, server) } else { (server, client) };
        let netns = NetnsId(netns);
        KernelEvent { at_ns, netns, local, peer, inode: inode.map(Inode), process: None, what }
    })
}

proptest! {
    #[test]
    fn each_attempt_ends_once_and_nothing_comes_after(
        events in proptest::collection::vec((event(), proptest::option::of(any::<u64>())), 0..60),
        awaits_accept in any::<bool>(),
        offset_ns in any::<i64>(),
    ) {
        let mut assembler = Assembler::new(offset_ns, awaits_accept);
        let mut told = Vec::new();
        for (event, clock) in &events {
            assembler.on_event(event, &mut |it| told.push(it));
            if let Some(now) = *clock {
                assembler.on_clock(now, &mut |it| told.push(it));
            }
        }
        assembler.finish(&mut |it| told.push(it));
        let (mut open, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for told in &told {
            let Told::Handshake(handshake) = told else { continue };
            let number = handshake.handshake.first_record;
            prop_assert!(!ended.contains(&number), "{number} goes on after its end");
            match handshake.phase {
                Phase::Open => open.insert(number),
                Phase::Ended => ended.insert(number),
            };
        }
        prop_assert!(open.is_subset(&ended), "{open:?} without an end in {ended:?}");
        prop_assert_eq!(assembler.not_followed(), 0);
        let mut more = 0;
        assembler.finish(&mut |_| more += 1);
        prop_assert_eq!(more, 0);
    }
}
