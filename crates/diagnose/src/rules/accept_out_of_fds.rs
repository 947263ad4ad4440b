//! # What it sees
//! Connections wait on a listener, none is taken, and the process that holds it has as many
//! descriptors open as it may (`RLIMIT_NOFILE`), or the whole system has (`fs.file-max`).
//!
//! # Why it happens
//! Each accepted connection needs a descriptor. Without one `accept()` fails with EMFILE (ENFILE
//! for the system's limit) and leaves the connection in the queue. Programs then spin, sleep and
//! try again, or drop the listener for good. What used the descriptors up is most often a leak:
//! connections that the clients closed and the program never did (CLOSE_WAIT, see
//! `close-wait-leak`), files, pipes to children. Sometimes the limit is simply too low: 1024 is a
//! usual default.
//!
//! # How sure
//! Certain over a window, since the count equals the limit while nothing is accepted; probable from
//! one look.
//!
//! # What to do
//! See what the descriptors are: `ls -l /proc/PID/fd`, `lsof -p PID`. If they are a leak, fix that;
//! a restart buys time. If they are all in use, raise the limit: `LimitNOFILE=` in the unit,
//! `prlimit --pid PID --nofile=SOFT:HARD` for the running process.
//!
//! # What not to do
//! A larger backlog helps nothing: waiting connections use no descriptor, accepting them does.
//! Raising the limit of a program that leaks only moves the day.
//!
//! # Sources
//! - `net/socket.c __sys_accept4` takes the descriptor before it takes the connection
//! - `fs/file.c alloc_fd` (EMFILE), `fs/file_table.c alloc_empty_file` (ENFILE)
//! - accept(2), getrlimit(2)

use halfopen_evidence::{FdUse, ProcessName};

use crate::analysis::cause::{self, StallCause};
use crate::analysis::stall_report::{self, Told};
use crate::words::process_name;
use crate::{Confidence, Context, Fact, FindingId, Verdicts};

pub(crate) fn look(context: &Context<'_>, verdicts: &mut Verdicts) {
    for (view, stalled) in stall_report::stalls(context) {
        if let StallCause::OutOfFds(processes) = &stalled.cause {
            let told = tell(processes);
            let id = FindingId::AcceptOutOfFds;
            verdicts.find(stall_report::finding(id, context, view, stalled, told));
        }
    }
}

fn tell(processes: &[(ProcessName, FdUse)]) -> Told {
    let cause = match processes.first() {
        Some((process, fds)) if fds.is_exhausted() => format!(
            "{} has {} of {} descriptors open, so accept() fails with EMFILE and connections stay \
             where they are",
            process_name(&process.comm, process.pid),
            fds.open,
            fds.limit
        ),
        _ => "the whole system has no open files left (fs.file-max), so accept() fails with ENFILE"
            .to_owned(),
    };
    let pid = processes.first().map_or(0, |(process, _)| process.pid.0);
    let remedies = if processes.iter().any(|(_, fds)| fds.is_exhausted()) {
        vec![
            format!("see what they are: ls -l /proc/{pid}/fd"),
            "if connections in CLOSE_WAIT or other leftovers are most of them, fix the leak; a \
             restart buys time"
                .to_owned(),
            format!(
                "if all are in use, raise the limit: prlimit --pid {pid} --nofile=SOFT:HARD, and \
                 LimitNOFILE= in the unit"
            ),
        ]
    } else {
        vec![
            "find the process with the most open files: ls /proc/*/fd | sort".to_owned(),
            "raise fs.file-max".to_owned(),
        ]
    };
    Told {
        cause,
        confidence: Confidence::Certain,
        evidence: processes.iter().flat_map(|(process, fds)| facts(process, fds)).collect(),
        refuted_by: "an accept() that succeeds while the count stands at the limit".to_owned(),
        remedies,
        useless: vec!["more accepting threads: each gets the same error".to_owned()],
    }
}

fn facts(process: &ProcessName, fds: &FdUse) -> Vec<Fact> {
    let text = format!(
        "{} has {} of {} descriptors open",
        process_name(&process.comm, process.pid),
        fds.open,
        fds.limit
    );
    let mut facts = vec![Fact::number("open-descriptors", fds.open, text)];
    if cause::is_system_exhausted(fds)
        && let Some(open) = fds.system_open.value()
    {
        facts.push(Fact::number("system-open-files", open, format!("{open} files open in all")));
    }
    facts
}

#[cfg(test)]
mod tests {
    use halfopen_evidence::{CallTarget, Missing, Process, Reading};

    use super::*;
    use crate::fixture::{Scene, blocked, endpoint, held, listener, process, thread};

    fn scene(open: u64, limit: u64) -> Scene {
        let naps = blocked("clock_nanosleep", CallTarget::Time);
        let mut server = process(812, [thread(812, "app", naps)]);
        let fds = server.fds.get_mut().expect("descriptors");
        (fds.open, fds.limit) = (open, limit);
        with(server)
    }

    fn with(server: Process) -> Scene {
        Scene::window()
            .endpoint(endpoint("0.0.0.0:8080", [held(listener(1, 6, 5), &[812])]))
            .process(server)
    }

    #[test]
    fn a_process_at_its_limit_is_told_from_one_that_sleeps() {
        let finding = scene(1024, 1024).finding(FindingId::AcceptOutOfFds);
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.cause.contains("1024 of 1024"), "{}", finding.cause);
    }

    #[test]
    fn one_descriptor_left_is_enough() {
        assert!(scene(1023, 1024).is_silent_about(FindingId::AcceptOutOfFds));
    }

    #[test]
    fn the_limit_of_the_whole_system_counts_too() {
        let mut server = process(812, [thread(812, "app", blocked("x", CallTarget::Time))]);
        let fds = server.fds.get_mut().expect("descriptors");
        fds.system_open = Reading::Known(100_000);
        let finding = with(server).finding(FindingId::AcceptOutOfFds);
        assert!(finding.cause.contains("ENFILE"), "{}", finding.cause);
    }

    #[test]
    fn unread_descriptors_give_no_finding() {
        let mut server = process(812, [thread(812, "app", blocked("x", CallTarget::Time))]);
        server.fds = Missing::needs("root").into();
        assert!(with(server).is_silent_about(FindingId::AcceptOutOfFds));
    }
}
