//! Outgoing connections, folded per destination.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Holder, Inode, Reading};

/// Local ports that one source address uses for one destination.
///
/// `connect()` needs a 4-tuple of its own, so the range of local ports is a limit per source
/// address, destination address and destination port, not per host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationPorts {
    /// The local address.
    pub source: IpAddr,
    /// The remote address and port.
    pub destination: SocketAddr,
    /// Ports by the state of the socket that uses them.
    pub states: PortStates,
    /// Ports with the parity of the range's first port. `connect()` tries these first.
    pub first_parity: u32,
    /// A socket among them that a process holds.
    pub example: Option<Inode>,
    /// The process that holds the example.
    pub holder: Reading<Option<Holder>>,
}

/// Local ports by the state of their socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStates {
    /// ESTABLISHED.
    pub established: u32,
    /// SYN_SENT.
    pub syn_sent: u32,
    /// TIME_WAIT, and FIN_WAIT2 that is kept like it.
    pub time_wait: u32,
    /// CLOSE_WAIT.
    pub close_wait: u32,
    /// FIN_WAIT1, CLOSING, LAST_ACK.
    pub closing: u32,
}

/// Connections to one destination whose SYN has not been answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connecting {
    /// The local address.
    pub source: IpAddr,
    /// The remote address and port.
    pub destination: SocketAddr,
    /// How many.
    pub count: u32,
    /// How many by retransmissions of their SYN: none, one, two … the last entry is eleven or more.
    pub by_retransmits: [u32; 12],
    /// A socket among those with the most retransmissions.
    pub example: Inode,
    /// The process that holds the example.
    pub holder: Reading<Option<Holder>>,
}

impl PortStates {
    /// All ports.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.established
            .saturating_add(self.syn_sent)
            .saturating_add(self.time_wait)
            .saturating_add(self.close_wait)
            .saturating_add(self.closing)
    }
}

impl Connecting {
    /// Connections whose SYN was sent again at least so often.
    #[must_use]
    pub fn retransmitted(&self, at_least: usize) -> u32 {
        saturating_sum(self.by_retransmits.iter().skip(at_least))
    }

    /// The most retransmissions seen (11 stands for more too).
    #[must_use]
    pub fn most_retransmits(&self) -> u8 {
        let last = self.by_retransmits.iter().rposition(|&count| count > 0).unwrap_or(0);
        u8::try_from(last).unwrap_or(u8::MAX)
    }
}

/// A sum that a made-up recording cannot overflow.
pub(crate) fn saturating_sum<'a>(counts: impl Iterator<Item = &'a u32>) -> u32 {
    counts.fold(0, |sum, &count| sum.saturating_add(count))
}

/// A port range as `[low, high]`.
pub(crate) mod range {
    use halfopen_model::PortRange;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::Reading;

    pub(crate) fn serialize<S: Serializer>(
        range: &Reading<PortRange>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        range.as_ref().map(|range| (range.low, range.high)).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Reading<PortRange>, D::Error> {
        match Reading::<(u16, u16)>::deserialize(deserializer)? {
            Reading::Missing(why) => Ok(Reading::Missing(why)),
            Reading::Known((low, high)) if low <= high => {
                Ok(Reading::Known(PortRange { low, high }))
            }
            Reading::Known((low, high)) => {
                Err(de::Error::custom(format_args!("{low}-{high} is no port range")))
            }
        }
    }
}
