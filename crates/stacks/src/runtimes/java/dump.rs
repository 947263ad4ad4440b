//! The text of a HotSpot thread dump, from bytes to threads.
//!
//! Written by `Threads::print_on` and `DeadlockCycle::print_on` (src/hotspot/share/runtime/threads.cpp,
//! threadService.cpp), monitors by `javaVFrame::print_lock_info_on` (vframe.cpp); from JDK 8 to 24.
//! Names of threads may hold anything, and a process may send any text in place of a dump: lines that
//! make no sense are passed over.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{ManagedFrame, SourceLine};

/// Threads told at most.
const THREADS_MAX: usize = 1 << 16;

/// Frames told at most of one thread, and of all.
const FRAMES_MAX: usize = 512;
const FRAMES_IN_ALL_MAX: usize = 1 << 20;

/// A dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// Its threads, those of the virtual machine itself among them.
    pub threads: Vec<JavaThread>,
    /// Names of the threads that hold objects, as the section on deadlocks tells them. A monitor that
    /// native code has entered is told nowhere else.
    pub deadlocked: BTreeMap<u64, String>,
}

/// A thread in a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JavaThread {
    /// Its name.
    pub name: String,
    /// Its tid, as the virtual machine knows it.
    pub tid: u32,
    /// What comes behind `java.lang.Thread.State:`.
    pub state: Option<String>,
    /// Innermost first.
    pub frames: Vec<ManagedFrame>,
    /// What it waits for.
    pub waits: Option<Wait>,
    /// Addresses of the objects whose monitors it has entered, and of the `java.util.concurrent`
    /// synchronizers that it owns.
    pub holds: BTreeSet<u64>,
}

/// What a Java thread waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How.
    pub how: How,
    /// Address of the object; the virtual machine does not always know it.
    pub object: Option<u64>,
    /// The object's class.
    pub class: String,
}

/// How a Java thread waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To enter a monitor.
    Monitor,
    /// In `Object.wait`, to be notified.
    Notify,
    /// In `LockSupport.park`.
    Park,
}

/// Reads a dump.
#[must_use]
pub fn dump(text: &[u8]) -> Dump {
    let mut dump = Dump::default();
    let mut frames_left = FRAMES_IN_ALL_MAX;
    let mut in_deadlocks = false;
    let mut object = None;
    for line in text.split(|&byte| byte == b'\n') {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        in_deadlocks |= line.starts_with("Found one Java-level deadlock");
        if in_deadlocks {
            // What comes last repeats the stacks.
            object = waited_for(&line).or(object);
            if let Some(owner) = held_by(&line)
                && let Some(object) = object.take()
            {
                dump.deadlocked.insert(object, owner.to_owned());
            }
        } else if let Some(thread) = header(&line) {
            if dump.threads.len() == THREADS_MAX {
                break;
            }
            dump.threads.push(thread);
        } else if let Some(thread) = dump.threads.last_mut() {
            detail(thread, &line, &mut frames_left);
        }
    }
    dump
}

/// `"name" #12 prio=5 os_prio=0 … tid=0x00007f9a18429b80 nid=0x3cc9 in Object.wait()`. JDK 19 began to
/// write `nid` in decimal.
fn header(line: &str) -> Option<JavaThread> {
    // The name may hold quotation marks; what comes behind it does not.
    let (name, rest) = line.strip_prefix('"')?.rsplit_once('"')?;
    let nid = rest.split_ascii_whitespace().find_map(|word| word.strip_prefix("nid="))?;
    let tid = match nid.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => nid.parse(),
    };
    Some(JavaThread { name: name.to_owned(), tid: tid.ok()?, ..JavaThread::default() })
}

/// A line below a thread's header.
fn detail(thread: &mut JavaThread, line: &str, frames_left: &mut usize) {
    let line = line.trim_ascii();
    if let Some(state) = line.strip_prefix("java.lang.Thread.State: ") {
        thread.state = Some(state.to_owned());
    } else if let Some(call) = line.strip_prefix("at ") {
        if thread.frames.len() < FRAMES_MAX && *frames_left > 0 {
            *frames_left -= 1;
            thread.frames.push(frame(call));
        }
    } else if let Some(note) = line.strip_prefix("- ") {
        about_an_object(thread, note);
    }
}

/// `Dl.main(Dl.java:18)`, `java.lang.Thread.run(java.base@17.0.15/Thread.java:840)`.
fn frame(call: &str) -> ManagedFrame {
    let (function, place) = call.rsplit_once('(').unwrap_or((call, ""));
    let place = place.strip_suffix(')').unwrap_or(place);
    // Before the file: loader and module.
    let place = place.rsplit_once('/').map_or(place, |(_, place)| place);
    let line = place.rsplit_once(':').and_then(|(file, line)| {
        Some(SourceLine { file: file.to_owned(), line: line.parse().ok().filter(|&n| n > 0)? })
    });
    ManagedFrame { function: function.to_owned(), line }
}

/// `waiting to lock <0x000000069eb6add8> (a java.lang.Object)` and its like.
fn about_an_object(thread: &mut JavaThread, note: &str) {
    let Some((does, object)) = note.split_once('<') else { return };
    let Some((address, class)) = object.split_once('>') else { return };
    let object = hexadecimal(address);
    let blocked = thread.state.as_deref().is_some_and(|state| state.starts_with("BLOCKED"));
    let how = match does.trim_ascii_end() {
        "waiting to lock" | "waiting to re-lock in wait()" => How::Monitor,
        // JDK 8 says the same of who was notified and waits to enter the monitor again.
        "waiting on" if blocked => How::Monitor,
        "waiting on" => How::Notify,
        "parking to wait for" => How::Park,
        "locked" => {
            thread.holds.extend(object.filter(|_| !has_left(thread, object)));
            return;
        }
        // In the list of synchronizers that it owns.
        "" => {
            thread.holds.extend(object);
            return;
        }
        // A lock that the compiler has removed.
        _ => return,
    };
    let class = class.trim_ascii().strip_prefix("(a ").and_then(|class| class.strip_suffix(')'));
    let class = class.unwrap_or_default().to_owned();
    thread.waits.get_or_insert(Wait { how, object, class });
}

/// Whether it may have left this monitor, although it is told to have locked it: it waits to be
/// notified of it, or to enter it again after that.
fn has_left(thread: &JavaThread, object: Option<u64>) -> bool {
    let waits = thread.waits.as_ref().filter(|wait| wait.how != How::Park);
    waits.is_some_and(|wait| wait.object.is_none() || wait.object == object)
}

/// The object in `waiting to lock monitor 0x… (object 0x…, a java.lang.Object),` or in `waiting for
/// ownable synchronizer 0x…, (a …),`.
fn waited_for(line: &str) -> Option<u64> {
    let line = line.trim_ascii_start();
    let object = match line.strip_prefix("waiting for ownable synchronizer ") {
        Some(object) => object,
        None => line.strip_prefix("waiting to lock monitor ")?.split_once("(object ")?.1,
    };
    hexadecimal(object.split_once(',')?.0)
}

/// The name in `which is held by "name"`.
fn held_by(line: &str) -> Option<&str> {
    line.split_once("which is held by \"")?.1.strip_suffix('"')
}

fn hexadecimal(address: &str) -> Option<u64> {
    u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A dump of JDK 17, shortened: two deadlocks, one of monitors and one of `ReentrantLock`s.
    const DEADLOCKS: &[u8] = include_bytes!("../../../tests/dumps/deadlocks_17.txt");

    fn frame_at(function: &str, line: Option<(&str, u32)>) -> ManagedFrame {
        let line = line.map(|(file, line)| SourceLine { file: file.to_owned(), line });
        ManagedFrame { function: function.to_owned(), line }
    }

    fn thread_of<'d>(dump: &'d Dump, name: &str) -> &'d JavaThread {
        dump.threads.iter().find(|thread| thread.name == name).expect("the thread")
    }

    fn only_thread(details: &str) -> JavaThread {
        let text = format!("\"t\" #1 prio=5 tid=0x1 nid=0x1f runnable\n{details}");
        let mut threads = dump(text.as_bytes()).threads;
        assert_eq!(threads.len(), 1);
        threads.remove(0)
    }

    #[test]
    fn a_thread_that_waits_for_a_monitor_is_read_whole() {
        let expected = JavaThread {
            name: "acceptor \"q\" with a long name".to_owned(),
            tid: 0x3cc5,
            state: Some("BLOCKED (on object monitor)".to_owned()),
            frames: vec![
                frame_at("Dl.mon", Some(("Dl.java", 6))),
                frame_at("Dl.lambda$main$0", Some(("Dl.java", 10))),
                frame_at("Dl$$Lambda$199/0x00007f9998140208.run", None),
                frame_at("java.lang.Thread.run", Some(("Thread.java", 840))),
            ],
            waits: Some(Wait {
                how: How::Monitor,
                object: Some(0x6_9eb6_add8),
                class: "java.lang.Object".to_owned(),
            }),
            holds: BTreeSet::from([0x6_9eb6_adc8]),
        };
        let dump = dump(DEADLOCKS);
        assert_eq!(*thread_of(&dump, &expected.name), expected);
    }

    #[test]
    fn owned_synchronizers_and_the_deadlocks_are_read() {
        let dump = dump(DEADLOCKS);
        let left = thread_of(&dump, "left");
        assert_eq!(left.holds, BTreeSet::from([0x6_9eb6_af30]));
        let waits = left.waits.as_ref().expect("what it waits for");
        assert_eq!((waits.how, waits.object), (How::Park, Some(0x6_9eb6_af60)));
        assert_eq!(waits.class, "java.util.concurrent.locks.ReentrantLock$NonfairSync");
        let owners: Vec<(u64, &str)> =
            dump.deadlocked.iter().map(|(&object, name)| (object, &**name)).collect();
        let expected = [
            (0x6_9eb6_adc8, "acceptor \"q\" with a long name"),
            (0x6_9eb6_add8, "reloader"),
            (0x6_9eb6_af30, "left"),
            (0x6_9eb6_af60, "right"),
        ];
        assert_eq!(owners, expected);
    }

    #[test]
    fn threads_of_the_virtual_machine_have_a_name_and_nothing_else() {
        let dump = dump(DEADLOCKS);
        let expected =
            JavaThread { name: "VM Thread".to_owned(), tid: 0x3c99, ..JavaThread::default() };
        assert_eq!(*thread_of(&dump, "VM Thread"), expected);
    }

    #[test]
    fn who_waits_to_be_notified_does_not_hold_the_monitor_that_it_left() {
        let waiting = only_thread(
            "   java.lang.Thread.State: WAITING (on object monitor)\n\
             \tat java.lang.Object.wait(java.base@17/Native Method)\n\
             \t- waiting on <0x10> (a Q)\n\tat Q.take(Q.java:5)\n\t- locked <0x10> (a Q)\n\
             \t- locked <0x20> (a P)\n",
        );
        assert_eq!(waiting.waits.map(|wait| wait.how), Some(How::Notify));
        assert_eq!(waiting.holds, BTreeSet::from([0x20]));
        let unknown = only_thread(
            "\t- waiting on <no object reference available>\n\t- locked <0x10> (a Q)\n\
             \n   Locked ownable synchronizers:\n\t- <0x30> (a L)\n",
        );
        assert_eq!(unknown.waits.map(|wait| wait.object), Some(None));
        assert_eq!(unknown.holds, BTreeSet::from([0x30]), "either may be the one it left");
    }

    #[test]
    fn who_was_notified_waits_for_the_monitor_again() {
        let blocked = "   java.lang.Thread.State: BLOCKED (on object monitor)\n";
        for note in ["waiting to re-lock in wait()", "waiting on"] {
            let thread = only_thread(&format!("{blocked}\t- {note} <0x10> (a Q)\n"));
            assert_eq!(thread.waits.map(|wait| wait.how), Some(How::Monitor), "{note}");
        }
    }

    #[test]
    fn headers_of_all_versions_are_read_and_other_lines_are_none() {
        let recent = "\"main\" #1 [812] prio=5 os_prio=0 cpu=1ms tid=0x7f nid=812 waiting on x";
        assert_eq!(header(recent).map(|thread| thread.tid), Some(812));
        for line in
            ["", "\"", "\"\"", "\"x\" nid=", "\"x\" nid=0x1ffffffff", "x nid=1", "\"x nid=1"]
        {
            assert_eq!(header(line), None, "{line}");
        }
    }

    #[test]
    fn frames_without_a_place_keep_their_name() {
        for call in ["a.b", "a.b(", "a.b()", "a.b(Native Method)", "a.b(X.java)", "a.b(X.java:0)"] {
            assert_eq!(frame(call), frame_at("a.b", None), "{call}");
        }
    }

    #[test]
    fn a_dump_that_is_too_long_is_told_in_part() {
        let thread = format!("\"t\" nid=0x1\n{}", "at a(b:1)\n".repeat(600));
        let dump = dump(thread.repeat(3).as_bytes());
        assert_eq!(dump.threads.len(), 3);
        assert!(dump.threads.iter().all(|thread| thread.frames.len() == FRAMES_MAX));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in "(\"|nid=0x1|\n|\tat |- |locked|waiting on|<0x1>|<|>|\\(|\\)|:|/|Found one Java-level \
                      deadlock|waiting to lock monitor|\\(object 0x2,|which is held by \"){0,60}",
        ) {
            let _ = dump(text.as_bytes());
        }

        #[test]
        fn no_bytes_make_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = dump(&text);
        }
    }
}
