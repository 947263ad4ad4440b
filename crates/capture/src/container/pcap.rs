//! The classic format: a header of 24 bytes, then records of 16 bytes and what was captured.
//!
//! There is no mark between records, so one wrong length makes everything after it noise. A record
//! that looks odd is therefore believed only if another begins where it ends; else the next place is
//! looked for at which one record and the one after it look like records of this capture.

use std::ops::Range;

use super::damage::{Damage, SEARCH};
use super::{ByteOrder, Context, Found, LinkType, MAX_RECORD, Step};
use crate::warning::Problem;

const FILE_HEADER: usize = 24;

/// The snapshot length that stands for none: libpcap's `MAXIMUM_SNAPLEN`, as for snapshot length 0.
const NO_LIMIT: u32 = 262_144;

/// How far the clock may jump between the records at both ends of damage: 30 days.
const NEAR_S: u32 = 30 * 86_400;

/// Reads the classic format.
#[derive(Debug)]
pub(super) struct Parser {
    order: ByteOrder,
    /// A record's header is longer in Alexey Kuznetzov's variant.
    record_header: usize,
    /// Nanoseconds in a unit of the fraction of a second.
    unit: u32,
    /// Known when the file's header has been read.
    file: Option<File>,
    /// The latest second seen, to tell records from noise.
    last_s: Option<u32>,
    damage: Damage,
}

#[derive(Clone, Copy, Debug)]
struct File {
    link: LinkType,
    limit: u32,
}

/// A record's header.
#[derive(Clone, Copy)]
struct Header {
    seconds: u32,
    fraction: u32,
    captured: u32,
    original: u32,
}

impl Header {
    /// Whether this can be a record's header, from about this time, in a capture that is odd in the one
    /// way or the other.
    fn is_possible(self, about_s: u32) -> bool {
        let longest = u32::try_from(MAX_RECORD).unwrap_or(u32::MAX);
        self.seconds.abs_diff(about_s) < NEAR_S
            && self.captured | self.original != 0
            && self.captured < longest
            && self.original < longest
    }
}

impl Parser {
    /// If these are the first bytes of such a file.
    pub(super) fn of(magic: [u8; 4]) -> Option<Self> {
        let order_of = |number: u32| {
            if magic == number.to_le_bytes() {
                Some(ByteOrder::Little)
            } else {
                (magic == number.to_be_bytes()).then_some(ByteOrder::Big)
            }
        };
        [(0xa1b2_c3d4, 16, 1000), (0xa1b2_3c4d, 16, 1), (0xa1b2_cd34, 24, 1000)]
            .into_iter()
            .find_map(|(number, record_header, unit)| {
                let order = order_of(number)?;
                let (file, last_s, damage) = (None, None, Damage::default());
                Some(Self { order, record_header, unit, file, last_s, damage })
            })
    }

    pub(super) const fn damage(&self) -> Damage {
        self.damage
    }

    /// The record at the beginning, if all of it is there and nothing about it is odd.
    #[inline(always)]
    pub(super) fn sound(&mut self, window: &[u8]) -> Option<Found> {
        let (Some(file), None) = (self.file, self.damage.since()) else { return None };
        let header = self.header(window)?;
        let is_there = window.len() >= self.record_header + header.captured as usize;
        (is_there && !self.is_odd(header, file)).then(|| self.packet(header, file))
    }

    pub(super) fn step(&mut self, window: &[u8], mut context: Context<'_>) -> Step {
        let (Some(file), None) = (self.file, self.damage.since()) else {
            return self.rare(window, &mut context);
        };
        let Some(header) = self.header(window) else {
            return Step::Need(self.record_header);
        };
        if self.is_odd(header, file) {
            return self.odd(header, file, window, &mut context);
        }
        let whole = self.record_header + header.captured as usize;
        if window.len() < whole {
            return self.incomplete(whole, window, &context);
        }
        Step::Packet(self.packet(header, file))
    }

    /// The capture may end in this record, unless there are others in what is left: then its length is
    /// wrong.
    #[cold]
    fn incomplete(&mut self, whole: usize, window: &[u8], context: &Context<'_>) -> Step {
        let is_damage = context.ended && self.find(1..window.len(), window).is_some();
        if is_damage { self.damage.begin(context) } else { Step::Need(whole) }
    }

    #[inline]
    fn header(&self, window: &[u8]) -> Option<Header> {
        if window.len() < self.record_header {
            return None;
        }
        let bytes = window.first_chunk::<16>()?;
        let [seconds, fraction, captured, original] =
            [0, 4, 8, 12].map(|at| self.order.u32(bytes, at));
        Some(Header { seconds, fraction, captured, original })
    }

    /// Whether a record is not quite as it should be. A run of zeros, such as the end of a file that a
    /// crash left behind, would be records of length 0 without end.
    #[inline]
    const fn is_odd(&self, header: Header, file: File) -> bool {
        header.captured > file.limit
            || header.captured > header.original
            || (header.captured | header.original) == 0
            || header.fraction >= 1_000_000_000 / self.unit
    }

    #[inline(always)]
    fn packet(&mut self, header: Header, file: File) -> Found {
        self.last_s = Some(header.seconds);
        let ns = i64::from(header.fraction) * i64::from(self.unit);
        let whole = self.record_header + header.captured as usize;
        Found {
            time_ns: i64::from(header.seconds) * 1_000_000_000 + ns,
            interface: 0,
            link: file.link,
            data: self.record_header..whole,
            original_len: header.original,
            whole,
        }
    }

    #[cold]
    fn rare(&mut self, window: &[u8], context: &mut Context<'_>) -> Step {
        if let Some(file) = self.file {
            return self.search(file, window, context);
        }
        if window.len() < FILE_HEADER {
            return Step::Need(FILE_HEADER);
        }
        let limit = match self.order.u32(window, 16) {
            0 => NO_LIMIT,
            limit => limit.min(NO_LIMIT),
        };
        // The upper bits tell the length of the frame check sequence.
        let link = LinkType(self.order.u32(window, 20) & 0x03ff_ffff);
        self.file = Some(File { link, limit });
        Step::Pass(FILE_HEADER)
    }

    /// A record that is odd is taken for one if another begins where it ends, or nothing. So an odd
    /// record that is still being written is lost.
    #[cold]
    fn odd(
        &mut self,
        header: Header,
        file: File,
        window: &[u8],
        context: &mut Context<'_>,
    ) -> Step {
        let whole = self.record_header + header.captured as usize;
        let believable =
            header.captured | header.original != 0 && whole <= MAX_RECORD - self.record_header;
        if believable && window.len() < whole + self.record_header && !context.ended {
            return Step::Need(whole + self.record_header);
        }
        let ends_well = window.get(whole..).is_some_and(|rest| match self.header(rest) {
            Some(next) => next.is_possible(header.seconds),
            None => rest.is_empty(),
        });
        if !believable || !ends_well {
            return self.damage.begin(context);
        }
        context.warnings.push(context.record + 1, context.offset, self.oddity(header, file));
        Step::Packet(self.packet(header, file))
    }

    fn oddity(&self, header: Header, file: File) -> Problem {
        let Header { captured, original, fraction, .. } = header;
        if captured > file.limit {
            Problem::LongerThanSnapLength { captured, limit: file.limit }
        } else if captured > original {
            Problem::LongerThanPacket { captured, original }
        } else {
            debug_assert!(fraction >= 1_000_000_000 / self.unit, "it is odd in one of these ways");
            Problem::Fraction { value: fraction }
        }
    }

    /// Whether this looks like a record's header in the midst of noise, from about this time.
    fn is_likely(&self, header: Header, about_s: Option<u32>) -> bool {
        let Header { seconds, fraction, captured, original } = header;
        let near = about_s.map_or(seconds > 0, |about| seconds.abs_diff(about) < NEAR_S);
        near && fraction < 1_000_000_000 / self.unit
            && captured <= NO_LIMIT
            && captured <= original
            && (14..=u32::try_from(MAX_RECORD).unwrap_or(u32::MAX)).contains(&original)
    }

    /// Looks for a record after which another one or the end of the capture comes.
    fn search(&mut self, file: File, window: &[u8], context: &mut Context<'_>) -> Step {
        // Enough for a record of the greatest usual length and the header after it.
        let enough = self.record_header * 2 + file.limit as usize;
        if window.len() < enough.max(SEARCH) && !context.ended {
            return Step::Need(enough.max(SEARCH));
        }
        let last =
            if context.ended { window.len() } else { window.len() - enough.min(window.len()) + 1 };
        let found = self.find(0..last, window);
        self.damage.searched(found, last, window.len(), self.record_header, context)
    }

    /// The first place at which a record begins, as far as can be told.
    fn find(&self, mut places: Range<usize>, window: &[u8]) -> Option<usize> {
        places.find(|&at| {
            let rest = window.get(at..).unwrap_or_default();
            self.header(rest).is_some_and(|header| {
                self.is_likely(header, self.last_s) && self.is_followed(header, rest)
            })
        })
    }

    fn is_followed(&self, header: Header, record: &[u8]) -> bool {
        let whole = self.record_header + header.captured as usize;
        record.get(whole..).is_some_and(|rest| match self.header(rest) {
            Some(next) => self.is_likely(next, Some(header.seconds)),
            None => rest.is_empty(),
        })
    }
}
