//! A line of `/proc/PID/maps` (fs/proc/task_mmu.c, show_map_vma).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// Whether code in it can run.
    pub executable: bool,
    /// Where in the file it begins, in bytes.
    pub offset: u64,
    /// Major and minor number of the device that the file is on.
    pub device: (u32, u32),
    /// The file's inode; 0 for memory without a file.
    pub inode: u64,
    /// The file's path as the process saw it, a name in brackets, or empty. Untrusted. A newline in
    /// it stays the `\012` that the kernel writes.
    pub path: PathBuf,
}

/// A mapping, if the line is one.
#[must_use]
pub fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let [range, permissions, offset, device, inode] = [(); 5].map(|()| field(&mut rest));
    let (start, end) = std::str::from_utf8(range).ok()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok().filter(|&end| end > start)?;
    let (major, minor) = std::str::from_utf8(device).ok()?.split_once(':')?;
    let device_number = |hex| u32::from_str_radix(hex, 16).ok();
    Some(Mapping {
        start,
        end,
        executable: permissions.get(2) == Some(&b'x'),
        offset: u64::from_str_radix(std::str::from_utf8(offset).ok()?, 16).ok()?,
        device: (device_number(major)?, device_number(minor)?),
        inode: super::number(inode)?,
        path: PathBuf::from(OsStr::from_bytes(rest.trim_ascii_start())),
    })
}

/// Cuts the next field off; a path is what is left, since it may hold spaces.
fn field<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let text = rest.trim_ascii_start();
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    let (field, after) = text.split_at(end);
    *rest = after;
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_names_in_brackets_and_plain_memory_are_mappings() {
        let file = mapping(b"7f31c0028000-7f31c019d000 r-xp 00028000 fe:01 393 /lib/my libc.so.6");
        let expected = Mapping {
            start: 0x7f31_c002_8000,
            end: 0x7f31_c019_d000,
            executable: true,
            offset: 0x28000,
            device: (0xfe, 1),
            inode: 393,
            path: PathBuf::from("/lib/my libc.so.6"),
        };
        assert_eq!(file, Some(expected));
        let vdso = mapping(b"7ffd5e5f6000-7ffd5e5f8000 r-xp 00000000 00:00 0          [vdso]");
        assert_eq!(vdso.map(|vdso| vdso.path), Some(PathBuf::from("[vdso]")));
        let memory =
            mapping(b"7f31c0000000-7f31c0028000 rw-p 00000000 00:00 0 ").expect("a mapping");
        assert_eq!((memory.executable, memory.path), (false, PathBuf::new()));
    }

    #[test]
    fn what_is_no_mapping_is_none() {
        for line in [
            "",
            "7f32-7f31 r-xp 0 fe:01 1",
            "7f31-zz r-xp 0 0:0 1 /x",
            "7f31-7f32",
            "7f31-7f32 r-xp 0 fe:01 x",
            "7f31-7f32 r-xp 0 fe01 1",
        ] {
            assert_eq!(mapping(line.as_bytes()), None, "{line}");
        }
    }
}
