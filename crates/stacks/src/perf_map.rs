//! Names of code made at run time, from the file that a runtime writes for `perf`:
//! `/tmp/perf-PID.map`, of HotSpot with `-XX:+DumpPerfMapAtExit` or an agent, of node with
//! `--perf-basic-prof`, of CPython with `-X perf`.
//!
//! Format: `START SIZE NAME` per line, hexadecimal (tools/perf/Documentation/jit-interface.txt of
//! Linux). A runtime adds lines as it goes, and memory is used again: of several the last counts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use halfopen_collect::proc::ProcessImage;

use crate::demangle::demangle;

/// The most that is read of a map, in bytes, and of one line.
const FILE_MAX: u64 = 64 << 20;
const LINE_MAX: u64 = 4096;

/// The map of a process.
pub(crate) struct PerfMap(Box<dyn BufRead>);

impl PerfMap {
    /// Opens the map, if there is one that the process's user or root has written.
    pub(crate) fn open(image: &ProcessImage) -> Option<Self> {
        let status = image.status().ok()?;
        let path = format!("/tmp/perf-{}.map", status.innermost_pid?);
        let file: File = image.file_below_root(Path::new(&path)).ok()?;
        let owner = file.metadata().ok()?.uid();
        (owner == 0 || Some(owner) == status.euid).then(|| Self::read(file))
    }

    fn read(map: impl Read + 'static) -> Self {
        Self(Box::new(BufReader::new(map.take(FILE_MAX))))
    }

    /// What is at these addresses, which are in ascending order.
    pub(crate) fn names(mut self, addresses: &[u64]) -> BTreeMap<u64, String> {
        let mut names = BTreeMap::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.0.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            let Some((start, size, name)) = entry(&line) else { continue };
            let from = addresses.partition_point(|&address| address < start);
            let covered = addresses[from..].iter().take_while(|&&address| address - start < size);
            names.extend(covered.map(|&address| (address, demangle(&name))));
        }
        names
    }
}

fn entry(line: &[u8]) -> Option<(u64, u64, String)> {
    let line = String::from_utf8_lossy(line);
    let mut fields = line.trim_ascii_end().splitn(3, ' ');
    let mut number = || {
        let digits = fields.next()?;
        u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).ok()
    };
    let (start, size) = (number()?, number()?);
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((start, size, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn check(map: &str, addresses: &[u64], expected: &[(u64, &str)]) {
        let map = PerfMap::read(Cursor::new(map.as_bytes().to_vec()));
        let expected = expected.iter().map(|&(at, name)| (at, name.to_owned())).collect();
        assert_eq!(map.names(addresses), expected);
    }

    #[test]
    fn the_last_line_that_covers_an_address_names_it() {
        let map = "1000 10 old\n1000 20 LazyCompile:*serve /srv/app.js:3\n0x2000 0x8 _Z3runi\n";
        check(
            map,
            &[0xfff, 0x1000, 0x101f, 0x1020, 0x2007, 0x2008],
            &[
                (0x1000, "LazyCompile:*serve /srv/app.js:3"),
                (0x101f, "LazyCompile:*serve /srv/app.js:3"),
                (0x2007, "run(int)"),
            ],
        );
    }

    #[test]
    fn lines_that_make_no_sense_name_nothing() {
        let ends = format!("{:x} 10 at the end of memory\n", u64::MAX);
        let long = format!("1000 1 {}\n", "x".repeat(10_000));
        for map in
            ["", "\n", "1000 10\n", "1000 10 \n", "x 1 a\n", "1000 -1 a\n", "1000 0 a\n", &ends]
        {
            check(map, &[0x1000], &[]);
        }
        let map = PerfMap::read(Cursor::new(long.into_bytes()));
        assert!(map.names(&[0x1000])[&0x1000].len() < 1000);
    }
}
