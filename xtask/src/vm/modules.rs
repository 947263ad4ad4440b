//! The modules that a guest needs, with those that they need, in the order in which they load.
//!
//! Debian's packages have no `modules.dep`; depmod writes it when they are installed. What a module
//! depends on stands in the module itself, in its section `.modinfo` (scripts/mod/modpost.c), and
//! which ones the kernel has built in stands in `modules.builtin`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection};

/// A module, ready for `finit_module`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// Its name, with `_` where a file name may have `-`.
    pub(super) name: String,
    /// Its bytes, not compressed.
    pub(super) bytes: Vec<u8>,
}

/// The modules of a kernel.
pub(super) struct Modules {
    files: BTreeMap<String, PathBuf>,
    /// Names of those that are a part of the image.
    built_in: Vec<String>,
}

impl Modules {
    /// Finds the modules in a folder such as `/lib/modules/6.1.0-56-cloud-amd64`.
    pub(super) fn find(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        collect(&folder.join("kernel"), &mut files)?;
        let built_in = folder.join("modules.builtin");
        let built_in =
            fs::read_to_string(&built_in).with_context(|| built_in.display().to_string())?;
        let built_in = built_in.lines().filter_map(|line| name_of(Path::new(line))).collect();
        Ok(Self { files, built_in })
    }

    /// These modules and what they need: each after all that it depends on, and none twice.
    pub(super) fn with_dependencies(&self, names: &[&str]) -> Result<Vec<Module>> {
        let mut loaded = Vec::new();
        for name in names {
            self.add(name, &mut loaded)?;
        }
        Ok(loaded)
    }

    /// modpost lets no module depend on itself, over others or not, so this ends.
    fn add(&self, name: &str, loaded: &mut Vec<Module>) -> Result<()> {
        let is_loaded = loaded.iter().any(|module| module.name == name);
        if is_loaded || self.built_in.iter().any(|built_in| built_in == name) {
            return Ok(());
        }
        let file = self.files.get(name).with_context(|| format!("there is no module {name}"))?;
        let bytes = read(file)?;
        let dependencies = dependencies(&bytes).with_context(|| file.display().to_string())?;
        for dependency in dependencies {
            self.add(&dependency, loaded)?;
        }
        loaded.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

/// Finds files of modules by their names, in a folder and those below it.
fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if let Some(name) = name_of(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// The name of the module in a file such as `kernel/net/ipv4/tcp_diag.ko.xz`.
fn name_of(file: &Path) -> Option<String> {
    let (name, _) = file.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn read(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| file.display().to_string());
    }
    let mut xz = Command::new("xz");
    let output = xz.args(["--decompress", "--stdout"]).arg(file).output()?;
    if !output.status.success() {
        bail!("xz {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// The names of the modules that a module depends on, from its `depends=a,b`.
fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let section = file.section_by_name(".modinfo").context("no .modinfo")?;
    Ok(dependencies_in(section.data()?))
}

fn dependencies_in(modinfo: &[u8]) -> Vec<String> {
    let entries = modinfo.split(|byte| *byte == 0).filter_map(|entry| str::from_utf8(entry).ok());
    let lists = entries.filter_map(|entry| entry.strip_prefix("depends="));
    let names = lists.flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
    names.map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_files() {
        let name = |file| name_of(Path::new(file));
        assert_eq!(name("kernel/net/ipv4/tcp_diag.ko.xz").as_deref(), Some("tcp_diag"));
        assert_eq!(name("kernel/drivers/net/tun.ko").as_deref(), Some("tun"));
        assert_eq!(name("kernel/x86/crc32c-intel.ko").as_deref(), Some("crc32c_intel"));
        assert_eq!(name("modules.order"), None);
    }

    #[test]
    fn dependencies_are_told_from_modinfo() {
        let modinfo = b"alias=net-pf-16\0license=GPL\0depends=inet_diag,nf-tables\0name=x\0";
        assert_eq!(dependencies_in(modinfo), ["inet_diag", "nf_tables"]);
        assert_eq!(dependencies_in(b"license=GPL\0depends=\0"), [""; 0]);
    }
}
