//! What the runtime of a language knows of its threads: their names, the functions of the language
//! that they are in, and who holds the locks that the kernel sees as plain futexes.
//!
//! Asking a runtime is more than looking: [`ask`] says what it does to the process, and is
//! called only if the user has chosen it. [`go`] only reads memory, as for stacks.

pub mod go;
pub mod java;
pub mod python;

use halfopen_collect::proc::parse::Mapping;
use halfopen_collect::proc::{ProcRoot, ProcessImage};
use halfopen_evidence::{Missing, Pid, Process, Reading, Runtime};

/// Which runtime a process has that could be asked, told by the files that it runs.
pub fn runtime(root: &ProcRoot, pid: Pid) -> Reading<Option<Runtime>> {
    let mappings = match ProcessImage::open(root, pid) {
        Reading::Known(image) => image.mappings(),
        Reading::Missing(why) => return why.into(),
    };
    match mappings {
        Ok(mappings) => Reading::Known(mappings.iter().find_map(runtime_in)),
        Err(why) => why.into(),
    }
}

fn runtime_in(mapping: &Mapping) -> Option<Runtime> {
    if !mapping.executable {
        return None;
    }
    runtime_of(&mapping.path.file_name()?.to_string_lossy())
}

/// Which runtime a program or library of this name is.
#[must_use]
pub fn runtime_of(name: &str) -> Option<Runtime> {
    let python = |prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        rest.starts_with(|letter: char| letter.is_ascii_digit()).then_some(Runtime::Python)
    };
    match name {
        java::LIBRARY => Some(Runtime::Java),
        "python" => Some(Runtime::Python),
        _ => python("python").or_else(|| python("libpython")),
    }
}

/// Asks the runtime of a process, if it is one of these: [`java::ask`] and [`python::ask`] say what
/// that does to the process.
pub fn ask(root: &ProcRoot, process: &mut Process, chosen: &[Runtime]) {
    if chosen.is_empty() {
        return;
    }
    match runtime(root, process.pid) {
        Reading::Known(Some(runtime)) if chosen.contains(&runtime) => match runtime {
            Runtime::Java => java::ask(root, process, java::PATIENCE),
            Runtime::Python => python::ask(root, process, python::PATIENCE),
        },
        Reading::Known(_) => missing(process, &Missing::unreadable("it has no such runtime")),
        Reading::Missing(why) => missing(process, &why),
    }
}

/// The same reason for every thread.
fn missing(process: &mut Process, why: &Missing) {
    for thread in process.threads.get_mut().into_iter().flatten() {
        thread.managed = why.clone().into();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn runtimes_are_told_by_the_files_that_run() {
        for (path, expected) in [
            ("/usr/lib/jvm/java-17/lib/server/libjvm.so", Some(Runtime::Java)),
            ("/usr/bin/python3.11", Some(Runtime::Python)),
            ("/usr/lib/libpython3.12.so.1.0", Some(Runtime::Python)),
            ("/usr/bin/pythonish", None),
            ("/lib/libc.so.6", None),
            ("", None),
        ] {
            let path = PathBuf::from(path);
            let mapping = Mapping {
                start: 1,
                end: 2,
                executable: true,
                offset: 0,
                device: (0, 1),
                inode: 1,
                path,
            };
            assert_eq!(runtime_in(&mapping), expected);
            let data = Mapping { executable: false, ..mapping };
            assert_eq!(runtime_in(&data), None);
        }
    }
}
