//! The built programs.

/// An ELF object for the BPF machine, aligned as its reader needs it.
#[repr(C, align(8))]
pub(super) struct Object<Bytes: ?Sized>(Bytes);

impl<const N: usize> Object<[u8; N]> {
    pub(super) const fn bytes(&'static self) -> &'static [u8] {
        &self.0
    }
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub(super) static $name: Object<[u8; include_bytes!(concat!("../../bpf/", $file)).len()]> =
            Object(*include_bytes!(concat!("../../bpf/", $file)));
    )*};
}

objects! {
    /// The length of SYN queues, and the requests in them.
    SYN_QUEUES = "syn_queues.bpf.o";
    /// The processes that hold sockets.
    HOLDERS = "holders.bpf.o";
    /// The threads of a process.
    THREADS = "threads.bpf.o";
    /// Handshakes as they happen.
    TRACE = "trace.bpf.o";
}
