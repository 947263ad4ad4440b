//! The kernel and the settings that a question is about: given, or this host's, or a default.

use std::fs;
use std::path::Path;

use halfopen_model::{KernelVersion, Semantics, SysctlError, Sysctls};

use super::entries::{KernelEntry, Origin, SettingEntry};

/// Settings whose default depends on the memory of the machine.
const BY_MEMORY: &[&str] = &["tcp_max_syn_backlog"];

/// A kernel with its settings.
#[derive(Debug)]
pub(super) struct Host<'a> {
    pub(super) kernel: KernelEntry,
    pub(super) version: KernelVersion,
    pub(super) semantics: Semantics,
    pub(super) sysctls: Sysctls,
    /// What was set, and where from.
    pub(super) settings: Vec<SettingEntry>,
    proc: &'a Path,
}

impl<'a> Host<'a> {
    /// The kernel that was given, or this one; its settings are the defaults until they are set.
    pub(super) fn new(
        proc: &'a Path,
        given: Option<&(String, KernelVersion)>,
    ) -> Result<Self, String> {
        let (release, version, from) = match given {
            Some((release, version)) => (release.clone(), *version, Origin::Given),
            None => {
                let (release, version) = running(proc)?;
                (release, version, Origin::Host)
            }
        };
        let semantics = Semantics::of(version);
        let kernel = KernelEntry {
            release,
            version: version.to_string(),
            from,
            doubts: version.doubts().into_iter().map(|doubt| doubt.text.to_owned()).collect(),
        };
        let sysctls = Sysctls::defaults(&semantics);
        Ok(Self { kernel, version, semantics, sysctls, settings: Vec::new(), proc })
    }

    /// Sets what was given, or this host's value if the question is about its kernel. Where neither
    /// is there the default stays.
    pub(super) fn set(
        &mut self,
        name: &str,
        given: Option<i64>,
        value: impl Fn(&Sysctls) -> i64,
    ) -> Result<(), String> {
        let mut from = Origin::Given;
        let mut text = given.map(|given| given.to_string());
        if text.is_none() && self.kernel.from == Origin::Host {
            text = self.of_this_host(name);
            from = Origin::Host;
        }
        match text {
            Some(text) => self
                .sysctls
                .set(name, &text, &self.semantics)
                .map_err(|error| format!("{name} = {text}: {}", self.says(&error)))?,
            None if BY_MEMORY.contains(&name) => from = Origin::DefaultByMemory,
            None => from = Origin::Default,
        }
        let value = value(&self.sysctls);
        self.settings.push(SettingEntry { name: name.to_owned(), value, from });
        Ok(())
    }

    /// Why a setting is refused, with the kernel's name.
    fn says(&self, error: &SysctlError) -> String {
        error.to_string().replace("this kernel", &format!("Linux {}", self.kernel.version))
    }

    /// The value of a setting in this process's network namespace, if it can be read.
    fn of_this_host(&self, name: &str) -> Option<String> {
        let folder = if name == "somaxconn" { "core" } else { "ipv4" };
        let text = fs::read_to_string(self.proc.join("sys/net").join(folder).join(name)).ok()?;
        text.trim().parse::<i64>().ok().map(|value| value.to_string())
    }
}

fn running(proc: &Path) -> Result<(String, KernelVersion), String> {
    let path = proc.join("sys/kernel/osrelease");
    let release = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}; give --kernel", path.display()))?;
    let release = release.trim().to_owned();
    let version = KernelVersion::named(&release)
        .map_err(|error| format!("this host's kernel: {error}; give --kernel"))?;
    // Without it the release alone has to do.
    let build = fs::read_to_string(proc.join("sys/kernel/version")).unwrap_or_default();
    Ok((release, version.as_built(&build)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc(release: &str, somaxconn: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().expect("a folder");
        for (name, text) in
            [("sys/kernel/osrelease", release), ("sys/net/core/somaxconn", somaxconn)]
        {
            let path = proc.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        proc
    }

    fn somaxconn(host: &mut Host<'_>, given: Option<i64>) -> Result<(i64, Origin), String> {
        host.set("somaxconn", given, |sysctls| sysctls.somaxconn.into())?;
        let setting = host.settings.last().expect("set");
        Ok((setting.value, setting.from))
    }

    #[test]
    fn the_stable_release_of_this_host_is_found_where_only_the_build_names_it() {
        let proc = proc("6.1.0-56-amd64\n", "4096\n");
        let build = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-09-10)\n";
        fs::write(proc.path().join("sys/kernel/version"), build).expect("written");
        let here = Host::new(proc.path(), None).expect("a kernel");
        assert_eq!((here.version.patch, here.kernel.doubts.len()), (192, 0));
    }

    #[test]
    fn settings_come_from_the_command_line_then_the_host_then_the_kernel() {
        let proc = proc("6.18.44\n", "1000\n");
        let mut here = Host::new(proc.path(), None).expect("a kernel");
        assert_eq!(somaxconn(&mut here, None), Ok((1000, Origin::Host)));
        assert_eq!(somaxconn(&mut here, Some(5)), Ok((5, Origin::Given)));
        let given = ("rhel7".to_owned(), KernelVersion::named("rhel7").expect("a kernel"));
        let mut other = Host::new(proc.path(), Some(&given)).expect("a kernel");
        assert_eq!(somaxconn(&mut other, None), Ok((128, Origin::Default)));
        let refused = somaxconn(&mut other, Some(65_536)).expect_err("refused");
        assert!(refused.contains("0 to 65535"), "{refused}");
    }

    #[test]
    fn a_kernel_that_cannot_be_told_is_asked_for() {
        let proc = proc("unknown\n", "1\n");
        let error = Host::new(proc.path(), None).map(|_| ()).expect_err("no kernel");
        assert!(error.contains("--kernel"), "{error}");
    }
}
