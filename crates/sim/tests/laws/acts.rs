//! Settings and acts, as likely as they are worth trying.

use halfopen_model::tcp::Unreachable;
use halfopen_model::{GENERATIONS, Semantics, SynAckTimer};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::play::{Act, Opening, PEERS, Setting};

/// Small numbers above all, and any.
fn small_or_any() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => Just(0),
        3 => 0..3_u32,
        1 => (1..3_u32).prop_map(u32::wrapping_neg),
        1 => 65_530..65_540_u32,
        2 => any::<u32>(),
    ]
}

fn bytes() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 1..2000_u32, 1 => any::<u32>()]
}

fn backlog() -> impl Strategy<Value = i32> {
    prop_oneof![8 => 0..5_i32, 1 => 5..20_i32, 1 => any::<i32>()]
}

fn opening() -> impl Strategy<Value = Opening> {
    let defer = prop_oneof![4 => Just(0), 1 => 1..30_u32, 1 => any::<u32>()];
    let retries = prop_oneof![4 => Just(None), 1 => any::<u8>().prop_map(Some)];
    (0..6_u8, prop::bool::weighted(0.9), backlog(), prop::bool::weighted(0.6), defer, retries)
        .prop_map(|(port, any_address, backlog, reuseport, defer_accept_s, syn_retries)| {
            // Most listeners share a port, so that there are groups.
            let port = port.saturating_sub(3);
            Opening { port, any_address, backlog, reuseport, defer_accept_s, syn_retries }
        })
}

pub(crate) fn setting() -> impl Strategy<Value = Setting> {
    let generations = u8::try_from(GENERATIONS.len()).expect("a few");
    let generation = prop_oneof![3 => 0..generations, 1 => generations - 8..generations];
    let retries = prop_oneof![4 => 0..6_u8, 1 => any::<u8>()];
    let syn_backlog = prop_oneof![2 => 0..20_u16, 1 => any::<u16>()];
    let somaxconn = prop_oneof![3 => Just(128), 1 => 0..5_u32, 1 => 65_530..65_600_u32];
    let flags = (any::<bool>(), prop::bool::weighted(0.7), any::<bool>(), any::<bool>());
    let numbers = (0..3_u8, retries, syn_backlog, somaxconn, 0..70_u8);
    (generation, any::<u64>(), flags, numbers, vec(opening(), 1..5)).prop_map(
        |(generation, secret, flags, numbers, listeners)| {
            let (abort_on_overflow, migrate_req, timestamps, no_metrics_save) = flags;
            let (syncookies, synack_retries, max_syn_backlog, somaxconn, fin_timeout_s) = numbers;
            Setting {
                generation,
                secret,
                syncookies,
                abort_on_overflow,
                migrate_req,
                timestamps,
                no_metrics_save,
                synack_retries,
                max_syn_backlog,
                somaxconn,
                fin_timeout_s,
                listeners,
            }
        },
    )
}

fn any_segment() -> impl Strategy<Value = Act> {
    let flags = prop_oneof![1 => Just(0x10), 1 => Just(0x02), 2 => any::<u8>()];
    (
        (0..PEERS, 0..20_u8, flags),
        small_or_any(),
        small_or_any(),
        prop_oneof![3 => Just(0), 1 => any::<u32>()],
        small_or_any(),
    )
        .prop_map(|((peer, port, flags), seq, ack, bytes, echo)| Act::Any {
            peer,
            port,
            flags,
            seq,
            ack,
            bytes,
            echo,
        })
}

fn unreachable() -> impl Strategy<Value = Unreachable> {
    select(vec![
        Unreachable::Network,
        Unreachable::Host,
        Unreachable::Port,
        Unreachable::Prohibited,
    ])
}

fn time() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (0..1_000_000_u64).prop_map(|micros| Act::Pass { micros }),
        2 => (0..70_000_000_u64).prop_map(|micros| Act::Pass { micros }),
        4 => Just(Act::NextTimer),
    ]
}

/// What needs no port to be found and no cookie.
fn quiet_act() -> BoxedStrategy<Act> {
    let peer = || 0..PEERS;
    let held = || any::<u8>();
    prop_oneof![
        12 => peer().prop_map(|peer| Act::Syn { peer }),
        3 => (peer(), small_or_any()).prop_map(|(peer, beyond)| Act::NewSyn { peer, beyond }),
        12 => peer().prop_map(|peer| Act::Ack { peer }),
        4 => (peer(), bytes()).prop_map(|(peer, bytes)| Act::Data { peer, bytes }),
        5 => peer().prop_map(|peer| Act::Fin { peer }),
        3 => (peer(), small_or_any()).prop_map(|(peer, beyond)| Act::Rst { peer, beyond }),
        8 => any_segment(),
        2 => (peer(), any::<u32>()).prop_map(|(peer, echo)| Act::Any {
            peer,
            port: u8::MAX,
            flags: 0x10,
            seq: 0,
            ack: 0,
            bytes: 0,
            echo,
        }),
        6 => any::<u8>().prop_map(|listener| Act::Accept { listener }),
        2 => held().prop_map(|held| Act::Read { held }),
        2 => (held(), small_or_any()).prop_map(|(held, bytes)| Act::Write { held, bytes }),
        5 => held().prop_map(|held| Act::Close { held }),
        1 => held().prop_map(|held| Act::Abort { held }),
        2 => (any::<u8>(), backlog())
            .prop_map(|(listener, backlog)| Act::ListenAgain { listener, backlog }),
        1 => any::<u8>().prop_map(|listener| Act::CloseListener { listener }),
        3 => (peer(), unreachable(), small_or_any())
            .prop_map(|(peer, what, beyond)| Act::Unreachable { peer, what, beyond }),
        1 => any::<bool>().prop_map(Act::AbortOnOverflow),
        6 => time(),
    ]
    .boxed()
}

fn act() -> BoxedStrategy<Act> {
    prop_oneof![
        40 => quiet_act(),
        2 => (0..PEERS, any::<bool>(), any::<bool>()).prop_map(
            |(peer, to_ourselves, delay_ack)| Act::Connect { peer, to_ourselves, delay_ack }
        ),
        2 => opening().prop_map(Act::Open),
        1 => (0..3_u8).prop_map(Act::SynCookies),
        1 => any::<bool>().prop_map(Act::Migrate),
        1 => (PEERS - 2..PEERS).prop_map(|peer| Act::LoseRoute { peer }),
    ]
    .boxed()
}

pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    vec(act(), 1..150)
}

pub(crate) fn quiet_acts() -> impl Strategy<Value = Vec<Act>> {
    vec(quiet_act(), 1..100)
}

/// One listener to a port, no cookies, and requests with timers of their own.
pub(crate) fn quiet_setting() -> impl Strategy<Value = Setting> {
    let has_timers = |setting: &Setting| {
        let kernel = GENERATIONS[usize::from(setting.generation)].kernel;
        Semantics::of(kernel).timers.syn_ack_timer == SynAckTimer::PerRequest
    };
    setting().prop_filter("polled", has_timers).prop_map(|mut setting| {
        setting.syncookies = 0;
        setting.listeners.iter_mut().for_each(|opening| opening.reuseport = false);
        setting
    })
}
