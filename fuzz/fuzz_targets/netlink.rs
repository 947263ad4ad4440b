//! Answers of `sock_diag`, and the fold over the sockets in them.

#![no_main]

use halfopen_collect::netlink::decode::{Answer, decode_messages, idle, socket_row};
use halfopen_collect::netlink::view::Messages;
use halfopen_evidence::{FoldLimits, SocketFold};
use halfopen_model::{PortRange, TcpState};
use libfuzzer_sys::fuzz_target;

/// Small, so that inputs reach them.
const LIMITS: FoldLimits =
    FoldLimits { destinations: 4, groups: 4, waiting: 4, sample: 2, sources: 4, listed: 2 };

fuzz_target!(|datagram: &[u8]| {
    let mut rows = Vec::new();
    for message in Messages::new(datagram) {
        let Ok(Answer::Socket(view)) = message.and_then(|message| Answer::of(&message)) else {
            continue;
        };
        let _ = idle(&view);
        rows.extend(socket_row(&view));
    }
    let decoded: Vec<_> = decode_messages(datagram).flatten().collect();
    assert_eq!(decoded, rows);

    let listeners = rows.iter().copied().filter(|row| row.state == TcpState::Listen);
    let range = PortRange { low: 1024, high: 2048 };
    let mut fold = SocketFold::new(listeners, range, LIMITS);
    rows.iter().for_each(|row| fold.push(row));
    let folded = fold.finish();
    assert!(folded.ports.destinations.len() <= LIMITS.listed);
});
