//! Arguments of `halfopen stacks`.

use clap::Args;
use halfopen_evidence::Runtime;

/// Arguments of `stacks`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StacksArgs {
    /// A pid, `:PORT` for whoever listens there, or the name of a process
    #[arg(value_name = "PID|:PORT|NAME")]
    pub(crate) target: String,
    /// Name files and lines of source too, and functions that were inlined; reads debugging information
    #[arg(short, long)]
    pub(crate) lines: bool,
    /// One line per stack, functions from the outermost, and a count: for flame graphs
    #[arg(long, conflicts_with = "json")]
    pub(crate) folded: bool,
    /// As JSON, a line per process; the schema is docs/schema/stacks.json
    #[arg(short, long)]
    pub(crate) json: bool,
    /// Ask a Java VM for its own thread dump, as jstack does: names, Java frames, who holds which
    /// monitor or lock. Brings its threads to a safepoint for some milliseconds. If nobody has attached
    /// to it before, this writes a file .attach_pidN into its /tmp, removes it again, and sends it
    /// SIGQUIT; never to a process that is no HotSpot VM, has no handler for the signal, or is stopped,
    /// traced or frozen
    #[arg(long)]
    pub(crate) java: bool,
    /// Run `py-spy dump --nonblocking` from PATH, which reads the memory of a Python process and does
    /// not stop it: names and Python frames
    #[arg(long)]
    pub(crate) python: bool,
    /// Stop the threads whose stacks are not to be had otherwise, by ptrace: one after the other, each
    /// until its registers and its stack are copied, which takes some tenths of a millisecond. Says
    /// beforehand which. A stop makes a thread's epoll_wait, and some other calls, fail with EINTR
    #[arg(long)]
    pub(crate) ptrace: bool,
    /// With --verbose: load no program into the kernel, and so show what the kernel does for few threads
    #[arg(long)]
    pub(crate) no_bpf: bool,
    /// Show every thread by name and every frame; of the kernel's too, by a BPF program
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl StacksArgs {
    /// Runtimes that may be asked.
    pub(crate) fn runtimes(&self) -> Vec<Runtime> {
        let chosen = [(self.java, Runtime::Java), (self.python, Runtime::Python)];
        chosen.into_iter().filter_map(|(chosen, runtime)| chosen.then_some(runtime)).collect()
    }
}

pub(crate) const ABOUT: &str = "\
What is every thread of a process doing, and who holds the lock that it waits for?

Looks twice, a moment apart, at the system call that each thread sits in, copies its stack while it \
does not move, and follows each lock to its owner. Threads with the same stack are shown once. \
Without --java and --ptrace nothing is stopped, traced or signalled: ptrace, which debuggers use, makes epoll_wait and other \
calls of the process fail with EINTR; this does not.";

const EXAMPLES: &str = "\
Needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for processes of other users.

Exit status: 0 if threads were shown, 2 if some wait for each other (a deadlock), 3 if nothing could
be seen.

Examples:
  halfopen stacks 812
  halfopen stacks :8080 --lines               whoever listens on port 8080
  halfopen stacks java --java                 with the names and locks that the Java VM knows
  halfopen stacks java --json | jq '.processes[].deadlocks'
  halfopen stacks 812 --folded > 812.folded   for flamegraph.pl, inferno or speedscope";
