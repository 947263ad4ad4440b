//! A test of this program once more, in a pid namespace of its own.

use std::process::Command;

/// Runs a test where this process and the kernel know it by other numbers; says so where there can be no
/// such namespace.
pub(crate) fn in_a_pid_namespace(test: &str) {
    let this = std::env::current_exe().expect("this program");
    let mut again = Command::new("unshare");
    again.args(["--pid", "--fork", "--mount-proc"]).arg(this).args(["--exact", test]);
    let Ok(ran) = again.output() else { return println!("SKIPPED: no unshare(1)") };
    if ran.stderr.starts_with(b"unshare: ") {
        return println!("SKIPPED: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
