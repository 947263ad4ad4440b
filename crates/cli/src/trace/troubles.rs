//! Which handshakes were told as being in trouble, so that each is told once while it is open.

use std::collections::HashMap;

use halfopen_evidence::{Handshake, Outcome};

use crate::handshakes::class::{self, Gravity};

/// Open ones that are remembered; of more the trouble is told at their end only.
const MOST: usize = 65_536;

/// What was told of open handshakes, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: HashMap<u64, Told>,
}

/// What the lines said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    outcome: Outcome,
    syns: u32,
    syn_acks: u32,
}

/// What the end of a handshake adds to what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing was told of it.
    First,
    /// It came out otherwise than was told, or more was sent again.
    Otherwise,
    /// Nothing.
    None,
}

impl Troubles {
    /// Whether a handshake that is open is to be told as being in trouble.
    pub(super) fn on_open(&mut self, number: u64, handshake: &Handshake) -> bool {
        if class::gravity(handshake.outcome) < Gravity::Late
            || self.told.contains_key(&number)
            || self.told.len() >= MOST
        {
            return false;
        }
        self.told.insert(number, Told::of(handshake));
        true
    }

    /// What the end of a handshake adds.
    pub(super) fn on_end(&mut self, number: u64, handshake: &Handshake) -> News {
        match self.told.remove(&number) {
            None => News::First,
            Some(told) if told != Told::of(handshake) => News::Otherwise,
            Some(_) => News::None,
        }
    }

    /// Handshakes that are in trouble now.
    pub(super) fn open(&self) -> usize {
        self.told.len()
    }
}

impl Told {
    const fn of(handshake: &Handshake) -> Self {
        Self {
            outcome: handshake.outcome,
            syns: handshake.syns.count,
            syn_acks: handshake.syn_acks.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshakes::fixture::handshake;

    #[test]
    fn trouble_is_told_once_and_its_end_if_that_is_news() {
        let mut troubles = Troubles::default();
        let mut open = handshake(Outcome::SynUnanswered);
        assert!(!troubles.on_open(1, &handshake(Outcome::Established)));
        assert!(troubles.on_open(1, &open));
        assert!(!troubles.on_open(1, &open));
        assert_eq!(troubles.open(), 1);
        open.syns.count += 1;
        assert_eq!(troubles.on_end(1, &open), News::Otherwise);
        assert_eq!(troubles.on_end(1, &open), News::First);
        assert!(troubles.on_open(2, &open));
        assert_eq!(troubles.on_end(2, &open), News::None);
        assert_eq!(troubles.open(), 0);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut troubles = Troubles::default();
        let open = handshake(Outcome::SynUnanswered);
        let told = (0..MOST as u64 + 10).filter(|&number| troubles.on_open(number, &open)).count();
        assert_eq!((told, troubles.open()), (MOST, MOST));
    }
}
