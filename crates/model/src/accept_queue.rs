//! The accept queue: connections whose handshake is complete and that no process has taken yet.
//!
//! The kernel calls its length `sk_ack_backlog` and its limit `sk_max_ack_backlog`; ss prints them
//! as Recv-Q and Send-Q of a LISTEN socket.

use crate::{BacklogWidth, Semantics};

/// Length and limit of one listener's accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AcceptQueue {
    /// Connections that wait now (`sk_ack_backlog`). Includes those that the client has already
    /// reset: they keep their place although no tool shows them.
    pub depth: u32,
    /// The limit that the kernel compares with (`sk_max_ack_backlog`).
    pub limit: u32,
}

impl AcceptQueue {
    /// Connections that fit: one more than the limit, because `sk_acceptq_is_full` asks for
    /// `depth > limit` (include/net/sock.h, in every release since 2.6.21).
    #[must_use]
    pub const fn room(self) -> u64 {
        self.limit as u64 + 1
    }

    /// Whether the next connection is refused.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.depth > self.limit
    }
}

/// What became of the number that a program passed to `listen()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EffectiveBacklog {
    /// The limit that the kernel stored.
    pub limit: u32,
    /// What made it differ from what was asked for.
    pub cut: Option<BacklogCut>,
}

/// Why a listener's limit is not the backlog that its program asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BacklogCut {
    /// `net.core.somaxconn` was smaller.
    Somaxconn,
    /// The kernel keeps the limit in 16 bits.
    SixteenBits,
}

/// The accept-queue limit for a `listen(fd, backlog)` call.
///
/// `asked` is compared as unsigned, so a negative backlog means somaxconn
/// (net/socket.c `__sys_listen`).
#[must_use]
pub fn effective_backlog(asked: i32, somaxconn: u32, semantics: &Semantics) -> EffectiveBacklog {
    let asked = asked.cast_unsigned();
    let clamped = asked.min(somaxconn);
    let limit = match semantics.queues.backlog_width {
        BacklogWidth::Bits16 => clamped & 0xffff,
        BacklogWidth::Bits32 => clamped,
    };
    let cut = if limit != clamped {
        Some(BacklogCut::SixteenBits)
    } else if clamped != asked {
        Some(BacklogCut::Somaxconn)
    } else {
        None
    };
    EffectiveBacklog { limit, cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelVersion;

    fn check(kernel: &str, asked: i32, somaxconn: u32, limit: u32, cut: Option<BacklogCut>) {
        let version: KernelVersion = kernel.parse().expect("a release");
        let effective = effective_backlog(asked, somaxconn, &Semantics::of(version));
        assert_eq!(effective, EffectiveBacklog { limit, cut }, "{kernel} {asked} {somaxconn}");
    }

    #[test]
    fn queue_holds_one_more_than_its_limit() {
        assert!(!AcceptQueue { depth: 128, limit: 128 }.is_full());
        assert!(AcceptQueue { depth: 129, limit: 128 }.is_full());
        assert_eq!(AcceptQueue { depth: 0, limit: 0 }.room(), 1);
        assert_eq!(AcceptQueue { depth: 0, limit: u32::MAX }.room(), 1 << 32);
    }

    #[test]
    fn backlog_is_cut_by_somaxconn_and_negative_means_somaxconn() {
        check("6.1.0", 65535, 4096, 4096, Some(BacklogCut::Somaxconn));
        check("6.1.0", 511, 4096, 511, None);
        check("6.1.0", -1, 4096, 4096, Some(BacklogCut::Somaxconn));
    }

    #[test]
    fn sixteen_bit_kernels_lose_the_high_half() {
        check("3.10.4", 262_144, 262_144, 0, Some(BacklogCut::SixteenBits));
        check("3.0.101", 70_000, 70_000, 4464, Some(BacklogCut::SixteenBits));
        check("4.1.0", 262_144, 262_144, 262_144, None);
    }
}
