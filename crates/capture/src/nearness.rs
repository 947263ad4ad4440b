//! Nearer to which end handshakes were captured. Of a handshake's two stages, that from the SYN to the
//! SYN-ACK holds the way to the server and back, that from the SYN-ACK to the ACK the way to the client
//! and back: where one took three times as long as the other, its end is the farther one.
//!
//! The one judgement of it: a listener's, a client's and a whole capture's are made alike.

use halfopen_evidence::{Stages, WatchedSide};

/// Handshakes by the end that they were nearer to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nearness {
    server: u32,
    clients: u32,
}

/// How much longer one has to be than the other, among stages and among counts.
const CLEARLY: u32 = 3;

impl Nearness {
    /// Takes a handshake in.
    pub fn add(&mut self, stages: &Stages) {
        if let (Some(to_server), Some(to_client)) = (stages.syn_ack_ns, stages.ack_ns) {
            let clearly = u64::from(CLEARLY);
            let (server, clients) =
                (to_client > to_server * clearly, to_server > to_client * clearly);
            self.server = self.server.saturating_add(u32::from(server));
            self.clients = self.clients.saturating_add(u32::from(clients));
        }
    }

    /// What most handshakes say; unknown where they disagree, or do not say it.
    #[must_use]
    pub const fn side(self) -> WatchedSide {
        let Self { server, clients } = self;
        let is_server = server > clients.saturating_mul(CLEARLY);
        let is_clients = clients > server.saturating_mul(CLEARLY);
        match (is_server, is_clients) {
            (true, false) => WatchedSide::Server,
            (false, true) => WatchedSide::Clients,
            _ => WatchedSide::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(stages: &[(u64, u64)]) -> WatchedSide {
        let mut nearness = Nearness::default();
        for &(syn_ack, ack) in stages {
            let (syn_ack_ns, ack_ns) = (Some(syn_ack), Some(ack));
            nearness.add(&Stages { syn_ack_ns, ack_ns, ..Stages::default() });
        }
        nearness.side()
    }

    #[test]
    fn the_end_whose_answers_take_longer_is_the_farther_one() {
        assert_eq!(side(&[(10, 31), (10, 500)]), WatchedSide::Server);
        assert_eq!(side(&[(31, 10)]), WatchedSide::Clients);
        assert_eq!(side(&[(20, 10)]), WatchedSide::Unknown);
    }

    #[test]
    fn most_handshakes_must_agree() {
        assert_eq!(side(&[(1, 9), (1, 9), (1, 9), (9, 1)]), WatchedSide::Unknown);
        assert_eq!(side(&[(1, 9), (1, 9), (1, 9), (1, 9), (9, 1)]), WatchedSide::Server);
        assert_eq!(side(&[]), WatchedSide::Unknown);
    }
}
