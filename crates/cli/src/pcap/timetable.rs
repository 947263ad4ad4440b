//! The name of the timetable by which SYNs were sent again.

use halfopen_capture::Timetable;
use halfopen_evidence::Sends;

/// When SYNs were sent again, and whose timetable that is: `1.0/2.0/3.1 s: Linux from 6.5 on`; none if
/// there was one SYN only.
pub(super) fn name(syns: &Sends) -> Option<String> {
    Timetable::of(syns).map(|timetable| timetable.to_string())
}
