//! The name of the timetable by which SYNs were sent again.

use halfopen_evidence::Sends;

/// Its name, if SYNs were sent again and it is a known one.
pub(super) fn name(_syns: &Sends) -> Option<String> {
    None
}
