//! The programs, each loaded and attached on its own: a kernel that refuses one of them costs what
//! that one tells.

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};

/// Something to tell, in one of several ways. The first of which the kernel takes every program is used.
#[derive(Clone, Copy, Debug)]
struct Task {
    /// What is not seen if there is none.
    tells: &'static str,
    /// From the best to the one that needs least.
    ways: &'static [Way],
    /// Whether it is to measure how long connections wait for accept(), and dear.
    only_for_accepts: bool,
}

impl Task {
    const fn new(tells: &'static str, ways: &'static [Way]) -> Self {
        Self { tells, ways, only_for_accepts: false }
    }
}

/// Programs that tell something together.
type Way = &'static [&'static str];

/// To tell of accept().
const ACCEPTS: &[Way] =
    &[&["accept_returns"], &["accept_of_four_returns"], &["accept_call_returns"]];

const TASKS: &[Task] = &[
    Task::new(
        "connections, listen()",
        &[&["listen_returns", "connections_change"], &["state_changes"], &["connections_change"]],
    ),
    Task::new("SYNs sent again", &[&["segment_is_repeated"]]),
    Task::new("resets received", &[&["reset_is_received"]]),
    Task::new("SYN-ACKs sent again", &[&["syn_ack_is_repeated"]]),
    Task::new(
        "segments dropped, with the kernel's reason",
        &[&["segment_is_dropped_at"], &["segment_is_dropped"]],
    ),
    Task::new("resets sent", &[&["reset_is_sent_for"], &["reset_is_sent"]]),
    Task::new("SYNs dropped at a full accept queue", &[&["syn_is_answered"]]),
    Task::new(
        "bind() and connect() that fail at once",
        &[
            &["bind_returns", "bind_of_ipv6_returns", "connect_returns", "connect_of_ipv6_returns"],
            &["failing_call_returns"],
        ],
    ),
    Task { only_for_accepts: true, ..Task::new("how long connections wait for accept()", ACCEPTS) },
];

/// A hook that costs each system call of the host something.
const AT_EVERY_CALL: &str = "sys_exit";

/// Something that no program tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is not seen.
    pub what: &'static str,
    /// What the kernel said to each of the programs that could have told it.
    pub why: String,
    /// Whether a program could that is run at the end of every system call of the host:
    /// [`super::TraceWanted::accepts`] allows that.
    pub has_price: bool,
}

/// What became of the programs.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// Those that run.
    pub(super) programs: Vec<&'static str>,
    pub(super) lacks: Vec<Lack>,
}

impl Attached {
    /// Whether it is told when accept() returns.
    pub(super) fn tells_accepts(&self) -> bool {
        self.programs.iter().any(|name| ACCEPTS.iter().any(|way| way.contains(name)))
    }
}

/// Loads and attaches what the kernel takes.
pub(super) fn attach(object: &mut Ebpf, btf: &Btf, accepts: bool) -> Attached {
    let mut attached = Attached::default();
    for task in TASKS.iter().filter(|task| accepts || !task.only_for_accepts) {
        let (mut why, mut has_price, mut taken) = (Vec::new(), false, None);
        for way in task.ways {
            if !accepts && way.iter().any(|name| hook_of(name) == AT_EVERY_CALL) {
                has_price = true;
                continue;
            }
            match attach_all(object, way, btf) {
                Ok(()) => {
                    taken = Some(way);
                    break;
                }
                Err(error) => why.push(error),
            }
        }
        match taken {
            Some(way) => attached.programs.extend_from_slice(way),
            None => {
                why.dedup();
                let why = why.join("; ");
                attached.lacks.push(Lack { what: task.tells, why, has_price });
            }
        }
    }
    attached
}

/// All of these, or none.
fn attach_all(object: &mut Ebpf, way: Way, btf: &Btf) -> Result<(), String> {
    for (at, name) in way.iter().enumerate() {
        if let Err(error) = attach_one(object, name, btf) {
            for name in &way[..at] {
                detach(object, name);
            }
            return Err(error);
        }
    }
    Ok(())
}

fn attach_one(object: &mut Ebpf, name: &str, btf: &Btf) -> Result<(), String> {
    let hook = hook_of(name);
    let result = match object.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => {
            program.load(hook, btf).and_then(|()| program.attach().map(|_| ()))
        }
        Some(Program::FExit(program)) => {
            program.load(hook, btf).and_then(|()| program.attach().map(|_| ()))
        }
        _ => return Err(format!("no program {name}")),
    };
    result.map_err(|error| in_words(&error))
}

fn detach(object: &mut Ebpf, name: &str) {
    // Whatever comes of it, it is gone with the object at the latest.
    let _ = match object.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => program.unload(),
        Some(Program::FExit(program)) => program.unload(),
        _ => Ok(()),
    };
}

/// The tracepoint or function that a program belongs to.
fn hook_of(program: &str) -> &'static str {
    match program {
        "state_changes" | "connections_change" => "inet_sock_set_state",
        "segment_is_repeated" => "tcp_retransmit_skb",
        "reset_is_received" => "tcp_receive_reset",
        "syn_ack_is_repeated" => "tcp_retransmit_synack",
        "segment_is_dropped_at" | "segment_is_dropped" => "kfree_skb",
        "reset_is_sent_for" | "reset_is_sent" => "tcp_send_reset",
        "syn_is_answered" => "tcp_conn_request",
        "accept_returns" | "accept_of_four_returns" => "inet_csk_accept",
        "listen_returns" => "inet_listen",
        "bind_returns" => "inet_bind",
        "bind_of_ipv6_returns" => "inet6_bind",
        "connect_returns" => "tcp_v4_connect",
        "connect_of_ipv6_returns" => "tcp_v6_connect",
        _ => AT_EVERY_CALL,
    }
}

/// What the kernel said: the error without its number, and the verifier's last word.
fn in_words(error: &ProgramError) -> String {
    let all = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let root = all.last().map(ToString::to_string).unwrap_or_default();
    let root = root.split(" (os error").next().unwrap_or_default().to_lowercase();
    let ProgramError::LoadError { verifier_log, .. } = error else { return root };
    let log = verifier_log.to_string();
    let figures = ["processed ", "stack depth ", "verification time "];
    let said = |line: &&str| {
        !line.trim().is_empty() && !figures.iter().any(|figure| line.starts_with(figure))
    };
    match log.lines().rev().find(said) {
        Some(last) => format!("{root}, {}", last.trim()),
        None => root,
    }
}
