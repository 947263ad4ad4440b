//! Whether the running kernel takes BPF programs from this process, and its types.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use aya::Btf;
use halfopen_evidence::Missing;
use rustix::thread::CapabilitySet;

use crate::privilege;

/// Where the kernel shows its types: since 5.4, if it was built with `CONFIG_DEBUG_INFO_BTF`.
pub(super) const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// The running kernel's types, which programs are fitted to when they are loaded.
#[derive(Debug)]
pub(super) struct KernelTypes {
    pub(super) btf: Btf,
}

impl KernelTypes {
    /// Reads them, which takes some 40 ms; missing if this kernel shows none, or if this process may
    /// not load programs anyway.
    pub(super) fn read() -> Result<Self, Missing> {
        if !may_load_programs() {
            return Err(Missing::needs(privilege::LOAD_BPF));
        }
        if !Path::new(TYPES).exists() {
            return Err(Missing::NotOnThisKernel);
        }
        let btf = Btf::from_sys_fs().map_err(|error| failed(TYPES, &error))?;
        Ok(Self { btf })
    }
}

/// The constant of programs that tell processes: in which pid namespace they number them.
pub(super) const PID_NAMESPACE: &str = "pid_namespace";

/// Its value: the number of the pid namespace of this process.
pub(super) fn pid_namespace() -> Result<u32, Missing> {
    const OWN: &str = "/proc/self/ns/pid";
    let number = fs::metadata(OWN).map_err(|error| failed(OWN, &error))?.ino();
    // The kernel numbers namespaces with 32 bits (include/linux/ns_common.h).
    u32::try_from(number).map_err(|error| failed(OWN, &error))
}

/// What went wrong, with what the kernel said of it.
pub(super) fn failed(what: &str, error: &dyn std::error::Error) -> Missing {
    let root = std::iter::successors(Some(error), |error| error.source()).last();
    Missing::unreadable(format_args!("{what}: {}", root.unwrap_or(error)))
}

/// CAP_BPF and CAP_PERFMON are enough since 5.8; before, it was CAP_SYS_ADMIN (capabilities(7)).
fn may_load_programs() -> bool {
    let Ok(sets) = rustix::thread::capabilities(None) else { return false };
    let both = CapabilitySet::BPF | CapabilitySet::PERFMON;
    sets.effective.contains(CapabilitySet::SYS_ADMIN) || sets.effective.contains(both)
}
