//! The Debian packages that tests need, installed if they are missing and we may.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::workspace::{has_program, run};

/// A program that some test runs, or a file, and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("clang", "clang"),
    ("llvm-strip", "llvm"),
    ("/usr/include/bpf/bpf_helpers.h", "libbpf-dev"),
    // libFuzzer is C++.
    ("c++", "g++"),
    ("eu-stack", "elfutils"),
    ("musl-gcc", "musl-tools"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("ss", "iproute2"),
    // Modules of guest kernels are compressed.
    ("xz", "xz-utils"),
    // Targets of `halfopen stacks`.
    ("go", "golang-go"),
    ("java", "default-jdk-headless"),
    ("node", "nodejs"),
    ("python3", "python3"),
    // Readers of the captures that we write.
    ("tcpdump", "tcpdump"),
];

/// Installs what is missing, as root on Debian; elsewhere leaves it to the tests to say what they
/// had to skip.
pub(crate) fn install_missing() -> Result<()> {
    let missing: BTreeSet<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !has_program(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let debian = Path::new("/etc/debian_version").exists() && has_program("apt-get");
    if !debian || !rustix::process::geteuid().is_root() {
        let names = missing.into_iter().collect::<Vec<_>>().join(", ");
        println!(
            "not installed, and not root on Debian: {names}; tests that need them are skipped"
        );
        return Ok(());
    }
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2");
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(missing))
}
