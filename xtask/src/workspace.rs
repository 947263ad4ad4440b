//! The workspace as `cargo metadata` tells it, and commands that run in it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The part of `cargo metadata --no-deps` that the chores need.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// Its packages.
    pub(crate) packages: Vec<Package>,
    /// Its folder.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its Cargo.toml.
    pub(crate) manifest_path: PathBuf,
    /// What it depends on directly.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A direct dependency of a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The name of the package that it depends on.
    pub(crate) name: String,
    /// `None` for a normal dependency, `Some("dev")` or `Some("build")` for the others.
    pub(crate) kind: Option<String>,
    /// The folder of a package in this repository.
    pub(crate) path: Option<PathBuf>,
}

impl Workspace {
    /// The workspace that this program belongs to.
    pub(crate) fn find() -> Result<Self> {
        let own_folder =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let manifest = Path::new(&own_folder).join("Cargo.toml");
        let output = Command::new(cargo_program())
            .args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"])
            .arg(manifest)
            .stderr(Stdio::inherit())
            .output()
            .context("cargo metadata could not be started")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("what cargo metadata printed")
    }

    /// A cargo command in the workspace's folder.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo_program());
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// Builds the `halfopen` program and says where it is.
    pub(crate) fn build_halfopen(&self, profile: Profile) -> Result<PathBuf> {
        let mut build = self.cargo(&["build", "--package", "halfopen-cli", "--bin", "halfopen"]);
        build.args(["--profile", profile.name()]);
        run(&mut build)?;
        Ok(self.target_directory.join(profile.folder()).join("halfopen"))
    }
}

impl Workspace {
    /// Builds programs of the workspace that need no shared library; the folder that has them.
    pub(crate) fn build_static<'p>(
        &self,
        programs: impl Iterator<Item = &'p str>,
    ) -> Result<PathBuf> {
        let target = host()?;
        // An explicit target keeps the flags from build scripts and procedural macros.
        let mut build = self.cargo(&["build", "--workspace", "--no-default-features"]);
        build.args(["--profile", GUEST, "--target", &target]);
        build.args(programs.flat_map(|program| ["--bin", program]));
        build.env("RUSTFLAGS", "-C target-feature=+crt-static").env_remove(ENCODED_FLAGS);
        run(&mut build)?;
        Ok(self.target_directory.join(target).join(GUEST))
    }

    /// Builds the load of a bench, a program of this package; its path.
    pub(crate) fn build_load(&self, name: &str) -> Result<PathBuf> {
        run(&mut self.cargo(&["build", "--package", "xtask", "--release", "--bin", name]))?;
        Ok(self.target_directory.join(Profile::Release.folder()).join(name))
    }
}

/// The profile of programs that run in guest kernels.
const GUEST: &str = "guest";

/// Cargo prefers this variable over `RUSTFLAGS`.
pub(crate) const ENCODED_FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";

/// A profile to build with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Runs a command to its end; an exit status other than 0 is an error that shows the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?} could not be started"))?;
    if status.success() { Ok(()) } else { bail!("{command:?}: {status}") }
}

/// What a command prints on standard output; an exit status other than 0 is an error.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{command:?} could not be started"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("what {command:?} printed"))
}

/// Whether a program of this name is on the PATH.
pub(crate) fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The target triple of this machine.
pub(crate) fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output_of(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc -vV names no host")
}

/// The cargo that runs this program, or the one on the PATH.
fn cargo_program() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
