//! BPF iterators: programs that the kernel calls for each of its objects of one kind, and whose
//! output is read like a file (Documentation/bpf/bpf_iterators.rst).

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use aya::programs::{Iter, Program};
use aya::{Ebpf, EbpfLoader};
use halfopen_evidence::Missing;

use super::kernel::{KernelTypes, failed};

/// A loaded iterator.
#[derive(Debug)]
pub(super) struct Iterator {
    /// Holds the program.
    object: Ebpf,
    name: &'static str,
}

impl Iterator {
    /// Loads the program of this name that goes over objects of this kind.
    pub(super) fn load(
        kernel: &KernelTypes,
        object: &[u8],
        name: &'static str,
        kind: &str,
    ) -> Result<Self, Missing> {
        let object = EbpfLoader::new()
            .btf(Some(&kernel.btf))
            .load(object)
            .map_err(|error| failed(name, &error))?;
        let mut iterator = Self { object, name };
        let loaded = iterator.program()?.load(kind, &kernel.btf);
        loaded.map_err(|error| failed(name, &error))?;
        Ok(iterator)
    }

    /// Opens it: sockets are those of the calling thread's network namespace.
    pub(super) fn open(&mut self) -> Result<Records, Missing> {
        let name = self.name;
        let program = self.program()?;
        let link = program.attach().map_err(|error| failed(name, &error))?;
        let link = program.take_link(link).map_err(|error| failed(name, &error))?;
        let file = link.into_file().map_err(|error| failed(name, &error))?;
        Ok(Records { file, name })
    }

    fn program(&mut self) -> Result<&mut Iter, Missing> {
        let name = self.name;
        match self.object.program_mut(name) {
            Some(Program::Iter(program)) => Ok(program),
            _ => Err(Missing::unreadable(format_args!("no iterator {name}"))),
        }
    }
}

/// What an iterator writes.
pub(super) struct Records {
    file: File,
    name: &'static str,
}

impl Records {
    /// Reads it all, as records of `N` bytes. What the last read cut short is left out.
    pub(super) fn for_each<const N: usize>(
        mut self,
        mut each: impl FnMut(&[u8; N]),
    ) -> Result<(), Missing> {
        let mut buffer = vec![0; 512 * N];
        let mut filled = 0;
        loop {
            let room = &mut buffer[filled..];
            match read(&mut self.file, room) {
                Ok(0) => return Ok(()),
                Ok(read) => filled += read,
                Err(error) => return Err(failed(self.name, &error)),
            }
            let (records, rest) = buffer[..filled].as_chunks::<N>();
            records.iter().for_each(&mut each);
            let rest = rest.len();
            buffer.copy_within(filled - rest..filled, 0);
            filled = rest;
        }
    }
}

/// Reads on where the kernel stopped after a million objects that the program wrote nothing of
/// (kernel/bpf/bpf_iter.c `bpf_seq_read`).
fn read(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}
