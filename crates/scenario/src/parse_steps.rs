//! From a `[[step]]` table to a [`Step`]. All numbers are bounded here: a scenario file cannot ask
//! for more sockets than a lab should ever open.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::Problem;
use crate::fields::Fields;
use crate::known::Known;
use crate::parse::settings;
use crate::parse_clients::{arrivals, clients, network};
use crate::parse_peers::peers;
use crate::{
    ClientCondition, ClientState, Condition, ConnectionState, Connections, Counted, CpuQuota,
    Exception, Listen, Loss, Lost, OnConnection, Reject, Server, Step, Then, ThreadCondition,
    ThreadPlan, ThreadState, Waits,
};

const PORTS: RangeInclusive<i64> = 1..=65_535;

pub(crate) const BYTES_AT_MOST: i64 = 65_536;
const BYTES: RangeInclusive<i64> = 1..=BYTES_AT_MOST;

#[derive(Clone, Copy)]
enum Do {
    Serve,
    Connect,
    Arrivals,
    Await,
    Stop,
    Freeze,
    Close,
    Reset,
    Send,
    Peers,
    Accept,
    Listen,
    End,
    Pass,
    Look,
    Network,
    Path,
    Conntrack,
    Sysctl,
}

const DO: &[(&str, Do)] = &[
    ("serve", Do::Serve),
    ("connect", Do::Connect),
    ("arrivals", Do::Arrivals),
    ("await", Do::Await),
    ("stop", Do::Stop),
    ("freeze", Do::Freeze),
    ("close", Do::Close),
    ("reset", Do::Reset),
    ("send", Do::Send),
    ("peers", Do::Peers),
    ("accept", Do::Accept),
    ("listen", Do::Listen),
    ("end", Do::End),
    ("pass", Do::Pass),
    ("look", Do::Look),
    ("network", Do::Network),
    ("path", Do::Path),
    ("conntrack", Do::Conntrack),
    ("sysctl", Do::Sysctl),
];

pub(crate) fn step(fields: Fields<'_>, known: &Known) -> Result<Step, Problem> {
    let step = match fields.required("do", fields.word("do", DO)?)? {
        Do::Serve => Step::Serve(server(&fields)?),
        Do::Connect => Step::Connect(clients(&fields)?),
        Do::Arrivals => Step::Arrivals(arrivals(&fields)?),
        Do::Await => Step::Await {
            condition: condition(&fields)?,
            within: fields.duration("within")?.unwrap_or(Duration::from_secs(10)),
        },
        Do::Stop => Step::Stop { process: text(&fields, "process")? },
        Do::Freeze => Step::Freeze { process: text(&fields, "process")? },
        Do::Close => Step::Close { clients: text(&fields, "clients")? },
        Do::Reset => Step::Reset { clients: text(&fields, "clients")? },
        Do::Send => Step::Send {
            clients: text(&fields, "clients")?,
            bytes: fields.required("bytes", fields.number("bytes", BYTES)?)?,
        },
        Do::Peers => peers(&fields, known)?,
        Do::Accept => Step::Accept {
            port: port(&fields)?,
            count: fields.number("count", 1..=2_000)?.unwrap_or(1),
            process: fields.text("process")?.map(str::to_owned),
        },
        Do::Listen => Step::Listen {
            process: text(&fields, "process")?,
            port: port(&fields)?,
            backlog: backlog(&fields)?,
        },
        Do::End => Step::End { process: text(&fields, "process")? },
        Do::Pass => Step::Pass { time: time_to_pass(&fields)? },
        Do::Look => Step::Look { name: fields.text("name")?.map(str::to_owned) },
        Do::Network => Step::Network(network(&fields)?),
        Do::Path => Step::Path(loss(&fields)?),
        Do::Conntrack => Step::Conntrack {
            host: fields.text("host")?.map(str::to_owned),
            max: fields.required("max", fields.number("max", 1..=1_000_000)?)?,
        },
        Do::Sysctl => {
            let set = fields.required("set", fields.table("set")?)?;
            Step::Sysctl { set: settings(&set)? }
        }
    };
    fields.finish()?;
    Ok(step)
}

fn server(fields: &Fields<'_>) -> Result<Server, Problem> {
    let process = name(fields, "process")?.to_owned();
    let listen: Vec<Listen> =
        fields.tables("listen")?.into_iter().map(listen).collect::<Result<_, _>>()?;
    if listen.is_empty() {
        return Err(Problem::new(fields.at(), "`listen` is missing, or empty"));
    }
    let threads = threads(fields, &process, &listen)?;
    let copies = fields.number("copies", 1..=64)?.unwrap_or(1);
    let except = exceptions(fields, copies, &process, &listen)?;
    let open_files = fields.number("open_files", 8..=4096)?;
    let cpu = fields.table("cpu")?.map(cpu_quota).transpose()?;
    let host = fields.text("host")?.map(str::to_owned);
    let server = Server { process, host, copies, except, open_files, cpu, listen, threads };
    let shares = copies > 1 && server.listen.iter().any(|listen| !listen.reuseport);
    let told = server.all_threads().any(|thread| thread.waits == Waits::Told);
    if shares && (server.listen.len() > 1 || told) {
        let message = "copies without `reuseport` share one listener, and none of their threads \
                       waits to be told";
        return Err(Problem::new(fields.at(), message));
    }
    Ok(server)
}

fn exceptions(
    fields: &Fields<'_>,
    copies: u32,
    process: &str,
    listen: &[Listen],
) -> Result<Vec<Exception>, Problem> {
    let mut exceptions: Vec<Exception> = Vec::new();
    for exception in fields.tables("except")? {
        let copy = exception.number("copy", 1..=i64::from(copies))?;
        let copy = exception.required("copy", copy)?;
        if exceptions.iter().any(|earlier| earlier.copy == copy) {
            return Err(Problem::new(exception.at(), format!("copy {copy} is excepted twice")));
        }
        let threads = threads(&exception, process, listen)?;
        exceptions.push(Exception { copy, threads });
        exception.finish()?;
    }
    Ok(exceptions)
}

fn threads(
    fields: &Fields<'_>,
    process: &str,
    listen: &[Listen],
) -> Result<Vec<ThreadPlan>, Problem> {
    let mut threads = Vec::new();
    for thread_fields in fields.tables("threads")? {
        let default_name = threads.is_empty().then_some(process);
        let at = thread_fields.at();
        let thread = thread(thread_fields, default_name)?;
        if thread.port.is_some_and(|port| listen.iter().all(|listen| listen.port != port)) {
            return Err(Problem::new(at, "the thread's `port` is none of `listen`"));
        }
        if threads.is_empty() && (thread.name != process || thread.then == Then::Exit) {
            let message = "the first thread is the main one: named as its process, it cannot exit";
            return Err(Problem::new(at, message));
        }
        if let Some(lock) = &thread.holds
            && threads.iter().any(|other: &ThreadPlan| other.holds.as_ref() == Some(lock))
        {
            return Err(Problem::new(at, format!("another thread holds \"{lock}\"")));
        }
        let alike = |other: &ThreadPlan| other.waits == Waits::Told && other.port == thread.port;
        if thread.waits == Waits::Told && threads.iter().any(alike) {
            return Err(Problem::new(at, "another thread waits to be told on this port"));
        }
        threads.push(thread);
    }
    if threads.is_empty() {
        return Err(Problem::new(fields.at(), "`threads` is missing, or empty"));
    }
    let is_held = |lock: &String| threads.iter().any(|thread| thread.holds.as_ref() == Some(lock));
    for thread in &threads {
        if let Then::Lock { name } = &thread.then
            && !is_held(name)
        {
            let message =
                format!("no thread holds \"{name}\", for which \"{}\" waits", thread.name);
            return Err(Problem::new(fields.at_field("threads"), message));
        }
    }
    Ok(threads)
}

/// Within the kernel's own bounds (`tg_set_cfs_bandwidth`, kernel/sched/core.c).
fn cpu_quota(fields: Fields<'_>) -> Result<CpuQuota, Problem> {
    const LEAST: Duration = Duration::from_millis(1);
    let time = |key| fields.required(key, fields.duration(key)?);
    let cpu = CpuQuota { quota: time("quota")?, period: time("period")? };
    if cpu.quota < LEAST || !(LEAST..=Duration::from_secs(1)).contains(&cpu.period) {
        let message = "`quota` must be at least \"1ms\", and `period` from \"1ms\" to \"1s\"";
        return Err(Problem::new(fields.at(), message));
    }
    fields.finish()?;
    Ok(cpu)
}

fn listen(fields: Fields<'_>) -> Result<Listen, Problem> {
    let listen = Listen {
        port: port(&fields)?,
        backlog: backlog(&fields)?,
        reuseport: fields.yes_or_no("reuseport")?.unwrap_or(false),
        defer_accept: fields.duration("defer_accept")?,
    };
    fields.finish()?;
    Ok(listen)
}

fn backlog(fields: &Fields<'_>) -> Result<i32, Problem> {
    fields.required("backlog", fields.number("backlog", -1..=i64::from(i32::MAX))?)
}

fn thread(fields: Fields<'_>, default_name: Option<&str>) -> Result<ThreadPlan, Problem> {
    let name = match (fields.text("name")?, default_name) {
        (None, Some(default_name)) => default_name,
        _ => name(&fields, "name")?,
    };
    let waits = fields.word(
        "waits",
        &[
            ("accept", Waits::Accept),
            ("poll", Waits::Poll),
            ("select", Waits::Select),
            ("epoll", Waits::Epoll),
            ("epoll-edge", Waits::EpollEdge),
            ("told", Waits::Told),
        ],
    )?;
    let connection = fields.word(
        "connection",
        &[
            ("close", OnConnection::Close),
            ("keep", OnConnection::Keep),
            ("read-request", OnConnection::ReadRequest),
            ("serve", OnConnection::Serve),
        ],
    )?;
    let accepts = fields.number("accepts", 0..=100_000)?;
    let port = fields.number("port", PORTS)?;
    if waits == Some(Waits::Told) && (accepts.is_some() || port.is_none()) {
        let message = "a thread that waits to be told has a `port` and no `accepts`";
        return Err(Problem::new(fields.at(), message));
    }
    let thread = ThreadPlan {
        name: name.to_owned(),
        port,
        waits: waits.unwrap_or(Waits::Accept),
        accepts,
        connection: connection.unwrap_or(OnConnection::Serve),
        work: fields.duration("work")?.unwrap_or_default(),
        pause: fields.duration("pause")?.unwrap_or_default(),
        then: then(&fields)?,
        holds: fields.text("holds")?.map(str::to_owned),
    };
    fields.finish()?;
    Ok(thread)
}

fn then(fields: &Fields<'_>) -> Result<Then, Problem> {
    #[derive(Clone, Copy)]
    enum Word {
        Exit,
        Sleep,
        Lock,
        Connect,
    }
    let words = [
        ("exit", Word::Exit),
        ("sleep", Word::Sleep),
        ("lock", Word::Lock),
        ("connect", Word::Connect),
    ];
    Ok(match fields.word("then", &words)?.unwrap_or(Word::Sleep) {
        Word::Exit => Then::Exit,
        Word::Sleep => Then::Sleep,
        Word::Lock => Then::Lock { name: text(fields, "then_lock")? },
        Word::Connect => {
            let port = fields.number("then_port", PORTS)?;
            Then::Connect { port: fields.required("then_port", port)? }
        }
    })
}

fn time_to_pass(fields: &Fields<'_>) -> Result<Duration, Problem> {
    let time = fields.required("time", fields.duration("time")?)?;
    if (Duration::from_millis(100)..=Duration::from_secs(120)).contains(&time) {
        return Ok(time);
    }
    Err(Problem::new(fields.at_field("time"), "`time` must be from \"100ms\" to \"120s\""))
}

fn loss(fields: &Fields<'_>) -> Result<Loss, Problem> {
    let words =
        [("syns", Lost::Syns), ("syn-acks", Lost::SynAcks), ("third-acks", Lost::ThirdAcks)];
    let answers = Reject::ALL.map(|with| (with.as_str(), with));
    let (loses, rejects) = (fields.word("loses", &words)?, fields.word("rejects", &words)?);
    let with = fields.word("with", &answers)?;
    let (lost, rejected) = match (loses, rejects) {
        (Some(lost), None) if with.is_none() => (lost, None),
        (Some(_), None) => {
            return Err(Problem::new(fields.at_field("with"), "`with` belongs to `rejects`"));
        }
        (None, Some(lost)) => (lost, Some(with.unwrap_or(Reject::PortUnreachable))),
        (Some(_), Some(_)) => {
            let message = "a path either `loses` or `rejects`; two steps can do both";
            return Err(Problem::new(fields.at_field("rejects"), message));
        }
        (None, None) => {
            return Err(Problem::new(fields.at(), "`loses` or `rejects` is missing"));
        }
    };
    Ok(Loss { lost, port: port(fields)?, rejected })
}

fn condition(fields: &Fields<'_>) -> Result<Condition, Problem> {
    let mut conditions = Vec::new();
    if let Some(queue) = fields.table("queue")? {
        conditions.push(Condition::Queue { port: port(&queue)?, count: counted(&queue)? });
        queue.finish()?;
    }
    if let Some(connections) = fields.table("connections")? {
        conditions.push(Condition::Connections(connections_of(&connections)?));
        connections.finish()?;
    }
    if let Some(counter) = fields.table("counter")? {
        let name = text(&counter, "name")?;
        conditions.push(Condition::Counter { name, count: counted(&counter)? });
        counter.finish()?;
    }
    if let Some(clients) = fields.table("clients")? {
        conditions.push(Condition::Clients(client_condition(&clients)?));
        clients.finish()?;
    }
    if let Some(thread) = fields.table("thread")? {
        conditions.push(Condition::Thread(thread_condition(&thread)?));
        thread.finish()?;
    }
    match (conditions.pop(), conditions.is_empty()) {
        (Some(condition), true) => Ok(condition),
        _ => Err(Problem::new(fields.at(), "an await step has exactly one condition")),
    }
}

fn connections_of(fields: &Fields<'_>) -> Result<Connections, Problem> {
    let words = [
        ("syn-recv", ConnectionState::SynRecv),
        ("established", ConnectionState::Established),
        ("close-wait", ConnectionState::CloseWait),
    ];
    Ok(Connections {
        port: port(fields)?,
        state: fields.required("state", fields.word("state", &words)?)?,
        accepted: fields.yes_or_no("accepted")?,
        count: counted(fields)?,
    })
}

fn client_condition(fields: &Fields<'_>) -> Result<ClientCondition, Problem> {
    let words = [
        ("connecting", ClientState::Connecting),
        ("connected", ClientState::Connected),
        ("failed", ClientState::Failed),
    ];
    Ok(ClientCondition {
        of: fields.text("of")?.unwrap_or("clients").to_owned(),
        state: fields.required("state", fields.word("state", &words)?)?,
        count: counted(fields)?,
    })
}

fn thread_condition(fields: &Fields<'_>) -> Result<ThreadCondition, Problem> {
    let words = [
        ("gone", ThreadState::Gone),
        ("in-lock", ThreadState::InLock),
        ("in-sleep", ThreadState::InSleep),
        ("in-connect", ThreadState::InConnect),
        ("in-read", ThreadState::InRead),
    ];
    Ok(ThreadCondition {
        process: text(fields, "process")?,
        name: text(fields, "name")?,
        state: fields.required("is", fields.word("is", &words)?)?,
    })
}

fn counted(fields: &Fields<'_>) -> Result<Counted, Problem> {
    let bounds = 0..=i64::from(u32::MAX);
    match (fields.number("at_least", bounds.clone())?, fields.number("at_most", bounds)?) {
        (Some(least), None) => Ok(Counted::AtLeast(least)),
        (None, Some(most)) => Ok(Counted::AtMost(most)),
        _ => Err(Problem::new(fields.at(), "either `at_least` or `at_most` is required")),
    }
}

pub(crate) fn port(fields: &Fields<'_>) -> Result<u16, Problem> {
    fields.required("port", fields.number("port", PORTS)?)
}

fn text(fields: &Fields<'_>, key: &'static str) -> Result<String, Problem> {
    Ok(fields.required(key, fields.text(key)?)?.to_owned())
}

/// A name that the kernel keeps whole: `comm` has room for 15 bytes.
fn name<'t>(fields: &Fields<'t>, key: &'static str) -> Result<&'t str, Problem> {
    let name = fields.required(key, fields.text(key)?)?;
    if name.len() > 15 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("`{key}` must be at most 15 visible ASCII characters");
        return Err(Problem::new(fields.at_field(key), message));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_step() {
        let manual = include_str!("../../../docs/scenarios.md");
        for (word, _) in DO {
            assert!(manual.contains(&format!("`{word}`")), "{word}");
        }
    }
}
