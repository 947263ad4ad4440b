//! Numbers that name things, each with a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($number:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $number);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A process, in the pid namespace of the collector.
    Pid(u32)
}
id! {
    /// A thread, in the pid namespace of the collector.
    Tid(u32)
}
id! {
    /// A network namespace, by the inode of its nsfs file (`net:[4026531840]`).
    NetnsId(u64)
}
id! {
    /// The inode of a socket that a process can hold (`socket:[12345]`). A connection that no
    /// process has accepted has none.
    Inode(u64)
}
id! {
    /// The kernel's cookie of a socket; with the namespace it names one socket for its whole life.
    Cookie(u64)
}
