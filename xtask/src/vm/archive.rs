//! Kernels from Debian's archive, by an apt of our own: its lists, its cache and its sources are in a
//! folder below `target/`, so nothing of the host's apt is changed and nothing is installed. apt
//! checks the archive's signature, and every package against the signed list.
//!
//! A package that is there already is not fetched again, and without a network the lists of the last
//! time do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;
use crate::workspace::{has_program, run};

/// The package that depends on the newest cloud kernel of a suite.
const METAPACKAGE: &str = "linux-image-cloud-amd64";

/// Packages that hold a part of a kernel; the names end with its release. Up to 6.18 there is the
/// first alone.
const PARTS: &[&str] = &["linux-image-", "linux-binary-", "linux-modules-"];

const ARCHIVE: &str = "http://deb.debian.org/debian";
const SECURITY: &str = "http://deb.debian.org/debian-security";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The programs that it takes.
const PROGRAMS: &[&str] = &["apt-get", "apt-cache", "dpkg-deb", "xz"];

/// A kernel, unpacked.
#[derive(Clone, Debug)]
pub(super) struct Unpacked {
    /// What it calls itself (`uname -r`).
    pub(super) release: String,
    /// The image to boot.
    pub(super) image: PathBuf,
    /// The folder with its modules.
    pub(super) modules: PathBuf,
}

/// Why no kernel can be had on this machine.
pub(super) fn cannot_fetch() -> Option<String> {
    let missing: Vec<_> = PROGRAMS.iter().copied().filter(|name| !has_program(name)).collect();
    if !missing.is_empty() {
        return Some(format!("there is no {} here", missing.join(", ")));
    }
    (!Path::new(KEYRING).exists()).then(|| format!("there is no {KEYRING} here"))
}

/// Downloads and unpacks the newest of a kernel below a folder.
pub(super) fn fetch(kernel: Kernel, below: &Path) -> Result<Unpacked> {
    let apt = Apt::new(kernel, below.join("apt").join(kernel.name))?;
    // Without a network the lists of the last time do; without those there is no metapackage.
    let updated = apt.update();
    let packages = match (apt.parts(), updated) {
        (Ok(packages), _) => packages,
        (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
    };
    let folder = below.join("kernels").join(kernel.name);
    unpack(&apt.download(&packages)?, &folder)?;
    Unpacked::find(&folder)
}

/// An apt with its own lists and sources.
struct Apt {
    root: PathBuf,
}

impl Apt {
    fn new(kernel: Kernel, root: PathBuf) -> Result<Self> {
        for folder in ["state/lists/partial", "cache/archives/partial", "debs"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let line = |archive: &str, suite: &str| {
            format!("deb [signed-by={KEYRING}] {archive} {suite} main\n")
        };
        let mut sources = line(ARCHIVE, kernel.suite);
        sources.extend(kernel.security.map(|suite| line(SECURITY, suite)));
        fs::write(root.join("sources.list"), sources)?;
        fs::write(root.join("status"), "")?;
        Ok(Self { root })
    }

    /// A command of apt that knows nothing of the host's settings.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let place = |name: &str| self.root.join(name).display().to_string();
        let settings = [
            format!("Dir::State={}", place("state")),
            format!("Dir::State::status={}", place("status")),
            format!("Dir::Cache={}", place("cache")),
            format!("Dir::Etc::sourcelist={}", place("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
            "Acquire::http::Timeout=20".to_owned(),
            "Acquire::Retries=1".to_owned(),
            // Its own user may not write below our folder.
            "APT::Sandbox::User=root".to_owned(),
        ];
        command.env("LC_ALL", "C").arg("--quiet=2");
        for setting in settings {
            command.arg("--option").arg(setting);
        }
        command
    }

    fn update(&self) -> Result<()> {
        words_of(self.command("apt-get").arg("update")).map(drop)
    }

    /// The packages of the newest kernel, each `name=version`.
    fn parts(&self) -> Result<Vec<String>> {
        let mut parts = Vec::new();
        let mut ahead = vec![METAPACKAGE.to_owned()];
        while let Some(package) = ahead.pop() {
            let mut show = self.command("apt-cache");
            let text = words_of(show.args(["show", "--no-all-versions", &package]))?;
            let found = parts_in(&text);
            for part in found {
                if !parts.contains(&part) {
                    let (name, _) = part.split_once('=').context("a package without a version")?;
                    ahead.push(name.to_owned());
                    parts.push(part);
                }
            }
        }
        if parts.is_empty() {
            bail!("{METAPACKAGE} depends on no kernel");
        }
        Ok(parts)
    }

    /// Fetches packages that are not there yet; their files.
    fn download(&self, packages: &[String]) -> Result<Vec<PathBuf>> {
        let debs = self.root.join("debs");
        let mut download = self.command("apt-get");
        words_of(download.arg("download").args(packages).current_dir(&debs))?;
        packages.iter().map(|package| self.file_of(package)).collect()
    }

    /// The file of a package; apt writes the colon of a version as `%3a`.
    fn file_of(&self, package: &str) -> Result<PathBuf> {
        let (name, version) = package.split_once('=').context("a package without a version")?;
        let file = format!("{name}_{}_amd64.deb", version.replace(':', "%3a"));
        let file = self.root.join("debs").join(file);
        if file.exists() { Ok(file) } else { bail!("apt did not fetch {}", file.display()) }
    }
}

/// The parts of a kernel among the dependencies that `apt-cache show` prints, each `name=version`.
fn parts_in(shown: &str) -> Vec<String> {
    let dependencies = shown.lines().filter_map(|line| line.strip_prefix("Depends: "));
    let part = |dependency: &str| {
        let (name, rest) = dependency.trim().split_once(' ')?;
        let version = rest.trim().strip_prefix("(= ")?.strip_suffix(')')?;
        let is_part = PARTS.iter().any(|part| name.starts_with(part));
        is_part.then(|| format!("{name}={version}"))
    };
    dependencies.flat_map(|line| line.split(',')).filter_map(part).collect()
}

/// Unpacks packages into a folder, unless they are what it holds.
fn unpack(packages: &[PathBuf], folder: &Path) -> Result<()> {
    let stamp = folder.join("packages");
    let names: String = packages.iter().map(|package| format!("{}\n", package.display())).collect();
    if fs::read_to_string(&stamp).is_ok_and(|there| there == names) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for package in packages {
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder))?;
    }
    Ok(fs::write(stamp, names)?)
}

impl Unpacked {
    fn find(folder: &Path) -> Result<Self> {
        let boot = fs::read_dir(folder.join("boot")).context("the packages have no /boot")?;
        let images = boot.filter_map(|entry| {
            let path = entry.ok()?.path();
            let release = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
            Some((release, path))
        });
        let (release, image) = images.max().context("the packages have no image")?;
        let places = ["lib/modules", "usr/lib/modules"].map(|place| folder.join(place));
        let modules = places
            .into_iter()
            .map(|place| place.join(&release))
            .find(|place| place.is_dir())
            .with_context(|| format!("the packages have no modules of {release}"))?;
        Ok(Self { release, image, modules })
    }
}

/// What a command of apt prints; its last words if it fails.
fn words_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} could not be started"))?;
    if output.status.success() {
        return String::from_utf8(output.stdout).with_context(|| format!("what {program} printed"));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rev().find(|line| line.starts_with("E: "));
    bail!("{program}: {}", last.unwrap_or("it failed and does not say why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: &str, expected: &[&str]) {
        assert_eq!(parts_in(shown), expected);
    }

    #[test]
    fn a_kernel_of_one_package_is_found() {
        check(
            "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
             Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n",
            &["linux-image-6.1.0-56-cloud-amd64=6.1.192-2"],
        );
        check("Depends: kmod, linux-base (>= 4.3~), initramfs-tools | dracut\n", &[]);
    }

    #[test]
    fn a_kernel_of_several_packages_is_found() {
        check(
            "Depends: linux-base-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
             linux-binary-7.2.13+deb14-cloud-amd64 (= 7.2.13-1), \
             linux-modules-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)\n",
            &[
                "linux-binary-7.2.13+deb14-cloud-amd64=7.2.13-1",
                "linux-modules-7.2.13+deb14-cloud-amd64=7.2.13-1",
            ],
        );
    }
}
