//! A classic BPF program: instructions, and an assembler with labels.
//!
//! The kernel checks and compiles them for every socket without any privilege beyond the socket's own
//! (net/core/filter.c), on every kernel that halfopen runs on.

/// An instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Instruction {
    pub(super) code: u16,
    /// Instructions to pass over if a comparison holds.
    pub(super) jt: u8,
    /// The same if it does not.
    pub(super) jf: u8,
    pub(super) k: u32,
}

/// The kernel takes no longer program (include/uapi/linux/bpf_common.h `BPF_MAXINSNS`).
pub(super) const LONGEST: usize = 4096;

/// Operations, as include/uapi/linux/bpf_common.h composes them. A is the accumulator, X the index
/// register, k the operand.
pub(super) mod op {
    /// A = the word at k.
    pub(in super::super) const LD_WORD: u16 = 0x20;
    /// A = the half-word at k.
    pub(in super::super) const LD_HALF: u16 = 0x28;
    /// A = the byte at k.
    pub(in super::super) const LD_BYTE: u16 = 0x30;
    /// A = the word at X + k.
    pub(in super::super) const LD_WORD_X: u16 = 0x40;
    /// A = the half-word at X + k.
    pub(in super::super) const LD_HALF_X: u16 = 0x48;
    /// A = the byte at X + k.
    pub(in super::super) const LD_BYTE_X: u16 = 0x50;
    /// X = k.
    pub(in super::super) const LDX: u16 = 0x01;
    /// X = four times the low half of the byte at k: the length of an IPv4 header.
    pub(in super::super) const LDX_IPV4_LENGTH: u16 = 0xb1;
    /// A &= k.
    pub(in super::super) const AND: u16 = 0x54;
    /// Goes k instructions on.
    pub(in super::super) const JUMP: u16 = 0x05;
    /// Whether A == k.
    pub(in super::super) const IF_EQUAL: u16 = 0x15;
    /// Whether A > k.
    pub(in super::super) const IF_GREATER: u16 = 0x25;
    /// Whether A >= k.
    pub(in super::super) const IF_AT_LEAST: u16 = 0x35;
    /// Whether A & k is not 0.
    pub(in super::super) const IF_ANY_BIT: u16 = 0x45;
    /// Ends: so many bytes of the packet are wanted.
    pub(in super::super) const RETURN: u16 = 0x06;
}

/// A place in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program that is being written. Conditional jumps reach 255 instructions at the most, so each goes
/// by an unconditional one, which reaches everywhere.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label that [`Self::place`] puts somewhere later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Here is a label.
    pub(super) fn place(&mut self, Label(label): Label) {
        self.labels[label] = Some(self.code.len());
    }

    /// Anything but a jump.
    pub(super) fn push(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jt: 0, jf: 0, k });
    }

    /// Goes to a label.
    pub(super) fn jump(&mut self, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(op::JUMP, 0);
    }

    /// Goes to a label if a comparison holds.
    pub(super) fn jump_if(&mut self, code: u16, k: u32, to: Label) {
        self.code.push(Instruction { code, jt: 0, jf: 1, k });
        self.jump(to);
    }

    /// Goes to a label if it does not.
    pub(super) fn jump_unless(&mut self, code: u16, k: u32, to: Label) {
        self.code.push(Instruction { code, jt: 1, jf: 0, k });
        self.jump(to);
    }

    /// The program. Every label that is jumped to must have been placed after the jump.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        for (at, Label(label)) in self.jumps {
            let to = self.labels[label].expect("a label that is jumped to has a place");
            self.code[at].k = u32::try_from(to - at - 1).expect("programs are short");
        }
        self.code
    }
}
