//! What a virtual interface counts.

use crate::counters::{DropReason, Drops, SinkCounters};

/// Upper bounds of the latency buckets, seconds.
pub const LATENCY_BOUNDS: [f64; 19] = [
    10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1.0,
    2.5, 5.0, 10.0,
];

/// Time from a frame's capture (live), its offer, or when it was due, to its write; the first frame of each batch is
/// measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    buckets: [u64; LATENCY_BOUNDS.len()],
    /// Sum of all measurements, seconds.
    pub sum: f64,
    /// Number of measurements.
    pub count: u64,
}

impl Latency {
    /// Takes one measurement, in nanoseconds.
    pub(super) fn observe(&mut self, ns: u64) {
        let seconds = ns as f64 * 1e-9;
        if let Some(i) = LATENCY_BOUNDS.iter().position(|&bound| seconds <= bound) {
            self.buckets[i] += 1;
        }
        self.sum += seconds;
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (sum, n) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += n;
        }
        self.sum += other.sum;
        self.count += other.count;
    }

    /// Upper bounds in seconds with the measurements up to each, as Prometheus wants them; `count` is the last one.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut sum = 0;
        LATENCY_BOUNDS.iter().zip(self.buckets).map(move |(&bound, n)| {
            sum += n;
            (bound, sum)
        })
    }
}

/// Everything about a virtual interface at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VifStats {
    /// The accounting of law 1.
    pub counters: SinkCounters,
    /// Bytes that the device took.
    pub injected_bytes: u64,
    /// Frames written that are longer than the MTU.
    pub oversize: u64,
    /// Share of the queue that is in use, 0 to 1.
    pub utilization: f64,
    /// Whether the device was there and up at the last write.
    pub up: bool,
    /// Offer to write.
    pub latency: Latency,
}

impl VifStats {
    /// With what an earlier interface of the same name had counted.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.counters = self.counters.plus(&before.counters);
        self.injected_bytes += before.injected_bytes;
        self.oversize += before.oversize;
        self.latency.merge(&before.latency);
        self
    }

    /// Writes that the device refused, by reason.
    pub fn errors(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        [DropReason::LinkDown, DropReason::Gone, DropReason::Error]
            .into_iter()
            .map(|reason| (reason.as_str(), self.counters.dropped.get(reason)))
            .filter(|&(_, n)| n > 0)
    }
}

/// What was done since the last time it was published.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Frames that came without a queue.
    pub offered: u64,
    pub written: u64,
    pub bytes: u64,
    pub oversize: u64,
    pub drops: Drops,
    pub latency: Latency,
}

/// The sums, behind the lock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub counters: SinkCounters,
    bytes: u64,
    oversize: u64,
    latency: Latency,
}

impl Sums {
    /// Frames that were queued, or are counted here as offered, are written or dropped now.
    pub fn publish(&mut self, tally: &mut Tally) {
        self.counters.offered += tally.offered;
        self.counters.queued += tally.offered;
        self.counters.queued -= tally.written + tally.drops.total();
        self.counters.written += tally.written;
        self.counters.dropped.merge(&tally.drops);
        self.bytes += tally.bytes;
        self.oversize += tally.oversize;
        self.latency.merge(&tally.latency);
        *tally = Tally::default();
    }

    pub fn stats(&self, capacity: u64, up: bool) -> VifStats {
        let utilization = (self.counters.queued as f64 / capacity as f64).min(1.0);
        let Self { counters, bytes, oversize, latency } = *self;
        VifStats { counters, injected_bytes: bytes, oversize, utilization, up, latency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let mut latency = Latency::default();
        [5_000, 10_000, 11_000, 20_000_000_000].into_iter().for_each(|ns| latency.observe(ns));
        let buckets: Vec<_> = latency.cumulative().collect();
        assert_eq!((buckets[0], buckets[1], buckets[18]), ((10e-6, 2), (25e-6, 3), (10.0, 3)));
        assert_eq!(latency.count, 4);
    }
}
