//! The programs, each loaded and attached on its own: a kernel that refuses one of them costs what
//! that one tells.

use aya::maps::Array;
use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf};

/// Something to tell, in one of several ways. The first of which the kernel takes every program is used.
#[derive(Clone, Copy, Debug)]
struct Task {
    /// What is not seen if there is none.
    tells: &'static str,
    /// From the best to the one that needs least.
    ways: &'static [Way],
    /// What [`CALL_RETURNS`] is told to tell if there is none.
    by_call: Option<ByCall>,
}

impl Task {
    const fn new(tells: &'static str, ways: &'static [Way]) -> Self {
        Self { tells, ways, by_call: None }
    }

    const fn or_by_call(self, by_call: ByCall) -> Self {
        Self { by_call: Some(by_call), ..self }
    }

    /// Whether it is to measure how long connections wait for accept(), which is dear.
    fn is_for_accepts(self) -> bool {
        self.by_call == Some(ByCall::Accepts)
    }
}

/// Fields of `struct told_by_call` of bpf/trace/calls.h, by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByCall {
    Accepts,
    Failures,
}

/// A program at the end of each system call of the host, which costs all of them something. One tells
/// whatever is to be told there.
const CALL_RETURNS: &str = "call_returns";

/// Programs that tell something together.
type Way = &'static [&'static str];

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
        &[&["bind_returns", "bind_of_ipv6_returns", "connect_returns", "connect_of_ipv6_returns"]],
    )
    .or_by_call(ByCall::Failures),
    Task::new(
        "how long connections wait for accept()",
        &[&["accept_returns"], &["accept_of_four_returns"]],
    )
    .or_by_call(ByCall::Accepts),
];

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
    /// Whether it is told when accept() returns.
    pub(super) tells_accepts: bool,
    /// `struct told_by_call`.
    told_by_call: [u8; 2],
}

/// Loads and attaches what the kernel takes; at the end of every system call only with `accepts`.
pub(super) fn attach(object: &mut Ebpf, btf: &Btf, accepts: bool) -> Attached {
    let mut attached = Attached::default();
    for task in TASKS.iter().filter(|task| accepts || !task.is_for_accepts()) {
        match attached.attach(object, btf, task, accepts) {
            Ok(()) => attached.tells_accepts |= task.is_for_accepts(),
            Err(mut why) => {
                why.dedup();
                let (what, why) = (task.tells, why.join("; "));
                let has_price = !accepts && task.by_call.is_some();
                attached.lacks.push(Lack { what, why, has_price });
            }
        }
    }
    attached
}

impl Attached {
    /// The first way that the kernel takes; else what it said to each.
    fn attach(
        &mut self,
        object: &mut Ebpf,
        btf: &Btf,
        task: &Task,
        accepts: bool,
    ) -> Result<(), Vec<String>> {
        let mut why = Vec::new();
        for way in task.ways {
            match attach_all(object, way, btf) {
                Ok(()) => {
                    self.programs.extend_from_slice(way);
                    return Ok(());
                }
                Err(error) => why.push(error),
            }
        }
        match task.by_call.filter(|_| accepts) {
            Some(what) => self.tell_by_call(object, btf, what).map_err(|error| {
                why.push(error);
                why
            }),
            None => Err(why),
        }
    }

    fn tell_by_call(&mut self, object: &mut Ebpf, btf: &Btf, what: ByCall) -> Result<(), String> {
        if !self.programs.contains(&CALL_RETURNS) {
            attach_one(object, CALL_RETURNS, btf)?;
            self.programs.push(CALL_RETURNS);
        }
        self.told_by_call[what as usize] = 1;
        let settings = object.map_mut(".bss").ok_or("no settings")?;
        Array::<_, [u8; 2]>::try_from(settings)
            .and_then(|mut settings| settings.set(0, self.told_by_call, 0))
            .map_err(|error| error.to_string())
    }
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
