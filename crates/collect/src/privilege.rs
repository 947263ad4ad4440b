//! What a collector may lack, in the words of the evidence.

/// Reads files that are their owner's only.
pub(crate) const READ_FILES: &str = "root";

/// Reads what belongs to another user's process (ptrace(2), "Ptrace access mode checking").
pub(crate) const READ_PROCESSES: &str = "root or CAP_SYS_PTRACE";

/// Loads BPF programs (capabilities(7)).
pub(crate) const LOAD_BPF: &str = "root, or CAP_BPF and CAP_PERFMON";

/// What lacks where the user has forbidden programs.
pub(crate) const BPF_ALLOWED: &str = "a run without --no-bpf";

/// Opens a packet socket (packet(7)).
pub(crate) const SEE_PACKETS: &str = "root or CAP_NET_RAW";

/// Enters a network namespace (setns(2)).
pub(crate) const ENTER_NAMESPACES: &str = "root or CAP_SYS_ADMIN";

/// Reads the kernel stacks of threads (fs/proc/base.c, proc_pid_stack).
pub(crate) const READ_KERNEL_STACKS: &str = "root or CAP_SYS_ADMIN";
