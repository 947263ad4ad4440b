//! Whether a return address is behind a call of the function that would return there.
//!
//! Stacks are full of return addresses that mean nothing any more. One that is behind a direct call of
//! another function gives itself away.

use std::collections::BTreeMap;
use std::ops::Range;

use addr2line::gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindSection};

use crate::module::{Module, Tables};

/// Bytes before a return address that a call may take.
pub(crate) const CALL_MAX: usize = 8;

/// What the instruction before a return address calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// It is no call.
    None,
    /// The function at this address.
    Of(u64),
    /// What a register or a word of memory says.
    Indirect,
}

/// The calls before return addresses, and the functions of a process.
#[derive(Default)]
pub(crate) struct Calls {
    before: BTreeMap<u64, Call>,
    functions: Vec<Functions>,
}

/// The functions of one file.
struct Functions {
    range: Range<u64>,
    bias: u64,
    tables: Tables,
}

impl Calls {
    pub(crate) fn new(modules: &[Module]) -> Self {
        let of = |module: &Module| Functions {
            range: module.range.clone(),
            bias: module.bias,
            tables: module.tables.clone(),
        };
        Self { before: BTreeMap::new(), functions: modules.iter().map(of).collect() }
    }

    /// Adds what is before return addresses.
    pub(crate) fn learn(&mut self, code: &BTreeMap<u64, [u8; CALL_MAX]>) {
        self.before.extend(code.iter().map(|(&at, bytes)| (at, call(at, bytes))));
    }

    /// Whether the code before this return address is known not to call the function that `callee` is
    /// an address of.
    pub(crate) fn contradict(&self, returns_to: u64, callee: u64) -> bool {
        match self.before.get(&returns_to) {
            None | Some(Call::Indirect) => false,
            Some(Call::None) => true,
            // A stub of the linker is no beginning of a function; it may lead to any.
            Some(&Call::Of(target)) => {
                let begins = |address| self.beginning(address);
                begins(target) == Some(target)
                    && begins(callee).is_some_and(|begin| begin != target)
            }
        }
    }

    /// Where the function begins that this address is in.
    fn beginning(&self, address: u64) -> Option<u64> {
        self.functions.iter().find(|file| file.range.contains(&address))?.beginning(address)
    }
}

impl Functions {
    fn beginning(&self, address: u64) -> Option<u64> {
        let Tables { eh_frame, eh_frame_svma, eh_frame_hdr, eh_frame_hdr_svma, .. } = &self.tables;
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(eh_frame_hdr_svma.as_ref()?.start)
            .set_eh_frame(eh_frame_svma.as_ref()?.start);
        let header =
            EhFrameHdr::new(eh_frame_hdr.as_deref()?, LittleEndian).parse(&bases, 8).ok()?;
        let frames = EhFrame::new(eh_frame.as_deref()?, LittleEndian);
        let stated = address.wrapping_sub(self.bias);
        let cie = EhFrame::cie_from_offset;
        let function = header.table()?.fde_for_address(&frames, &bases, stated, cie).ok()?;
        Some(function.initial_address().wrapping_add(self.bias))
    }
}

/// The call that ends where these bytes end, which is at the return address.
fn call(returns_to: u64, code: &[u8; CALL_MAX]) -> Call {
    // FF /2, of two to seven bytes: through a register, or through memory.
    let is_indirect = |&length: &usize| {
        let [opcode, operand] = [CALL_MAX - length, CALL_MAX - length + 1].map(|at| code[at]);
        opcode == 0xff && operand >> 3 & 7 == 2
    };
    let [.., 0xe8, a, b, c, d] = *code else {
        return if (2..=7).any(|length| is_indirect(&length)) {
            Call::Indirect
        } else {
            Call::None
        };
    };
    let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
    Call::Of(returns_to.wrapping_add_signed(distance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_the_bytes_before_the_return_address() {
        let check = |bytes: &[u8], expected| {
            let mut code = [0x90; CALL_MAX];
            code[CALL_MAX - bytes.len()..].copy_from_slice(bytes);
            assert_eq!(call(0x1000, &code), expected, "{bytes:x?}");
        };
        check(&[0xe8, 0x10, 0, 0, 0], Call::Of(0x1010));
        check(&[0xe8, 0xf0, 0xff, 0xff, 0xff], Call::Of(0xff0));
        check(&[0xff, 0xd0], Call::Indirect);
        check(&[0x41, 0xff, 0xd4], Call::Indirect);
        check(&[0xff, 0x50, 0x18], Call::Indirect);
        check(&[0xff, 0x15, 1, 2, 3, 4], Call::Indirect);
        check(&[0xff, 0x94, 0x24, 1, 2, 3, 4], Call::Indirect);
        check(&[0x48, 0x89, 0xe5], Call::None);
        check(&[], Call::None);
    }

    #[test]
    fn what_is_not_known_contradicts_nothing() {
        let mut calls = Calls::default();
        assert!(!calls.contradict(0x1000, 0x2000));
        calls.learn(&BTreeMap::from([
            (0x1000, [0xe8; CALL_MAX]),
            (0x1100, [0x90; CALL_MAX]),
            (0x1200, [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0]),
        ]));
        assert!(!calls.contradict(0x1000, 0x2000));
        assert!(calls.contradict(0x1100, 0x2000));
        assert!(!calls.contradict(0x1200, 0x2000));
    }
}
