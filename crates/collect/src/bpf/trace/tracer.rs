//! The programs while they run.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use aya::maps::{MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::{Ebpf, EbpfLoader};
use halfopen_evidence::{KernelEvent, Missing, NetnsId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::counts::{AcceptWaits, BUCKETS, COUNTS, Counts};
use super::event::{self, Reasons};
use super::programs::{self, Attached, Lack};
use super::settings::{Settings, TraceWanted};
use crate::bpf::kernel::{KernelTypes, PID_NAMESPACE, failed, pid_namespace};
use crate::bpf::{enums, object};

/// Watches handshakes from inside the kernel, until it is dropped.
pub struct Tracer {
    /// Holds the programs and their links.
    object: Ebpf,
    events: RingBuf<MapData>,
    reasons: Reasons,
    attached: Attached,
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("attached", &self.attached).finish_non_exhaustive()
    }
}

impl Tracer {
    /// Begins to watch, which takes some 100 ms.
    ///
    /// # Errors
    /// Why not even one program runs.
    pub fn start(wanted: &TraceWanted) -> Result<Self, Missing> {
        let kernel = KernelTypes::read()?;
        let [drops, resets] = enums::of_kernel([
            ("skb_drop_reason", "SKB_DROP_REASON_"),
            ("sk_rst_reason", "SK_RST_REASON_"),
        ])?;
        let settings = Settings::new(wanted, &drops);
        let pid_namespace = pid_namespace()?;
        let mut object = EbpfLoader::new()
            .btf(Some(&kernel.btf))
            .override_global("settings", &settings, true)
            .override_global(PID_NAMESPACE, &pid_namespace, true)
            .load(object::TRACE.bytes())
            .map_err(|error| failed("trace programs", &error))?;
        let attached = programs::attach(&mut object, &kernel.btf, wanted.accepts);
        if let ([], Some(Lack { why, .. })) = (attached.programs.as_slice(), attached.lacks.first())
        {
            return Err(Missing::unreadable(format_args!("trace programs: {why}")));
        }
        let events = object.take_map("events").ok_or_else(|| Missing::unreadable("no events"))?;
        let events = RingBuf::try_from(events).map_err(|error| failed("events", &error))?;
        Ok(Self { object, events, reasons: Reasons { drops, resets }, attached })
    }

    /// What this kernel does not let programs tell.
    #[must_use]
    pub fn lacks(&self) -> &[Lack] {
        &self.attached.lacks
    }

    /// Waits for events until one has come or the time is over, and hands over those that are there.
    ///
    /// # Errors
    /// If the kernel does not let us wait.
    pub fn wait(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(KernelEvent),
    ) -> io::Result<()> {
        // SAFETY: the map is open as long as `self` lives.
        let map = unsafe { BorrowedFd::borrow_raw(self.events.as_raw_fd()) };
        let timeout = Timespec::try_from(patience).ok();
        match poll(&mut [PollFd::new(&map, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(bytes) = self.events.next() {
            if let Some(event) = event::decode(&bytes, &self.reasons) {
                each(event);
            }
        }
        Ok(())
    }

    /// Whether it is told when accept() returns.
    #[must_use]
    pub fn tells_accepts(&self) -> bool {
        self.attached.tells_accepts
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let all = self.object.map("counts").and_then(|map| {
            let counts: PerCpuArray<_, [u64; COUNTS]> = map.try_into().ok()?;
            counts.get(&0, 0).ok()
        });
        let mut sum = [0; COUNTS];
        for of_cpu in all.iter().flat_map(|all| all.iter()) {
            sum.iter_mut().zip(of_cpu).for_each(|(sum, count)| *sum += count);
        }
        Counts::new(&sum)
    }

    /// How long connections have waited for accept(), by listener; nothing unless it was asked for.
    #[must_use]
    pub fn accept_waits(&self) -> Vec<AcceptWaits> {
        let map = self.object.map("accept_waits");
        let waits = map.and_then(|map| {
            let waits: PerCpuHashMap<_, [u8; 24], [u64; BUCKETS]> = map.try_into().ok()?;
            Some(waits.iter().filter_map(Result::ok).collect::<Vec<_>>())
        });
        let read = |(place, all): ([u8; 24], aya::maps::PerCpuValues<[u64; BUCKETS]>)| {
            let [n0, n1, n2, n3, p0, p1, f0, f1, ip @ ..] = place;
            let port = u16::from_ne_bytes([p0, p1]);
            let family = u8::try_from(u16::from_ne_bytes([f0, f1])).ok()?;
            let mut buckets = vec![0; BUCKETS];
            for of_cpu in all.iter() {
                buckets.iter_mut().zip(of_cpu).for_each(|(sum, count)| *sum += count);
            }
            Some(AcceptWaits {
                netns: NetnsId(u64::from(u32::from_ne_bytes([n0, n1, n2, n3]))),
                local: event::address(family, ip, port)?,
                buckets,
            })
        };
        waits.into_iter().flatten().filter_map(read).collect()
    }
}
