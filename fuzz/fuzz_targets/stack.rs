//! TCP of a namespace: bytes as settings, segments and system calls, held to the laws of
//! `crates/sim/tests/laws/play.rs` after each of them.

#![no_main]

use halfopen_model::tcp::Unreachable;
use libfuzzer_sys::fuzz_target;
use play::{Act, Opening, Play, Setting};

#[allow(dead_code, reason = "the property tests compare plays too")]
#[path = "../../crates/sim/tests/laws/play.rs"]
mod play;

/// Acts of a play; more bytes are left.
const ACTS_AT_MOST: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let mut play = Play::new(&bytes.setting());
    for _ in 0..ACTS_AT_MOST {
        let Some(act) = bytes.act() else { break };
        play.act(act);
    }
    play.end();
});

/// Bytes that run out: then come zeros.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn any(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Small numbers of either sign in one byte; any in five.
    fn number(&mut self) -> u32 {
        match self.byte() {
            small @ 0..100 => u32::from(small),
            small @ 100..200 => u32::from(small - 99).wrapping_neg(),
            _ => self.any(),
        }
    }

    fn backlog(&mut self) -> i32 {
        self.number().cast_signed()
    }

    fn opening(&mut self) -> Opening {
        let shape = self.byte();
        Opening {
            port: shape & 1,
            any_address: shape & 2 == 0,
            reuseport: shape & 4 != 0,
            backlog: self.backlog(),
            defer_accept_s: if shape & 8 == 0 { 0 } else { self.number() },
            syn_retries: (shape & 16 != 0).then(|| self.byte()),
        }
    }

    fn setting(&mut self) -> Setting {
        let flags = self.byte();
        Setting {
            generation: self.byte(),
            secret: u64::from(self.byte()),
            syncookies: self.byte() % 3,
            abort_on_overflow: flags & 1 != 0,
            migrate_req: flags & 2 != 0,
            timestamps: flags & 4 != 0,
            no_metrics_save: flags & 8 != 0,
            synack_retries: self.byte(),
            max_syn_backlog: u16::from_le_bytes([self.byte(), self.byte()]),
            somaxconn: if flags & 16 != 0 { self.number() } else { 128 },
            fin_timeout_s: self.byte(),
            listeners: (0..=flags >> 6).map(|_| self.opening()).collect(),
        }
    }

    fn act(&mut self) -> Option<Act> {
        if self.0.is_empty() {
            return None;
        }
        let kind = self.byte();
        let peer = kind >> 5;
        Some(match kind & 31 {
            0..4 => Act::Syn { peer },
            4 => Act::NewSyn { peer, beyond: self.number() },
            5..9 => Act::Ack { peer },
            9 => Act::Data { peer, bytes: self.number() },
            10 => Act::Fin { peer },
            11 => Act::Rst { peer, beyond: self.number() },
            12..15 => Act::Any {
                peer,
                port: self.byte(),
                flags: self.byte(),
                seq: self.number(),
                ack: self.number(),
                bytes: self.number(),
                echo: self.number(),
            },
            15..17 => Act::Accept { listener: self.byte() },
            17 => Act::Read { held: self.byte() },
            18 => Act::Write { held: self.byte(), bytes: self.number() },
            19 => Act::Close { held: self.byte() },
            20 => Act::Abort { held: self.byte() },
            21 => Act::Connect { peer, to_ourselves: self.flag(), delay_ack: self.flag() },
            22 => Act::Open(self.opening()),
            23 => Act::ListenAgain { listener: self.byte(), backlog: self.backlog() },
            24 => Act::CloseListener { listener: self.byte() },
            25 => Act::SynCookies(self.byte() % 3),
            26 => Act::AbortOnOverflow(self.flag()),
            27 => Act::Migrate(self.flag()),
            28 => Act::LoseRoute { peer },
            29 => Act::Pass { micros: u64::from(self.any()) },
            30 => Act::Unreachable {
                peer,
                what: [
                    Unreachable::Network,
                    Unreachable::Host,
                    Unreachable::Port,
                    Unreachable::Prohibited,
                ][usize::from(self.byte() % 4)],
                beyond: self.number(),
            },
            _ => Act::NextTimer,
        })
    }
}
