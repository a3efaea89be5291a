//! A stream cut in intervals of ten seconds: losses and transit times of each, bounded.

/// An interval, ns.
pub const INTERVAL: u64 = 10_000_000_000;
/// Intervals remembered; when there are more, two become one.
const MAX_INTERVALS: usize = 64;

/// Counters at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Packets expected.
    pub expected: u64,
    /// Different packets that came in time.
    pub played: u64,
}

/// One interval: packets expected, lost or too late.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Interval {
    expected: u32,
    lost: u32,
}

/// Intervals of a stream.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    list: Vec<Interval>,
    last: Counters,
    /// How many intervals of [`INTERVAL`] one of the list is.
    merged: u32,
    /// How many of them the last one has.
    filled: u32,
    /// Time and lowest transit (ms) of the first and last interval with comparable transit times.
    transits: Option<[(u64, f64); 2]>,
}

impl Intervals {
    /// An interval ended at `now` with these counters; `transit` its lowest, ms.
    pub fn close(&mut self, now: u64, c: Counters, transit: f64) {
        self.push(c);
        self.transits = Some(match self.transits {
            Some([first, _]) => [first, (now, transit)],
            None => [(now, transit); 2],
        });
    }

    fn push(&mut self, c: Counters) {
        let expected = c.expected.saturating_sub(self.last.expected);
        let lost = expected.saturating_sub(c.played.saturating_sub(self.last.played));
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let new = Interval { expected: narrow(expected), lost: narrow(lost) };
        self.last = c;
        self.merged = self.merged.max(1);
        if self.filled > 0 && self.filled < self.merged {
            if let Some(last) = self.list.last_mut() {
                *last = join(*last, new);
            }
            self.filled += 1;
            return;
        }
        if self.list.len() >= MAX_INTERVALS {
            self.list = self.list.chunks(2).map(|two| two.iter().copied().reduce(join).unwrap_or(two[0])).collect();
            self.merged *= 2;
        }
        self.list.push(new);
        self.filled = 1;
    }

    /// Timestamps jumped: transit times do not compare with earlier ones.
    pub fn jumped(&mut self) {
        self.transits = None;
    }

    /// Share of packets lost or too late in each interval that expected some, 0 to 1; the rest since the last one too
    /// when it is at least half as long as an interval, or the only one.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn losses(&self, end: Option<Counters>) -> Vec<f64> {
        let mut all = self.clone();
        if let Some(c) = end {
            all.push(c);
        }
        let some = all.list.iter().filter(|i| i.expected > 0);
        some.map(|i| f64::from(i.lost) / f64::from(i.expected)).collect()
    }

    /// How fast the sender's clock runs against the capture's, in parts per million: from the lowest transit times of
    /// the first and the last interval, where they are 20 s apart at least.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn skew_ppm(&self) -> Option<f64> {
        let [(from, a), (to, b)] = self.transits?;
        let ms = to.saturating_sub(from) as f64 / 1e6;
        (ms >= 20_000.0).then(|| (a - b) / ms * 1e6)
    }
}

fn join(a: Interval, b: Interval) -> Interval {
    Interval { expected: a.expected.saturating_add(b.expected), lost: a.lost.saturating_add(b.lost) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(expected: u64, played: u64) -> Counters {
        Counters { expected, played }
    }

    #[test]
    fn losses_of_each_interval() {
        let mut i = Intervals::default();
        i.close(10, at(500, 500), 0.0);
        i.close(20, at(1000, 950), 0.0);
        i.close(30, at(1000, 951), 0.0); // one came late, none was expected
        assert_eq!(i.losses(None), [0.0, 0.1]);
        assert_eq!(i.losses(Some(at(1200, 1101))), [0.0, 0.1, 0.25]);
    }

    #[test]
    fn they_are_bounded() {
        let mut i = Intervals::default();
        (1..=1000).for_each(|n| i.close(n, at(n * 500, n * 450), 0.0));
        let losses = i.losses(None);
        assert!(losses.len() <= MAX_INTERVALS && losses.len() > MAX_INTERVALS / 4, "{}", losses.len());
        assert!(losses.iter().all(|l| (l - 0.1).abs() < 1e-9));
    }

    #[test]
    fn skew_needs_time() {
        let mut i = Intervals::default();
        i.close(10 * 1_000_000_000, at(1, 1), 1.0);
        assert_eq!(i.skew_ppm(), None);
        i.close(110 * 1_000_000_000, at(1, 1), 6.0); // 5 ms slower in 100 s
        assert!((i.skew_ppm().unwrap() + 50.0).abs() < 1e-9);
        i.jumped();
        assert_eq!(i.skew_ppm(), None);
    }
}
