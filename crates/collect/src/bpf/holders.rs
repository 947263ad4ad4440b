//! Which processes hold sockets open, by an iterator over descriptors: it takes a quarter of the time
//! of a walk over `/proc/PID/fd`, and needs no leave to read the processes.

use std::collections::{BTreeMap, BTreeSet};

use halfopen_evidence::{HolderSearch, Inode, Missing, Pid};

use super::iterator::Iterator;
use super::kernel::{KernelTypes, PID_NAMESPACE, pid_namespace};
use super::object;
use crate::proc::parse::{self, Stat};
use crate::proc::{HolderFindings, ProcRoot, add_holder};

/// `struct record` of bpf/holders.bpf.c.
const RECORD: usize = 16;

/// Finds holders.
#[derive(Debug)]
pub(crate) struct HolderTable {
    iterator: Iterator,
}

impl HolderTable {
    /// Loads the program.
    pub(super) fn load(kernel: &KernelTypes) -> Result<Self, Missing> {
        let constants = [(PID_NAMESPACE, pid_namespace()?)];
        let object = object::HOLDERS.bytes();
        let iterator = Iterator::load_with(kernel, object, "holders", "task_file", &constants)?;
        Ok(Self { iterator })
    }

    /// Finds the processes that hold these sockets, as [`crate::proc::find_holders`] does. Only the pid
    /// namespace of this process is searched.
    pub(crate) fn find(
        &mut self,
        root: &ProcRoot,
        wanted: &BTreeSet<Inode>,
    ) -> Result<HolderFindings, Missing> {
        let proc = root.open()?;
        let mut found = BTreeMap::new();
        let mut process: Option<(Pid, Option<Stat>)> = None;
        self.iterator.open()?.for_each(|record: &[u8; RECORD]| {
            let (inode, pid, fd) = read(record);
            if !wanted.contains(&inode) {
                return;
            }
            if process.as_ref().is_none_or(|(of, _)| *of != pid) {
                process = Some((pid, proc.parse(&format!("{pid}/stat"), parse::stat).ok()));
            }
            if let Some((_, Some(stat))) = &process {
                add_holder(&mut found, inode, pid, fd, stat);
            }
        })?;
        found.values_mut().for_each(|holders| holders.sort_unstable());
        Ok(HolderFindings { found, search: HolderSearch::Everywhere })
    }
}

fn read(record: &[u8; RECORD]) -> (Inode, Pid, u32) {
    let [i0, i1, i2, i3, i4, i5, i6, i7, p0, p1, p2, p3, f0, f1, f2, f3] = *record;
    (
        Inode(u64::from_ne_bytes([i0, i1, i2, i3, i4, i5, i6, i7])),
        Pid(u32::from_ne_bytes([p0, p1, p2, p3])),
        u32::from_ne_bytes([f0, f1, f2, f3]),
    )
}

#[cfg(test)]
#[path = "../../tests/again/mod.rs"]
mod again;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::MetadataExt;

    use halfopen_evidence::Reading;

    use super::*;
    use crate::bpf::Programs;
    use crate::proc::{Extent, find_holders};

    #[test]
    fn the_iterator_finds_what_a_walk_finds() {
        let mut programs = Programs::default();
        let table = match programs.holders() {
            Err(Missing::NotPermitted { needs }) => {
                println!("SKIPPED: BPF programs need {needs}");
                return;
            }
            table => table.expect("the program"),
        };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let again = listener.try_clone().expect("another descriptor");
        let fd = std::os::fd::AsRawFd::as_raw_fd(&listener);
        let inode = std::fs::metadata(format!("/proc/self/fd/{fd}")).expect("the socket").ino();
        let wanted = BTreeSet::from([Inode(inode)]);
        let root = ProcRoot::default();
        let found = table.find(&root, &wanted).expect("holders");
        assert_eq!(Reading::Known(found), find_holders(&root, &wanted, Extent::Everywhere));
        drop(again);
    }

    #[test]
    fn in_a_pid_namespace_holders_have_their_numbers_there() {
        again::in_a_pid_namespace("bpf::holders::tests::the_iterator_finds_what_a_walk_finds");
    }
}
