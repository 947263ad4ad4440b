//! BPF iterators: programs that the kernel calls for each of its objects of one kind, and whose
//! output is read like a file (Documentation/bpf/bpf_iterators.rst).

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::maps::{Array, MapData};
use aya::programs::{Iter, Program};
use aya::{Ebpf, EbpfLoader};
use halfopen_evidence::{Missing, Pid};

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
        Self::load_with(kernel, object, name, kind, &[])
    }

    /// The same, with values for constants of the program.
    pub(super) fn load_with(
        kernel: &KernelTypes,
        object: &[u8],
        name: &'static str,
        kind: &str,
        constants: &[(&'static str, u32)],
    ) -> Result<Self, Missing> {
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&kernel.btf));
        for (constant, value) in constants {
            loader.override_global(constant, value, true);
        }
        let object = loader.load(object).map_err(|error| failed(name, &error))?;
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

    /// Opens it for the threads of one process, by its pid in our pid namespace. Kernels before 6.1 go
    /// over every thread all the same.
    pub(super) fn open_for(&mut self, pid: Pid) -> Result<Records, Missing> {
        let name = self.name;
        let program = self.program()?.fd().map_err(|error| failed(name, &error))?;
        let file = tasks_of(program.as_fd().as_raw_fd(), pid);
        Ok(Records { file: file.map_err(|error| failed(name, &error))?, name })
    }

    /// Sets the only variable of the program.
    pub(super) fn set(&mut self, value: u32) -> Result<(), Missing> {
        let name = self.name;
        let variable = self.object.map_mut(".bss");
        let variable = variable.ok_or_else(|| Missing::unreadable("no variable"))?;
        let mut variable: Array<&mut MapData, u32> =
            variable.try_into().map_err(|error| failed(name, &error))?;
        variable.set(0, value, 0).map_err(|error| failed(name, &error))
    }

    fn program(&mut self) -> Result<&mut Iter, Missing> {
        let name = self.name;
        match self.object.program_mut(name) {
            Some(Program::Iter(program)) => Ok(program),
            _ => Err(Missing::unreadable(format_args!("no iterator {name}"))),
        }
    }
}

/// `struct { __u32 prog_fd; … } link_create` of `union bpf_attr` (include/uapi/linux/bpf.h).
#[repr(C)]
struct LinkCreate {
    program: i32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: *const TaskInfo,
    info_length: u32,
    padding: u32,
}

/// `union bpf_iter_link_info`, of tasks.
#[repr(C)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
}

/// An iterator over the tasks of one process, which aya (0.14) cannot make.
fn tasks_of(program: i32, pid: Pid) -> io::Result<File> {
    const LINK_CREATE: i32 = 28;
    const ITER_CREATE: i32 = 33;
    const TRACE_ITER: u32 = 28;
    let info = TaskInfo { tid: 0, pid: pid.0, pid_fd: 0 };
    let attributes = LinkCreate {
        program,
        target: 0,
        attach_type: TRACE_ITER,
        flags: 0,
        info: &raw const info,
        info_length: u32::try_from(size_of::<TaskInfo>()).map_err(io::Error::other)?,
        padding: 0,
    };
    let link = bpf(LINK_CREATE, &attributes)?;
    // Behind it come its flags.
    Ok(bpf(ITER_CREATE, &[link.as_raw_fd(), 0])?.into())
}

/// bpf(2), for commands that return a descriptor.
fn bpf<T>(command: i32, attributes: &T) -> io::Result<OwnedFd> {
    let attributes = std::ptr::from_ref(attributes);
    // SAFETY: the kernel reads so many bytes, and what they point to, and writes nothing for these
    // commands.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    match i32::try_from(fd) {
        // SAFETY: the descriptor was made by this call, so nobody else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
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
