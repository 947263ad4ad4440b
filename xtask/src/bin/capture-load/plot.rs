//! What happens in a connection, by its outcome: who sends what, and when.

/// Control bits.
pub(crate) mod flag {
    pub(crate) const FIN: u8 = 0x01;
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const PSH: u8 = 0x08;
    pub(crate) const ACK: u8 = 0x10;
}
use flag::{ACK, FIN, PSH, RST, SYN};

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Client,
    Server,
}
use By::{Client, Server};

/// A packet of a connection. Sequence numbers are relative to each end's first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Microseconds from the connection's beginning.
    pub(crate) at_us: u64,
    pub(crate) by: By,
    pub(crate) flags: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) payload: u16,
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plot {
    Whole,
    Late,
    Unanswered,
    Refused,
    IgnoredRecovered,
    IgnoredResetByData,
    IgnoredResetByProbe,
    ResetAfterAck,
    AckMissing,
    Deferred,
    AbortedByClient,
    MidStream,
}

/// Of a hundred connections, how many go how.
const SHARES: &[(Plot, u32)] = &[
    (Plot::Whole, 62),
    (Plot::Late, 6),
    (Plot::Unanswered, 7),
    (Plot::Refused, 7),
    (Plot::IgnoredRecovered, 3),
    (Plot::IgnoredResetByData, 3),
    (Plot::IgnoredResetByProbe, 2),
    (Plot::ResetAfterAck, 2),
    (Plot::AckMissing, 2),
    (Plot::Deferred, 2),
    (Plot::AbortedByClient, 2),
    (Plot::MidStream, 2),
];

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

impl Plot {
    /// How connection number `n` goes: the shares are exact in each hundred.
    pub(crate) fn number(n: u32) -> Self {
        // 37 and 100 have no common divisor, so each hundred is a permutation.
        let mut place = (n % 100) * 37 % 100;
        for &(plot, share) in SHARES {
            if place < share {
                return plot;
            }
            place -= share;
        }
        Self::Whole
    }

    /// The outcome that a tracker must find.
    pub(crate) const fn outcome(self) -> &'static str {
        match self {
            Self::Whole => "established",
            Self::Late => "established-late",
            Self::Unanswered => "syn-unanswered",
            Self::Refused => "refused",
            Self::IgnoredRecovered => "third-ack-ignored/recovered",
            Self::IgnoredResetByData => "third-ack-ignored/reset-by-data",
            Self::IgnoredResetByProbe => "third-ack-ignored/reset-by-probe",
            Self::ResetAfterAck => "reset-after-ack",
            Self::AckMissing => "third-ack-missing",
            Self::Deferred => "deferred",
            Self::AbortedByClient => "aborted-by-client",
            Self::MidStream => "mid-stream",
        }
    }

    /// The packets of connection number `n`, in order.
    pub(crate) fn play(self, n: u32) -> Vec<Sent> {
        let rtt = 200 + u64::from(n % 7) * 150;
        let mut script = Script { now: 0, sent: Vec::with_capacity(16) };
        match self {
            Self::Whole => {
                script.handshake(rtt);
                script.conversation(rtt, 2 + n % 3);
                script.goodbye(rtt);
            }
            Self::Late => {
                script.client(0, SYN, 0, 0, 0);
                script.pass(SECOND);
                script.handshake(rtt);
                script.conversation(rtt, 1);
                script.goodbye(rtt);
            }
            Self::Unanswered => {
                for at in [0, 1, 3, 7, 15] {
                    script.now = at * SECOND;
                    script.client(0, SYN, 0, 0, 0);
                }
            }
            Self::Refused => {
                script.client(0, SYN, 0, 0, 0);
                script.server(rtt, RST | ACK, 0, 1, 0);
            }
            Self::IgnoredRecovered => {
                script.handshake(rtt);
                script.resend(SECOND, rtt);
                script.resend(2 * SECOND, rtt);
                script.conversation(rtt, 1);
                script.goodbye(rtt);
            }
            Self::IgnoredResetByData => script.ignored_with_data(rtt),
            Self::IgnoredResetByProbe => {
                script.handshake(rtt);
                script.resend(SECOND, rtt);
                script.resend(2 * SECOND, rtt);
                script.client(57 * SECOND, ACK, 0, 1, 0);
                script.server(rtt, RST, 1, 0, 0);
            }
            Self::ResetAfterAck => {
                script.handshake(rtt);
                script.server(rtt, RST, 1, 0, 0);
            }
            Self::AckMissing => {
                script.client(0, SYN, 0, 0, 0);
                script.server(rtt, SYN | ACK, 0, 1, 0);
                for wait in [1, 2, 4, 8, 16] {
                    script.server(wait * SECOND, SYN | ACK, 0, 1, 0);
                }
            }
            Self::Deferred => {
                script.handshake(rtt);
                // The server waits for data; its only resend comes late, and the data is taken at once.
                script.server(15 * SECOND, SYN | ACK, 0, 1, 0);
                script.client(rtt, ACK, 1, 1, 0);
                script.pass(2 * SECOND);
                script.conversation(rtt, 1);
                script.goodbye(rtt);
            }
            Self::AbortedByClient => {
                script.client(0, SYN, 0, 0, 0);
                script.server(rtt, SYN | ACK, 0, 1, 0);
                script.client(rtt, RST, 1, 0, 0);
            }
            Self::MidStream => {
                script.conversation(rtt, 2);
                script.goodbye(rtt);
            }
        }
        script.sent
    }
}

struct Script {
    now: u64,
    sent: Vec<Sent>,
}

impl Script {
    fn pass(&mut self, time: u64) {
        self.now += time;
    }

    fn send(&mut self, by: By, after: u64, flags: u8, seq: u32, ack: u32, payload: u16) {
        self.now += after;
        self.sent.push(Sent { at_us: self.now, by, flags, seq, ack, payload });
    }

    fn client(&mut self, after: u64, flags: u8, seq: u32, ack: u32, payload: u16) {
        self.send(Client, after, flags, seq, ack, payload);
    }

    fn server(&mut self, after: u64, flags: u8, seq: u32, ack: u32, payload: u16) {
        self.send(Server, after, flags, seq, ack, payload);
    }

    fn handshake(&mut self, rtt: u64) {
        self.client(0, SYN, 0, 0, 0);
        self.server(rtt, SYN | ACK, 0, 1, 0);
        self.client(20, ACK, 1, 1, 0);
    }

    /// The SYN-ACK again, and the client's bare ACK.
    fn resend(&mut self, after: u64, rtt: u64) {
        self.server(after, SYN | ACK, 0, 1, 0);
        self.client(rtt / 2, ACK, 1, 1, 0);
    }

    /// Requests and answers, from sequence number 1 on both sides.
    fn conversation(&mut self, rtt: u64, exchanges: u32) {
        let (mut ours, mut theirs) = (1, 1);
        for _ in 0..exchanges {
            self.client(MS, PSH | ACK, ours, theirs, 180);
            ours += 180;
            self.server(rtt, ACK, theirs, ours, 0);
            self.server(3 * MS, PSH | ACK, theirs, ours, 700);
            theirs += 700;
            self.client(40, ACK, ours, theirs, 0);
        }
    }

    /// Both ends close. The numbers need not continue those of the conversation for a tracker.
    fn goodbye(&mut self, rtt: u64) {
        let last = |by: By, sent: &[Sent]| {
            sent.iter()
                .rev()
                .find(|s| s.by == by)
                .map_or(1, |s| s.seq + u32::from(s.payload) + u32::from(s.flags & SYN != 0))
        };
        let (ours, theirs) = (last(Client, &self.sent), last(Server, &self.sent));
        self.client(2 * MS, FIN | ACK, ours, theirs, 0);
        self.server(rtt, FIN | ACK, theirs, ours + 1, 0);
        self.client(30, ACK, ours + 1, theirs + 1, 0);
    }

    /// Data that is sent again and again, SYN-ACKs between, and at last a reset.
    fn ignored_with_data(&mut self, rtt: u64) {
        self.handshake(rtt);
        let begin = self.now;
        let data = [5, 205, 405, 805, 1_605, 3_205, 6_405, 12_805];
        let resends = [1_000, 3_000];
        let mut events: Vec<(u64, bool)> =
            data.iter().map(|&ms| (ms, true)).chain(resends.map(|ms| (ms, false))).collect();
        events.sort_unstable();
        for (ms, is_data) in events {
            self.now = begin + ms * MS;
            if is_data {
                self.client(0, PSH | ACK, 1, 1, 180);
            } else {
                self.resend(0, rtt);
            }
        }
        self.server(rtt, RST, 1, 0, 0);
    }
}
