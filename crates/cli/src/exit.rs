//! Exit statuses: those of a monitoring check, and one for wrong usage.

use halfopen_diagnose::Status;

/// What the process says when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: all is well, or what was asked for was done.
    Healthy,
    /// 1: something will fail soon, or fails rarely. For the lab: not what was expected.
    Warning,
    /// 2: connections fail now.
    Failure,
    /// 3: not enough could be seen to say.
    CannotTell,
    /// 64: the command line makes no sense (EX_USAGE of sysexits.h).
    Usage,
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        match status {
            Status::Healthy => Self::Healthy,
            Status::Warning => Self::Warning,
            Status::Failure => Self::Failure,
            Status::Unknown => Self::CannotTell,
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Healthy => 0,
            Exit::Warning => 1,
            Exit::Failure => 2,
            Exit::CannotTell => 3,
            Exit::Usage => 64,
        }
    }
}

/// Prints what clap has to say: help and version end well, everything else is wrong usage.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    // Nothing better can be done if the terminal is gone.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage } else { Exit::Healthy }
}
