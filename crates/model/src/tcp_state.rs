//! States of a TCP socket by the numbers that sock_diag and /proc/net/tcp use.

use std::fmt;

/// A TCP state (include/net/tcp_states.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Both ends agree (or one of them thinks so).
    Established = 1,
    /// A SYN went out and nothing has come back.
    SynSent = 2,
    /// A full socket in SYN_RECV: TCP Fast Open, or any request before Linux 4.4.
    SynRecv = 3,
    /// Closed here, FIN not yet acknowledged.
    FinWait1 = 4,
    /// Closed here and acknowledged, the peer has not closed.
    FinWait2 = 5,
    /// Both closed; the 4-tuple is kept for a minute.
    TimeWait = 6,
    /// No connection.
    Close = 7,
    /// The peer has closed, this end has not.
    CloseWait = 8,
    /// The peer closed first, our FIN is not yet acknowledged.
    LastAck = 9,
    /// Waits for connections.
    Listen = 10,
    /// Both FINs crossed.
    Closing = 11,
    /// A request sock: SYN received, SYN-ACK sent, no third ACK taken yet (4.4 and later).
    NewSynRecv = 12,
}

impl TcpState {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
        Self::NewSynRecv,
    ];

    /// The state with this kernel number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        if number == 0 || number > 12 { None } else { Some(Self::ALL[number as usize - 1]) }
    }

    /// The bit of this state in `idiag_states`.
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv | Self::NewSynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_states_are_one_to_one() {
        for state in TcpState::ALL {
            assert_eq!(TcpState::from_number(state as u8), Some(state));
        }
        assert_eq!(TcpState::from_number(0), None);
        assert_eq!(TcpState::from_number(13), None);
    }
}
