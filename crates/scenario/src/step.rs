//! What can happen in a scenario.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Arrivals, Clients, Condition, Network, PeerSegment, Peers, PeersSend, Server};

/// One thing that happens. The next step begins when this one is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// A server program starts; done when all its sockets listen.
    Serve(Server),
    /// A number of clients connect; done when each has sent its SYN and, where they come in turn,
    /// each is connected or has met a drop.
    Connect(Clients),
    /// Clients keep arriving from now on, also while the steps that follow happen.
    Arrivals(Arrivals),
    /// Waits for a state. That it does not come in time is the scenario's failure.
    Await {
        /// The state.
        condition: Condition,
        /// How long it may take.
        within: Duration,
    },
    /// All processes of that name are stopped (SIGSTOP).
    Stop {
        /// The server's process name.
        process: String,
    },
    /// All processes of that name are put into a control group, which is frozen.
    Freeze {
        /// The server's process name.
        process: String,
    },
    /// These clients close their connections (FIN).
    Close {
        /// The clients' group name.
        clients: String,
    },
    /// These clients abort their connections (RST).
    Reset {
        /// The clients' group name.
        clients: String,
    },
    /// The connected clients of a group send.
    Send {
        /// The clients' group name.
        clients: String,
        /// How many bytes each.
        bytes: u32,
    },
    /// Raw peers appear on the wire and send a SYN each.
    Peers(Peers),
    /// Raw peers send again.
    PeersSend(PeersSend),
    /// Every thread that waits to be told on that port accepts connections now; done when each has
    /// accepted so many, or has found the accept queue empty.
    Accept {
        /// The listener's port.
        port: u16,
        /// How many each accepts at most.
        count: u32,
        /// Only threads of processes of this name; none for whichever serve the port.
        process: Option<String>,
    },
    /// listen(2) is called again on a socket that listens.
    Listen {
        /// The server's process name.
        process: String,
        /// The socket's port.
        port: u16,
        /// The new argument.
        backlog: i32,
    },
    /// All processes of that name are killed (SIGKILL): their kernel closes their sockets.
    End {
        /// The server's process name.
        process: String,
    },
    /// Time passes: for the kernel's own timers. What can be awaited as a state is awaited.
    Pass {
        /// How long, from the end of the step before.
        time: Duration,
    },
    /// An account takes a [`crate::Picture`] here; without one, nothing happens.
    Look {
        /// What the picture is called.
        name: Option<String>,
    },
    /// The network between remote clients and servers is like this from now on.
    Network(Network),
    /// The path between the server and whoever is on the wire begins to lose packets.
    Path(Loss),
    /// A server's host keeps its connections in a connection-tracking table from now on.
    Conntrack {
        /// The host; none for the first one.
        host: Option<String>,
        /// Entries that fit (`nf_conntrack_max`).
        max: u32,
    },
    /// A kernel setting changes.
    Sysctl {
        /// Name and new value.
        set: Vec<(String, String)>,
    },
}

/// What the path loses from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The kind of packet.
    pub lost: Lost,
    /// The server's port of the connections that it concerns.
    pub port: u16,
    /// What the sender gets for each; none if nobody tells it.
    pub rejected: Option<Reject>,
}

/// What a firewall answers to a packet that it rejects, by the names of iptables
/// (`REJECT --reject-with`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reject {
    /// `tcp-reset`: an RST in the name of the other end.
    TcpReset,
    /// `icmp-net-unreachable`.
    NetUnreachable,
    /// `icmp-host-unreachable`.
    HostUnreachable,
    /// `icmp-port-unreachable`, which is what iptables says if it is not told otherwise.
    PortUnreachable,
    /// `icmp-admin-prohibited`.
    AdminProhibited,
}

impl Reject {
    /// Every answer.
    pub const ALL: [Self; 5] = [
        Self::TcpReset,
        Self::NetUnreachable,
        Self::HostUnreachable,
        Self::PortUnreachable,
        Self::AdminProhibited,
    ];

    /// The word for it in a scenario file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpReset => "tcp-reset",
            Self::NetUnreachable => "icmp-net-unreachable",
            Self::HostUnreachable => "icmp-host-unreachable",
            Self::PortUnreachable => "icmp-port-unreachable",
            Self::AdminProhibited => "icmp-admin-prohibited",
        }
    }

    /// The code of the ICMP message "destination unreachable" (RFC 792, RFC 1812); none for an RST.
    #[must_use]
    pub const fn icmp_code(self) -> Option<u8> {
        match self {
            Self::TcpReset => None,
            Self::NetUnreachable => Some(0),
            Self::HostUnreachable => Some(1),
            Self::PortUnreachable => Some(3),
            Self::AdminProhibited => Some(13),
        }
    }

    /// The code of the same message over IPv6 (RFC 4443, 3.1): ip6tables says `icmp6-no-route`,
    /// `icmp6-addr-unreachable`, `icmp6-port-unreachable` and `icmp6-adm-prohibited`.
    #[must_use]
    pub const fn icmpv6_code(self) -> Option<u8> {
        match self {
            Self::TcpReset => None,
            Self::NetUnreachable => Some(0),
            Self::HostUnreachable => Some(3),
            Self::PortUnreachable => Some(4),
            Self::AdminProhibited => Some(1),
        }
    }
}

/// A kind of packet that a path can lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lost {
    /// The client's SYNs.
    Syns,
    /// The server's SYN-ACKs.
    SynAcks,
    /// Everything the client sends after its SYN: the third ACK, and the data that would stand in
    /// for it.
    ThirdAcks,
}

/// What happens, in a few words.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Serve(server) => write!(f, "{} starts", server.process),
            Step::Connect(clients) => {
                write!(f, "{} of the clients \"{}\" connect", clients.count, clients.name)
            }
            Step::Arrivals(arrivals) => {
                write!(f, "clients \"{}\" arrive from now on", arrivals.clients.name)
            }
            Step::Await { condition, .. } => write!(f, "awaiting {condition}"),
            Step::Stop { process } => write!(f, "{process} is stopped"),
            Step::Freeze { process } => write!(f, "the control group of {process} is frozen"),
            Step::Close { clients } => write!(f, "the clients \"{clients}\" close"),
            Step::Reset { clients } => write!(f, "the clients \"{clients}\" abort"),
            Step::Send { clients, bytes } => {
                write!(f, "the clients \"{clients}\" send {bytes} bytes")
            }
            Step::Peers(peers) => {
                write!(f, "{} new peers \"{}\" send a SYN", peers.count, peers.name)
            }
            Step::PeersSend(PeersSend { peers, count, segment }) => {
                write!(f, "{count} of the peers \"{peers}\" send {}", words(*segment))
            }
            Step::Accept { port, count, .. } => {
                write!(f, "{count} connections of :{port} are accepted")
            }
            Step::Listen { process, port, backlog } => {
                write!(f, "{process} calls listen on :{port} with backlog {backlog}")
            }
            Step::End { process } => write!(f, "{process} is killed"),
            Step::Pass { time } => write!(f, "{time:?} pass"),
            Step::Look { name } => write!(f, "a look: {}", name.as_deref().unwrap_or("no name")),
            Step::Network(network) => write!(
                f,
                "the network takes {:?}, loses {} of 1000",
                network.delay, network.lost_per_thousand
            ),
            Step::Conntrack { host, max } => {
                let host = host.as_deref().unwrap_or("the server's host");
                write!(f, "{host} tracks connections from now on, in a table for {max}")
            }
            Step::Path(Loss { port, rejected: None, .. }) => {
                write!(f, "the path to port {port} begins to lose packets")
            }
            Step::Path(Loss { port, rejected: Some(with), .. }) => {
                write!(f, "a firewall before port {port} rejects with {}", with.as_str())
            }
            Step::Sysctl { set } => {
                let set: Vec<_> =
                    set.iter().map(|(name, value)| format!("{name}={value}")).collect();
                f.write_str(&set.join(" "))
            }
        }
    }
}

fn words(segment: PeerSegment) -> String {
    match segment {
        PeerSegment::Syn => "their SYN again".to_owned(),
        PeerSegment::Ack => "an ACK".to_owned(),
        PeerSegment::BadAck => "an ACK of what they never got".to_owned(),
        PeerSegment::Data { bytes } => format!("{bytes} bytes"),
        PeerSegment::Rst => "a RST".to_owned(),
        PeerSegment::Fin => "a FIN".to_owned(),
    }
}
