//! The scratch namespace: a network of its own in which the lab may do what it likes.

use std::fs;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getegid, geteuid, getrlimit, setrlimit};
use rustix::thread::UnshareFlags;

use crate::sys;

/// Enters a new network namespace, within a new user namespace if that takes one, with the loopback
/// interface up. The process must have one thread.
pub(crate) fn enter() -> Result<()> {
    match sys::unshare(UnshareFlags::NEWNET) {
        Ok(()) => {}
        Err(Errno::PERM) => enter_as_user()?,
        Err(error) => return Err(error).context("cannot make a network namespace"),
    }
    sys::set_up("lo").context("cannot switch on the loopback interface")
}

fn enter_as_user() -> Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)
        .context("cannot make a user namespace with a network namespace")?;
    // user_namespaces(7): without this a process without privilege may not map its group.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))
}

/// Writes kernel settings of this namespace.
pub(crate) fn set_sysctls(settings: &[(String, String)]) -> Result<()> {
    settings.iter().try_for_each(|(name, value)| {
        write(&format!("/proc/sys/{}", name.replace('.', "/")), value)
    })
}

/// Raises the limit of open descriptors as far as it goes without privilege.
pub(crate) fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise RLIMIT_NOFILE")
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write \"{text}\" to {path}"))
}
