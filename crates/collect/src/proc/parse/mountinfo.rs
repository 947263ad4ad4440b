//! What is mounted where (proc(5), `/proc/PID/mountinfo`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A line `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE SUPER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MountLine<'a> {
    root: &'a [u8],
    point: &'a [u8],
    /// The kind of file system.
    pub(crate) kind: &'a [u8],
    /// Options of the file system itself, with commas between them.
    pub(crate) super_options: &'a [u8],
}

impl<'a> MountLine<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        const BETWEEN: &[u8] = b" - ";
        let end = line.windows(BETWEEN.len()).position(|bytes| bytes == BETWEEN)?;
        let (mount, filesystem) = (line.get(..end)?, line.get(end + BETWEEN.len()..)?);
        let is_blank = |byte: &u8| *byte == b' ';
        let mut fields = mount.split(is_blank).skip(3);
        let mut of_filesystem = filesystem.split(is_blank);
        Some(Self {
            root: fields.next()?,
            point: fields.next()?,
            kind: of_filesystem.next()?,
            super_options: of_filesystem.nth(1)?,
        })
    }

    /// Which part of the file system is mounted.
    pub(crate) fn root(&self) -> Vec<u8> {
        unescaped(self.root)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(unescaped(self.point)))
    }
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits, `\040` and the like.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.split_first_chunk::<3>().filter(|_| byte == b'\\');
        let code = code.and_then(|(digits, after)| Some((octal(*digits)?, after)));
        let (byte, after) = code.unwrap_or((byte, after));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|&digit| digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backslash_that_begins_no_octal_number_stays() {
        for (field, expected) in [
            (r"/a\040b\134c\9", r"/a b\c\9"),
            (r"\", r"\"),
            (r"\9xx", r"\9xx"),
            (r"a\04", r"a\04"),
            (r"\777", r"\777"),
            (r"\+12", r"\+12"),
        ] {
            assert_eq!(unescaped(field.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn a_line_is_cut_into_what_is_used_of_it() {
        let line = br"36 35 0:30 /a\040b /mnt rw shared:7 - cgroup cgroup rw,cpu";
        let line = MountLine::parse(line).expect("a mount");
        assert_eq!((line.root(), line.point()), (b"/a b".to_vec(), PathBuf::from("/mnt")));
        assert_eq!((line.kind, line.super_options), (&b"cgroup"[..], &b"rw,cpu"[..]));
        assert_eq!(MountLine::parse(b"36 35 0:30 / - cgroup cgroup rw"), None);
    }

    proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(text in "([0-9/ ,:é\\\\-]| - |cgroup2?){0,40}") {
            let _ = MountLine::parse(text.as_bytes()).map(|line| (line.root(), line.point()));
        }
    }
}
