//! Socket diagnostics over netlink: the requests, the messages that answer them, and the socket.
//!
//! Bytes pass through two layers. [`view`] only checks lengths; [`decode`] makes values that cannot
//! be illegal. [`request`] and [`filter`] build what is sent. Only `socket` calls the kernel.
//! Everything else works on plain bytes, and is what the fuzz target runs.

pub mod decode;
mod error;
pub mod filter;
pub mod request;
mod socket;
pub mod view;

pub use error::DiagError;
pub(crate) use socket::{Consistency, DiagSocket, DumpBuffer};

/// Numbers of include/uapi/linux/{netlink,sock_diag,inet_diag}.h.
pub(crate) mod uapi {
    pub(crate) const NLMSG_NOOP: u16 = 1;
    pub(crate) const NLMSG_ERROR: u16 = 2;
    pub(crate) const NLMSG_DONE: u16 = 3;
    /// Request and answer of the old interface, and the type of every answer to it.
    pub(crate) const TCPDIAG_GETSOCK: u16 = 18;
    pub(crate) const SOCK_DIAG_BY_FAMILY: u16 = 20;

    pub(crate) const NLM_F_REQUEST: u16 = 0x1;
    pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
    pub(crate) const NLM_F_DUMP: u16 = 0x300;

    pub(crate) const AF_INET: u8 = 2;
    pub(crate) const AF_INET6: u8 = 10;
    pub(crate) const IPPROTO_TCP: u8 = 6;

    /// Attributes of an answer; bit `n - 1` of `idiag_ext` asks for attribute `n`.
    pub(crate) const INET_DIAG_INFO: u16 = 2;
    pub(crate) const INET_DIAG_SKMEMINFO: u16 = 7;
    pub(crate) const INET_DIAG_SKV6ONLY: u16 = 11;

    /// Attribute of a request: a program that the kernel runs over each socket.
    pub(crate) const INET_DIAG_REQ_BYTECODE: u16 = 1;
    pub(crate) const INET_DIAG_BC_JMP: u8 = 1;
    pub(crate) const INET_DIAG_BC_S_GE: u8 = 2;
    pub(crate) const INET_DIAG_BC_S_LE: u8 = 3;
    pub(crate) const INET_DIAG_BC_D_GE: u8 = 4;
    pub(crate) const INET_DIAG_BC_D_LE: u8 = 5;

    /// `idiag_cookie` that matches any socket.
    pub(crate) const INET_DIAG_NOCOOKIE: u32 = u32::MAX;

    /// Index of `sk_drops` in INET_DIAG_SKMEMINFO.
    pub(crate) const SK_MEMINFO_DROPS: usize = 8;
}
