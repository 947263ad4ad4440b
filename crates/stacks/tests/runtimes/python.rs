//! Python, told by py-spy.

use std::fs;
use std::process::Command;

use halfopen_collect::proc::ProcRoot;
use halfopen_evidence::{ManagedThread, Missing, Reading, Runtime};
use halfopen_stacks::runtimes::python;

use super::target::{Target, eventually, process, source};

/// What Python says of every thread of a process; the first reason if it says nothing of one.
fn told(pid: u32) -> Result<Vec<ManagedThread>, Missing> {
    let mut process = process(pid);
    python::ask(&ProcRoot::default(), &mut process, python::PATIENCE);
    let threads = process.threads.known().expect("threads");
    let told = |managed: Reading<ManagedThread>| match managed.missing() {
        Some(why) => Err(why.clone()),
        None => Ok(managed.known().expect("it is not missing")),
    };
    threads.into_iter().map(|thread| told(thread.managed)).collect()
}

fn functions(thread: &ManagedThread) -> Vec<&str> {
    thread.frames.iter().map(|frame| &*frame.function).collect()
}

#[test]
fn the_stuck_child_of_a_prefork_server_says_where_it_waits() {
    let test = "the_stuck_child_of_a_prefork_server_says_where_it_waits";
    let mut command = Command::new("python3");
    let Some(mut target) = Target::start(test, command.arg(source("prefork.py"))) else { return };
    let stuck = target.line().trim_end().parse().expect("a pid");
    // On its way there, py-spy may say anything.
    let told = eventually("a worker that is stuck", || match told(stuck) {
        Ok(threads)
            if threads.len() == 2
                && functions(&threads[0]).first() == Some(&"register_session") =>
        {
            Some(Ok(threads))
        }
        Err(Missing::NotPermitted { needs }) => Some(Err(needs)),
        _ => None,
    });
    let threads = match told {
        Ok(threads) => threads,
        Err(needs) => {
            println!("SKIPPED {test}: needs {needs}");
            return;
        }
    };
    let [main, heart] = threads.as_slice() else { panic!("{threads:?}") };
    assert_eq!((main.runtime, &*main.name), (Runtime::Python, "MainThread"));
    let expected = ["register_session", "handle", "worker", "main", "<module>"];
    assert_eq!(functions(main), expected);
    let at = main.frames[0].line.as_ref().expect("a line");
    let program = fs::read_to_string(source("prefork.py")).expect("the program");
    let line = program.lines().position(|line| line.contains("with lock:")).expect("the line");
    assert!(at.file.ends_with("/prefork.py"), "{}", at.file);
    assert_eq!(at.line as usize, line + 1);
    assert_eq!(heart.name, "heartbeat of the worker", "longer than the kernel's names");
}
