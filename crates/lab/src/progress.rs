//! What a step does, in the words that the lab prints while it runs.

use halfopen_scenario::{PeerSegment, PeersSend, Step};

pub(crate) fn progress(step: &Step) -> String {
    match step {
        Step::Serve(server) => format!("{} starts", server.process),
        Step::Connect(clients) => {
            format!("{} of the clients \"{}\" connect", clients.count, clients.name)
        }
        Step::Arrivals(arrivals) => {
            format!("clients \"{}\" arrive from now on", arrivals.clients.name)
        }
        Step::Await { condition, .. } => format!("awaiting {condition}"),
        Step::Stop { process } => format!("{process} is stopped"),
        Step::Close { clients } => format!("the clients \"{clients}\" close"),
        Step::Reset { clients } => format!("the clients \"{clients}\" abort"),
        Step::Send { clients, bytes } => format!("the clients \"{clients}\" send {bytes} bytes"),
        Step::Peers(peers) => format!("{} new peers \"{}\" send a SYN", peers.count, peers.name),
        Step::PeersSend(PeersSend { peers, count, segment }) => {
            format!("{count} of the peers \"{peers}\" send {}", words(*segment))
        }
        Step::Accept { port, count, .. } => format!("{count} connections of :{port} are accepted"),
        Step::Listen { process, port, backlog } => {
            format!("{process} calls listen on :{port} with backlog {backlog}")
        }
        Step::End { process } => format!("{process} is killed"),
        Step::Pass { time } => format!("{time:?} pass"),
        Step::Look { name } => format!("a look: {}", name.as_deref().unwrap_or("no name")),
        Step::Path(loss) => format!("the path to port {} begins to lose packets", loss.port),
        Step::Sysctl { set } => {
            let set: Vec<_> = set.iter().map(|(name, value)| format!("{name}={value}")).collect();
            set.join(" ")
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
