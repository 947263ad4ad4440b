//! Arguments of `halfopen stacks`.

use clap::Args;

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
    /// Show every thread by name and every frame
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

pub(crate) const ABOUT: &str = "\
What is every thread of a process doing, and who holds the lock that it waits for?

Looks twice, a moment apart, at the system call that each thread sits in, copies its stack while it \
does not move, and follows each lock to its owner. Threads with the same stack are shown once. \
Nothing is stopped, traced or signalled: ptrace, which debuggers use, makes epoll_wait and other \
calls of the process fail with EINTR; this does not.";

const EXAMPLES: &str = "\
Needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, for processes of other users.

Exit status: 0 if threads were shown, 2 if some wait for each other (a deadlock), 3 if nothing could
be seen.

Examples:
  halfopen stacks 812
  halfopen stacks :8080 --lines               whoever listens on port 8080
  halfopen stacks java --json | jq '.processes[].deadlocks'
  halfopen stacks 812 --folded > 812.folded   for flamegraph.pl, inferno or speedscope";
