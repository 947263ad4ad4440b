//! The programs, each loaded and attached on its own: a kernel that refuses one of them costs what
//! that one tells.

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};

/// What one of several programs tells. The first that the kernel takes is used.
#[derive(Clone, Copy, Debug)]
struct Task {
    /// What is not seen if none is taken.
    tells: &'static str,
    /// From the best to the one that needs least.
    programs: &'static [&'static str],
    /// Whether it is worth its price only if it was asked for.
    when: When,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// To measure how long connections wait for accept().
    Accepts,
}

/// Programs that tell of accept().
pub(super) const ACCEPTS: &[&str] =
    &["accept_returns", "accept_of_four_returns", "system_call_returns"];

const TASKS: &[Task] = &[
    Task {
        tells: "connections, listen()",
        programs: &["state_changes", "connections_change"],
        when: When::Always,
    },
    Task { tells: "SYNs sent again", programs: &["segment_is_repeated"], when: When::Always },
    Task { tells: "resets received", programs: &["reset_is_received"], when: When::Always },
    Task { tells: "SYN-ACKs sent again", programs: &["syn_ack_is_repeated"], when: When::Always },
    Task {
        tells: "segments dropped, with the kernel's reason",
        programs: &["segment_is_dropped_at", "segment_is_dropped"],
        when: When::Always,
    },
    Task {
        tells: "resets sent",
        programs: &["reset_is_sent_for", "reset_is_sent"],
        when: When::Always,
    },
    Task {
        tells: "SYNs dropped at a full accept queue",
        programs: &["syn_is_answered"],
        when: When::Always,
    },
    Task {
        tells: "how long connections wait for accept()",
        programs: ACCEPTS,
        when: When::Accepts,
    },
];

/// Something that no program tells on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What is not seen.
    pub what: &'static str,
    /// What the kernel said to each of the programs that could have told it.
    pub why: String,
}

/// What became of the programs.
#[derive(Debug, Default)]
pub(super) struct Attached {
    /// Those that run.
    pub(super) programs: Vec<&'static str>,
    pub(super) lacks: Vec<Lack>,
}

/// Loads and attaches what the kernel takes.
pub(super) fn attach(object: &mut Ebpf, btf: &Btf, accepts: bool) -> Attached {
    let mut attached = Attached::default();
    for task in TASKS.iter().filter(|task| accepts || task.when == When::Always) {
        let mut why = Vec::new();
        let taken = task.programs.iter().find(|name| match attach_one(object, name, btf) {
            Ok(()) => true,
            Err(error) => {
                why.push(error);
                false
            }
        });
        match taken {
            Some(name) => attached.programs.push(name),
            None => {
                let why = why.join("; ");
                attached.lacks.push(Lack { what: task.tells, why });
            }
        }
    }
    attached
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
        _ => "sys_exit",
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
