//! Whom a socket belongs to, in the 32 bits that the stack keeps for its program.

/// The owner of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A client.
    Client(u32),
    /// A connection that a server's thread accepted.
    Accepted(u32),
    /// A connection that a server's thread makes.
    Outgoing(u32),
}

const KIND: u32 = 30;
const NUMBER: u32 = (1 << KIND) - 1;

impl Owner {
    pub(crate) const fn tag(self) -> u32 {
        match self {
            Self::Client(number) => number & NUMBER,
            Self::Accepted(number) => (1 << KIND) | (number & NUMBER),
            Self::Outgoing(number) => (2 << KIND) | (number & NUMBER),
        }
    }

    pub(crate) const fn of(tag: u32) -> Self {
        let number = tag & NUMBER;
        match tag >> KIND {
            0 => Self::Client(number),
            1 => Self::Accepted(number),
            _ => Self::Outgoing(number),
        }
    }
}
