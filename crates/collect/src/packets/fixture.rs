//! For tests: packets as a packet socket gets them, and an interpreter of classic BPF.

use std::net::{IpAddr, SocketAddr};

use super::program::{Instruction, op};

/// What the kernel knows of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) protocol: u32,
    pub(super) packet_type: u32,
    pub(super) hardware: u32,
}

/// A TCP segment without options or data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) flags: u8,
}

impl Segment {
    /// The packet from its IP header on, as it came in over Ethernet.
    pub(super) fn packet(&self) -> (Vec<u8>, Beside) {
        let (mut packet, protocol) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let head = [0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
                ([&head[..], &from.octets(), &to.octets()].concat(), 0x0800)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let head = [0x60, 0, 0, 0, 0, 20, 6, 64];
                ([&head[..], &from.octets(), &to.octets()].concat(), 0x86dd)
            }
            _ => panic!("two families in one segment"),
        };
        packet.extend(self.from.port().to_be_bytes());
        packet.extend(self.to.port().to_be_bytes());
        packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        (packet, Beside { protocol, packet_type: 0, hardware: 1 })
    }
}

/// What a program returns for a packet; 0 if it reads what is not there, as the kernel has it.
pub(super) fn run(program: &[Instruction], packet: &[u8], beside: Beside) -> u32 {
    let (mut a, mut x, mut at) = (0_u32, 0_u32, 0_usize);
    let load = |at: u32, size: usize| -> Option<u32> {
        match at {
            0xffff_f000 => return Some(beside.protocol),
            0xffff_f004 => return Some(beside.packet_type),
            0xffff_f01c => return Some(beside.hardware),
            _ => {}
        }
        let at = usize::try_from(at).ok()?;
        let bytes = packet.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().fold(0, |value, &byte| value << 8 | u32::from(byte)))
    };
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let loaded = match code {
            op::LD_WORD => load(k, 4),
            op::LD_HALF => load(k, 2),
            op::LD_BYTE => load(k, 1),
            op::LD_WORD_X => load(x + k, 4),
            op::LD_HALF_X => load(x + k, 2),
            op::LD_BYTE_X => load(x + k, 1),
            op::LDX => {
                x = k;
                continue;
            }
            op::LDX_IPV4_LENGTH => match load(k, 1) {
                Some(byte) => {
                    x = (byte & 0xf) * 4;
                    continue;
                }
                None => None,
            },
            op::AND => Some(a & k),
            op::JUMP => {
                at += k as usize;
                continue;
            }
            op::RETURN => return k,
            op::IF_EQUAL | op::IF_GREATER | op::IF_AT_LEAST | op::IF_ANY_BIT => {
                let holds = match code {
                    op::IF_EQUAL => a == k,
                    op::IF_GREATER => a > k,
                    op::IF_AT_LEAST => a >= k,
                    _ => a & k != 0,
                };
                at += usize::from(if holds { jt } else { jf });
                continue;
            }
            code => panic!("no instruction {code:#x}"),
        };
        match loaded {
            Some(value) => a = value,
            None => return 0,
        }
    }
}
