//! The newer format: blocks, each with its type and its length at both ends, in sections that each may
//! have another byte order.
//!
//! Read are the blocks of packets (three kinds, one of them obsolete), interface descriptions, and of
//! interface statistics the number of packets lost. Where no block can be read, the next place is
//! looked for at which a known type stands with a length that is repeated at its end.
//! See draft-ietf-opsawg-pcapng.

use std::ops::Range;

use super::damage::{Damage, SEARCH};
use super::resolution::Resolution;
use super::{ByteOrder, Context, Found, LinkType, MAX_RECORD, Step};
use crate::warning::Problem;

/// Type of the block that begins a section; it reads the same in both byte orders.
pub(super) const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// A block's type and length, and the length again.
const AROUND: usize = 12;

/// Interfaces of all sections that are kept. The largest number seen in public captures is 126.
const MAX_INTERFACES: usize = 4096;

/// Characters of an interface's name that are kept.
const NAME_LEN: usize = 64;

/// Reads the newer format.
#[derive(Debug, Default)]
pub(super) struct Parser {
    order: ByteOrder,
    /// Those of all sections, one after the other.
    interfaces: Vec<Interface>,
    /// Which of them is the section's first.
    first: usize,
    /// That of the latest packet, for those without.
    time_ns: i64,
    damage: Damage,
    said_no_time: bool,
    said_too_many: bool,
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    snap_len: u32,
    resolution: Resolution,
    offset_s: i64,
    name: Option<String>,
    lost: Option<u64>,
}

impl Parser {
    pub(super) const fn damage(&self) -> Damage {
        self.damage
    }

    pub(super) fn interface_name(&self, interface: u32) -> Option<&str> {
        self.interfaces.get(interface as usize)?.name.as_deref()
    }

    pub(super) fn lost_packets(&self) -> Option<u64> {
        self.interfaces.iter().filter_map(|interface| interface.lost).reduce(u64::saturating_add)
    }

    #[inline]
    pub(super) fn step(&mut self, window: &[u8], mut context: Context<'_>) -> Step {
        if self.damage.since().is_some() {
            return self.search(window, &mut context);
        }
        if window.len() < AROUND {
            return Step::Need(AROUND);
        }
        let kind = self.order.u32(window, 0);
        if kind == SECTION {
            self.order = section_order(window).unwrap_or(self.order);
        }
        let first = self.order.u32(window, 4);
        let whole = first as usize;
        if !(AROUND..=MAX_RECORD).contains(&whole) {
            return self.damage.begin(&context);
        }
        let Some(block) = window.get(..whole) else {
            return self.incomplete(whole, window, &context);
        };
        let last = self.order.u32(block, whole - 4);
        if first != last
            && let Some(step) = self.lengths_differ(first, last, window, &mut context)
        {
            return step;
        }
        let body = block.get(8..whole - 4).unwrap_or_default();
        match kind {
            ENHANCED_PACKET => self.enhanced_packet(body, whole, &mut context),
            _ => self.other(kind, body, whole, &mut context),
        }
    }

    /// The capture may end in this block, unless there are others in what is left: then its length is
    /// wrong.
    #[cold]
    fn incomplete(&mut self, whole: usize, window: &[u8], context: &Context<'_>) -> Step {
        let is_damage = context.ended && self.find(1..window.len(), window).is_some();
        if is_damage { self.damage.begin(context) } else { Step::Need(whole) }
    }

    /// Something to do instead of reading the block; nothing if its first length seems to be right.
    #[cold]
    fn lengths_differ(
        &mut self,
        first: u32,
        last: u32,
        window: &[u8],
        context: &mut Context<'_>,
    ) -> Option<Step> {
        let whole = first as usize;
        if window.len() < whole + AROUND && whole + AROUND <= MAX_RECORD && !context.ended {
            return Some(Step::Need(whole + AROUND));
        }
        let rest = window.get(whole..).unwrap_or_default();
        if rest.is_empty() || self.is_likely(rest) {
            let what = Problem::BlockLengths { first, last };
            context.warnings.push(context.record, context.offset, what);
            return None;
        }
        Some(self.damage.begin(context))
    }

    #[inline]
    fn enhanced_packet(&mut self, body: &[u8], whole: usize, context: &mut Context<'_>) -> Step {
        let Some(head) = body.first_chunk::<20>() else {
            return short(ENHANCED_PACKET, whole, context);
        };
        let [number, high, low, captured, original] =
            [0, 4, 8, 12, 16].map(|at| self.order.u32(head, at));
        let stamp = u64::from(high) << 32 | u64::from(low);
        self.stamped_packet(number, stamp, captured, original, body.len(), whole, context)
    }

    /// What the enhanced and the obsolete packet block have in common.
    #[inline]
    #[allow(clippy::too_many_arguments, reason = "the fields of a block, passed on once")]
    fn stamped_packet(
        &mut self,
        number: u32,
        stamp: u64,
        captured: u32,
        original: u32,
        body: usize,
        whole: usize,
        context: &mut Context<'_>,
    ) -> Step {
        let index = self.first + number as usize;
        let Some(interface) = self.interfaces.get(index) else {
            let what = Problem::UnknownInterface { number };
            context.warnings.push(context.record, context.offset, what);
            return Step::Pass(whole);
        };
        let time_ns = interface.resolution.time_ns(stamp, interface.offset_s);
        self.time_ns = time_ns;
        let there = u32::try_from(body - 20).unwrap_or(u32::MAX);
        if captured > there {
            let what = Problem::LongerThanRecord { captured, room: there };
            context.warnings.push(context.record + 1, context.offset, what);
        }
        Step::Packet(Found {
            time_ns,
            interface: u32::try_from(index).unwrap_or(u32::MAX),
            link: interface.link,
            data: 28..28 + captured.min(there) as usize,
            original_len: original,
            whole,
        })
    }

    fn other(&mut self, kind: u32, body: &[u8], whole: usize, context: &mut Context<'_>) -> Step {
        let enough = match kind {
            SECTION => self.section(body, context),
            INTERFACE => self.interface(body, context),
            STATISTICS => self.statistics(body),
            PACKET if body.len() >= 20 => {
                let [high, low, captured, original] =
                    [4, 8, 12, 16].map(|at| self.order.u32(body, at));
                let stamp = u64::from(high) << 32 | u64::from(low);
                let number = self.order.u16(body, 0).into();
                let len = body.len();
                return self.stamped_packet(number, stamp, captured, original, len, whole, context);
            }
            SIMPLE_PACKET if body.len() >= 4 => return self.simple_packet(body, whole, context),
            PACKET | SIMPLE_PACKET => None,
            _ => Some(()),
        };
        if enough.is_none() {
            return short(kind, whole, context);
        }
        Step::Pass(whole)
    }

    fn section(&mut self, body: &[u8], context: &mut Context<'_>) -> Option<()> {
        if body.len() < 16 {
            return None;
        }
        let major = self.order.u16(body, 4);
        if major != 1 {
            let what = Problem::Version { major };
            context.warnings.push(context.record, context.offset, what);
        }
        self.first = self.interfaces.len();
        Some(())
    }

    fn interface(&mut self, body: &[u8], context: &mut Context<'_>) -> Option<()> {
        let options = body.get(8..)?;
        if self.interfaces.len() == MAX_INTERFACES {
            if !self.said_too_many {
                context.warnings.push(context.record, context.offset, Problem::TooManyInterfaces);
            }
            self.said_too_many = true;
            return Some(());
        }
        let mut interface = Interface {
            link: LinkType(self.order.u16(body, 0).into()),
            snap_len: self.order.u32(body, 4),
            resolution: Resolution::MICROSECONDS,
            offset_s: 0,
            name: None,
            lost: None,
        };
        for (code, value) in (Options { order: self.order, rest: options }) {
            let readable = match (code, value) {
                (2, name) => {
                    let name = String::from_utf8_lossy(name);
                    interface.name =
                        Some(name.trim_end_matches('\0').chars().take(NAME_LEN).collect());
                    true
                }
                (9, &[byte, ..]) => match Resolution::of(byte) {
                    Some(resolution) => {
                        interface.resolution = resolution;
                        true
                    }
                    None => false,
                },
                (14, seconds) if seconds.len() >= 8 => {
                    interface.offset_s = self.order.u64(seconds, 0).cast_signed();
                    true
                }
                (9 | 14, _) => false,
                _ => true,
            };
            if !readable {
                context.warnings.push(
                    context.record,
                    context.offset,
                    Problem::InterfaceDescription,
                );
            }
        }
        self.interfaces.push(interface);
        Some(())
    }

    /// Later statistics of an interface take the place of earlier ones.
    fn statistics(&mut self, body: &[u8]) -> Option<()> {
        let options = body.get(12..)?;
        let number = self.order.u32(body, 0) as usize;
        let mut lost = None::<u64>;
        for (code, value) in (Options { order: self.order, rest: options }) {
            // By the interface, and by the operating system.
            if matches!(code, 5 | 7) && value.len() >= 8 {
                lost = Some(lost.unwrap_or(0).saturating_add(self.order.u64(value, 0)));
            }
        }
        if let (Some(interface), Some(lost)) = (self.interfaces.get_mut(self.first + number), lost)
        {
            interface.lost = Some(lost);
        }
        Some(())
    }

    /// A packet of the section's first interface, without a time.
    fn simple_packet(&mut self, body: &[u8], whole: usize, context: &mut Context<'_>) -> Step {
        let Some(interface) = self.interfaces.get(self.first) else {
            let what = Problem::UnknownInterface { number: 0 };
            context.warnings.push(context.record, context.offset, what);
            return Step::Pass(whole);
        };
        if !self.said_no_time {
            context.warnings.push(context.record + 1, context.offset, Problem::NoTime);
            self.said_no_time = true;
        }
        let original = self.order.u32(body, 0);
        let limit = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        let captured = (original.min(limit) as usize).min(body.len() - 4);
        Step::Packet(Found {
            time_ns: self.time_ns,
            interface: u32::try_from(self.first).unwrap_or(u32::MAX),
            link: interface.link,
            data: 12..12 + captured,
            original_len: original,
            whole,
        })
    }

    /// Looks for a block.
    fn search(&mut self, window: &[u8], context: &mut Context<'_>) -> Step {
        if window.len() < SEARCH && !context.ended {
            return Step::Need(SEARCH);
        }
        // A block that may end beyond the window is left for the next one.
        let last = if context.ended { window.len() } else { window.len() - SEARCH / 2 };
        let found = self.find(0..last, window);
        // A block longer than half the window is not found: the price of a simple search.
        self.damage.searched(found, last, window.len(), AROUND, context)
    }

    /// The first place at which a block begins, as far as can be told.
    fn find(&self, mut places: Range<usize>, window: &[u8]) -> Option<usize> {
        places.find(|&at| self.is_likely(window.get(at..).unwrap_or_default()))
    }

    /// Whether this looks like the beginning of a block in the midst of noise.
    fn is_likely(&self, bytes: &[u8]) -> bool {
        let kind = self.order.u32(bytes, 0);
        let order = match kind {
            SECTION => section_order(bytes),
            1..=6 | 0xa | 0xbad | 0x4000_0bad => Some(self.order),
            _ => None,
        };
        let Some(order) = order else { return false };
        let first = order.u32(bytes, 4);
        let whole = first as usize;
        (AROUND..=MAX_RECORD).contains(&whole)
            && whole.is_multiple_of(4)
            && bytes.len() >= whole
            && order.u32(bytes, whole - 4) == first
    }
}

fn short(kind: u32, whole: usize, context: &mut Context<'_>) -> Step {
    context.warnings.push(context.record, context.offset, Problem::ShortBlock { kind });
    Step::Pass(whole)
}

/// The byte order of the section that begins here.
fn section_order(block: &[u8]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find(|order| order.u32(block, 8) == BYTE_ORDER_MAGIC)
}

/// A block's options.
struct Options<'a> {
    order: ByteOrder,
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (code, len) = (self.order.u16(self.rest, 0), self.order.u16(self.rest, 2) as usize);
        let value = self.rest.get(4..4 + len)?;
        self.rest = self.rest.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value))
    }
}
