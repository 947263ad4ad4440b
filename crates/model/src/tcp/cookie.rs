//! SYN cookies: an initial sequence number from which the request can be made again
//! (net/ipv4/syncookies.c `secure_tcp_syn_cookie`, `check_tcp_syn_cookie`).

use super::{Segment, Seq, hash};
use crate::Time;

/// Bits of a cookie below its minute.
const COOKIE_BITS: u32 = 24;
const COOKIE_MASK: u32 = (1 << COOKIE_BITS) - 1;

/// The MSS values that a cookie can remember; which one does not matter to the model.
const MSS_VALUES: u32 = 4;

/// The cookie that answers this SYN.
pub(super) fn cookie(secret: u64, syn: &Segment, now: Time) -> Seq {
    let minute = minute(now);
    let ends = hash::of_pair(secret, syn.to, syn.from);
    let tail = hash::low(hash::mix(ends ^ u64::from(minute)));
    let mss = 0;
    Seq(hash::low(ends)
        .wrapping_add(syn.seq.0)
        .wrapping_add(minute << COOKIE_BITS)
        .wrapping_add(tail.wrapping_add(mss) & COOKIE_MASK))
}

/// Whether an ACK returns a cookie that is not older than so many minutes.
pub(super) fn is_valid(secret: u64, ack: &Segment, now: Time, max_age_minutes: u8) -> bool {
    let ends = hash::of_pair(secret, ack.to, ack.from);
    let cookie = ack.ack.0.wrapping_sub(1);
    let syn_seq = ack.seq.0.wrapping_sub(1);
    let rest = cookie.wrapping_sub(hash::low(ends)).wrapping_sub(syn_seq);
    let age = minute(now).wrapping_sub(rest >> COOKIE_BITS) & (u32::MAX >> COOKIE_BITS);
    if age >= u32::from(max_age_minutes) {
        return false;
    }
    let sent = minute(now).wrapping_sub(age);
    let tail = hash::low(hash::mix(ends ^ u64::from(sent)));
    (rest.wrapping_sub(tail) & COOKIE_MASK) < MSS_VALUES
}

/// The kernel's `tcp_cookie_time`.
const fn minute(now: Time) -> u32 {
    ((now.as_micros() / 60_000_000) & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::*;
    use crate::Span;

    fn handshake() -> (Segment, Segment) {
        let from = "10.0.0.9:40000".parse().expect("an address");
        let to = "10.0.0.1:80".parse().expect("an address");
        let syn = Segment {
            from,
            to,
            seq: Seq(77),
            ack: Seq(0),
            flags: Flags::SYN,
            payload: 0,
            timestamps: None,
        };
        let ack = Segment {
            seq: Seq(78),
            ack: cookie(5, &syn, Time::ZERO) + 1,
            flags: Flags::ACK,
            ..syn
        };
        (syn, ack)
    }

    #[test]
    fn a_cookie_is_good_until_it_is_too_old() {
        let (_, ack) = handshake();
        for (seconds, good) in [(0, true), (100, true), (120, false), (300, false)] {
            let now = Time::ZERO + Span::from_secs(seconds);
            assert_eq!(is_valid(5, &ack, now, 2), good, "after {seconds} s");
        }
    }

    #[test]
    fn a_cookie_of_another_connection_or_secret_is_bad() {
        let (_, ack) = handshake();
        assert!(!is_valid(6, &ack, Time::ZERO, 2));
        assert!(!is_valid(5, &Segment { ack: ack.ack + 1000, ..ack }, Time::ZERO, 2));
        let elsewhere = "10.0.0.9:40001".parse().expect("an address");
        assert!(!is_valid(5, &Segment { from: elsewhere, ..ack }, Time::ZERO, 2));
    }
}
