//! Names of the running kernel's enumerators: the numbers of drop and reset reasons differ from one
//! kernel to the next, and only its own types say which is which.
//!
//! Documentation/bpf/btf.rst. The kernel writes this file, so what makes no sense in it ends the
//! search.

use std::collections::BTreeMap;
use std::fs;

use halfopen_evidence::Missing;

use super::kernel::TYPES;

/// `struct btf_header`, `struct btf_type`, `struct btf_enum`: their magic number and sizes.
const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const TYPE: usize = 12;
const ENUMERATOR: usize = 8;

/// `BTF_KIND_ENUM`.
const ENUM: u32 = 6;

/// Enumerators of one type by their numbers.
pub(super) type Names = BTreeMap<u32, String>;

/// The enumerators of these types of the running kernel, without the prefix that is given with each
/// type. A type that this kernel lacks has none.
pub(super) fn of_kernel<const N: usize>(types: [(&str, &str); N]) -> Result<[Names; N], Missing> {
    let btf = fs::read(TYPES).map_err(|error| super::kernel::failed(TYPES, &error))?;
    Ok(types.map(|(name, prefix)| find(&btf, name, prefix).unwrap_or_default()))
}

fn find(btf: &[u8], name: &str, prefix: &str) -> Option<Names> {
    let Sections { types, strings } = sections(btf)?;
    let mut rest = types;
    loop {
        let [name_at, info, _] = words::<3>(rest)?;
        let kind = info >> 24 & 0x1f;
        let members = usize::try_from(info & 0xffff).ok()?;
        let (body, next) = rest.get(TYPE..)?.split_at_checked(size_after(kind, members)?)?;
        if kind == ENUM && members > 0 && text(strings, name_at) == Some(name) {
            return Some(enumerators(body, strings, prefix));
        }
        rest = next;
    }
}

struct Sections<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

fn sections(btf: &[u8]) -> Option<Sections<'_>> {
    let magic = u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?);
    if magic != MAGIC {
        return None;
    }
    let [length, types_at, types, strings_at, strings] = words::<5>(btf.get(4..HEADER)?)?;
    let section = |at: u32, size: u32| {
        let from = usize::try_from(length.checked_add(at)?).ok()?;
        btf.get(from..from.checked_add(usize::try_from(size).ok()?)?)
    };
    Some(Sections { types: section(types_at, types)?, strings: section(strings_at, strings)? })
}

/// Bytes that follow a `struct btf_type` of this kind.
const fn size_after(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // Pointers, forward declarations, typedefs, qualifiers, functions, floats, type tags.
        2 | 7..=12 | 16 | 18 => 0,
        // Integers, variables, declaration tags.
        1 | 14 | 17 => 4,
        // Arrays.
        3 => 12,
        // Structs, unions, sections, enums of 64 bits.
        4 | 5 | 15 | 19 => members * 12,
        // Enums, function prototypes.
        6 | 13 => members * 8,
        _ => return None,
    })
}

fn enumerators(body: &[u8], strings: &[u8], prefix: &str) -> Names {
    let (entries, _) = body.as_chunks::<ENUMERATOR>();
    let named = entries.iter().filter_map(|entry| {
        let [name_at, number] = words::<2>(entry)?;
        let name = text(strings, name_at)?;
        Some((number, name.strip_prefix(prefix).unwrap_or(name).to_owned()))
    });
    named.collect()
}

fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let (chunks, _) = bytes.get(..N * 4)?.as_chunks::<4>();
    let mut words = [0; N];
    words.iter_mut().zip(chunks).for_each(|(word, chunk)| *word = u32::from_ne_bytes(*chunk));
    Some(words)
}

fn text(strings: &[u8], at: u32) -> Option<&str> {
    let from = strings.get(usize::try_from(at).ok()?..)?;
    let end = from.iter().position(|&byte| byte == 0)?;
    str::from_utf8(&from[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A typedef, an enum of another name, and one of two enumerators.
    fn btf() -> Vec<u8> {
        let strings = b"\0other\0reason\0R_NONE\0R_FULL\0";
        let types: [u32; 16] = [
            1,
            8 << 24,
            1, // typedef
            1,
            ENUM << 24 | 1,
            4,
            14,
            9, // enum other { R_NONE = 9 }
            7,
            ENUM << 24 | 2,
            4,
            14,
            0,
            21,
            40, // enum reason
            0,
        ];
        let types: Vec<u8> = types[..15].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let sizes = [0, types.len(), types.len(), strings.len()];
        let mut btf = MAGIC.to_ne_bytes().to_vec();
        btf.extend([1, 0]);
        btf.extend(u32::try_from(HEADER).expect("small").to_ne_bytes());
        for size in sizes {
            btf.extend(u32::try_from(size).expect("small").to_ne_bytes());
        }
        btf.extend(types);
        btf.extend(strings);
        btf
    }

    #[test]
    fn enumerators_are_found_by_the_name_of_their_type() {
        let names = find(&btf(), "reason", "R_").expect("the type");
        assert_eq!(names, Names::from([(0, "NONE".to_owned()), (40, "FULL".to_owned())]));
        assert_eq!(find(&btf(), "nothing", ""), None);
    }

    #[test]
    fn what_is_cut_short_has_no_names() {
        let whole = btf();
        for length in 0..whole.len() - 1 {
            assert_eq!(find(&whole[..length], "reason", "R_"), None, "{length}");
        }
    }
}
