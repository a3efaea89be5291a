//! When a frame may go: the capture's own times, and a rate limit.

/// An absolute schedule, anchored at its first frame: errors never add up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    speed: f64,
    /// Monotonic time and timestamp of the first frame.
    anchor: Option<(u64, u64)>,
}

impl Schedule {
    pub fn new(speed: f64) -> Self {
        Self { speed, anchor: None }
    }

    /// The next frame goes at once, and the others follow it.
    pub fn release(&mut self) {
        self.anchor = None;
    }

    /// Monotonic time at which a frame with this timestamp is due. One before the first is due at once.
    #[inline]
    pub fn due(&mut self, ts: u64, now: impl FnOnce() -> u64) -> u64 {
        let (start, first) = *self.anchor.get_or_insert_with(|| (now(), ts));
        let ahead = ts.saturating_sub(first);
        let ahead = if self.speed == 1.0 { ahead } else { (ahead as f64 / self.speed) as u64 };
        start.saturating_add(ahead)
    }
}

/// A token bucket, as the time at which it will be full: each frame moves that by one interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    interval: f64,
    /// What a full bucket lets through at once, as time.
    depth: f64,
    full_at: f64,
}

impl Bucket {
    /// `rate` frames a second; at most `burst` at once (0: what is due in 10 ms, at least one).
    pub fn new(rate: u64, burst: u64) -> Self {
        let interval = 1e9 / rate as f64;
        let burst = if burst == 0 { (rate / 100).max(1) } else { burst };
        Self { interval, depth: interval * burst as f64, full_at: 0.0 }
    }

    /// Takes a token, or says at which time there will be one.
    #[inline]
    pub fn take(&mut self, now: u64) -> Result<(), u64> {
        let full_at = self.full_at.max(now as f64) + self.interval;
        let earliest = full_at - self.depth;
        if earliest > now as f64 {
            return Err(earliest.ceil() as u64);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_keeps_the_gaps() {
        let mut schedule = Schedule::new(2.0);
        assert_eq!(schedule.due(5_000, || 100), 100);
        assert_eq!(schedule.due(7_000, || 0), 1_100);
        assert_eq!(schedule.due(1_000, || 0), 100);
        schedule.release();
        assert_eq!(schedule.due(9_000, || 300), 300);
    }

    #[test]
    fn a_bucket_lets_a_burst_through_and_then_the_rate() {
        let mut bucket = Bucket::new(1000, 3);
        let start = 5_000_000_000;
        assert_eq!([bucket.take(start), bucket.take(start), bucket.take(start)], [Ok(()); 3]);
        assert_eq!(bucket.take(start), Err(start + 1_000_000));
        assert_eq!(bucket.take(start + 1_000_000), Ok(()));
        assert_eq!(bucket.take(start + 1_500_000), Err(start + 2_000_000));
        let later = start + 60_000_000_000;
        assert_eq!((0..5).filter(|_| bucket.take(later).is_ok()).count(), 3);
    }
}
