//! What the counters of one namespace did over the window.
//!
//! They count since the namespace was made, so only a rise between two looks says something about
//! now. A single look has none: every reading is then missing.

use halfopen_evidence::{NetnsId, Reading};
use halfopen_model::{Counter, CounterTable, ListenDropsPerCookie};

use crate::{Context, Fact, words};

/// The rises of one namespace's counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rises<'c, 'a> {
    context: &'c Context<'a>,
    netns: NetnsId,
}

impl<'c, 'a> Rises<'c, 'a> {
    pub(crate) const fn new(context: &'c Context<'a>, netns: NetnsId) -> Self {
        Self { context, netns }
    }

    /// By how much a counter rose.
    pub(crate) fn by(&self, counter: Counter) -> Reading<u64> {
        self.context.rise(self.netns, counter)
    }

    /// By how much a counter rose, 0 where that is not known.
    pub(crate) fn known(&self, counter: Counter) -> u64 {
        self.by(counter).value().unwrap_or(0)
    }

    /// Whether a counter is known to have risen.
    pub(crate) fn rose(&self, counter: Counter) -> bool {
        self.known(counter) > 0
    }

    /// ListenDrops that neither a full accept queue nor a full SYN queue accounts for.
    ///
    /// The kernel raises the counters one after the other while they are being read, so beside many
    /// accounted drops a few others are no evidence.
    pub(crate) fn unaccounted_drops(&self) -> Reading<u64> {
        let per_cookie =
            self.context.semantics().as_ref().map(|s| s.counting.listen_drops_per_cookie).known();
        let cookies = match per_cookie {
            Some(ListenDropsPerCookie::One) => self.known(Counter::SyncookiesSent),
            Some(ListenDropsPerCookie::None) | None => 0,
        };
        let syn_queue = self.known(Counter::TcpReqQFullDrop);
        self.by(Counter::ListenDrops).zip(self.by(Counter::ListenOverflows)).map(
            |(drops, overflows)| {
                let accounted = overflows.saturating_add(syn_queue).saturating_add(cookies);
                let noise = if accounted == 0 { 0 } else { 2 + accounted / 100 };
                let others = drops.saturating_sub(accounted);
                if others > noise { others } else { 0 }
            },
        )
    }

    /// Packets that reached the namespace and were handed to no protocol: a firewall or rp_filter
    /// took them, or they were forwarded. IPv4 only, as these counters are.
    pub(crate) fn undelivered_packets(&self) -> Reading<u64> {
        self.by(Counter::IpInReceives)
            .zip(self.by(Counter::IpInDelivers))
            .map(|(received, delivered)| received.saturating_sub(delivered))
    }

    /// The rise of a counter as a figure; `None` where it is not known.
    pub(crate) fn fact(&self, counter: Counter) -> Option<Fact> {
        let rise = self.by(counter).value()?;
        // As nstat writes them: OutNoRoutes alone says too little.
        let table = if counter.table() == CounterTable::Ip { "Ip" } else { "" };
        let name = format!("{table}{counter}");
        Some(Fact::number(&name, rise, format!("{name} +{rise}{}", self.span())))
    }

    /// Figures for those of the counters that rose.
    pub(crate) fn risen(&self, counters: &[Counter]) -> Vec<Fact> {
        counters
            .iter()
            .filter(|&&counter| self.rose(counter))
            .filter_map(|&counter| self.fact(counter))
            .collect()
    }

    /// ` in 2.0 s`, or nothing for a single look.
    pub(crate) fn span(&self) -> String {
        self.context
            .interval()
            .map(|interval| format!(" in {}", words::duration(interval.elapsed_ms())))
            .unwrap_or_default()
    }
}
