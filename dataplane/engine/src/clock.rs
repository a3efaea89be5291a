//! Packet time that a wrong timestamp cannot spoil.
//!
//! All timers run on the capture's timestamps. One frame with a wrong one must not end every call, nor stop time for all
//! that follow. So a frame far from the others is only believed when the next ones agree with it; until then the line's
//! time stands. The line's time never goes back: where a capture's clock was set back it goes on from where it was.
//! Records and statistics keep the capture's own timestamps; only timers use this.

const SECOND: u64 = 1_000_000_000;
/// A step ahead up to this is believed at once: a quiet capture.
pub const AHEAD: u64 = 60 * SECOND;
/// A frame so much before the latest one is out of order, nothing else.
pub const BACK: u64 = 10 * SECOND;
/// Frames that must follow a far one, and be near it, before it is believed.
pub const CONFIRM: u32 = 3;
/// Far frames in a row after which the last one is believed even when no two of them agree.
pub const STRAYS: u32 = 16;
/// How near frames are that agree, and the most that a gap counts: longer than any timer, so that what a longer gap ends
/// has ended then too.
pub const GAP: u64 = 2 * 3600 * SECOND;

/// Where a far frame would put the line's time.
#[derive(Clone, Copy, Debug)]
struct Step {
    ts: u64,
    time: u64,
    agreed: u32,
}

/// The line's time, ns.
#[derive(Clone, Copy, Debug)]
pub struct LineClock {
    now: u64,
    /// The capture's timestamp at `now`.
    ts: u64,
    step: Option<Step>,
    /// Far frames in a row; [`UNSET`] before the first frame.
    strays: u32,
}

const UNSET: u32 = u32::MAX;
/// Where the line's time begins at most: room to go on, 146 years.
const LATEST: u64 = 1 << 62;

impl Default for LineClock {
    fn default() -> Self {
        Self { now: 0, ts: 0, step: None, strays: UNSET }
    }
}

impl LineClock {
    /// The line's time: at least that of every believed frame so far.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Takes a frame's timestamp; gives the time its state is to carry. That of a frame that is not believed yet may be
    /// ahead of [`LineClock::now`].
    #[inline]
    pub fn see(&mut self, ts: u64) -> u64 {
        let ahead = ts.wrapping_sub(self.ts);
        if ahead <= AHEAD && self.strays == 0 {
            self.ts = ts;
            self.now = self.now.saturating_add(ahead);
            return self.now;
        }
        self.seldom(ts)
    }

    /// So much time went by without a frame: a wire that is idle, by the clock of the machine that listens.
    pub fn pass(&mut self, ns: u64) {
        if self.strays != UNSET {
            (self.now, self.ts) = (self.now.saturating_add(ns), self.ts.saturating_add(ns));
        }
    }

    #[cold]
    fn seldom(&mut self, ts: u64) -> u64 {
        if self.strays == UNSET {
            (self.ts, self.now, self.strays) = (ts, ts.min(LATEST), 0);
            return self.now;
        }
        let (ahead, behind) = (ts.saturating_sub(self.ts), self.ts.saturating_sub(ts));
        if ahead <= AHEAD && behind <= BACK {
            (self.step, self.strays) = (None, 0);
            self.now = self.now.saturating_add(ahead);
            self.ts = self.ts.max(ts);
            return self.now.saturating_sub(behind);
        }
        self.strays += 1;
        let step = match self.step {
            Some(s) if s.ts.abs_diff(ts) <= GAP => {
                let on = ts.saturating_sub(s.ts);
                Step { ts: s.ts.max(ts), time: s.time.saturating_add(on), agreed: s.agreed + 1 }
            }
            _ => Step { ts, time: self.now.saturating_add(ahead.min(GAP)), agreed: 0 },
        };
        let time = step.time.saturating_sub(step.ts - ts).max(self.now);
        self.step = Some(step);
        if step.agreed >= CONFIRM || self.strays >= STRAYS {
            (self.now, self.ts, self.step, self.strays) = (step.time, step.ts, None, 0);
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * SECOND;
    const DAY: u64 = 24 * HOUR;

    /// The clock after frames at these times.
    fn after(times: &[u64]) -> LineClock {
        let mut clock = LineClock::default();
        for ts in times {
            let time = clock.see(*ts);
            assert!(time <= clock.now() + u64::from(STRAYS) * GAP, "bounded");
        }
        clock
    }

    #[test]
    fn ordinary_frames_move_it() {
        assert_eq!(after(&[5 * DAY, 5 * DAY + 7, 5 * DAY + 3]).now(), 5 * DAY + 7);
        assert_eq!(after(&[DAY, DAY + AHEAD, DAY + 2 * AHEAD]).now(), DAY + 2 * AHEAD);
    }

    #[test]
    fn one_far_frame_moves_nothing() {
        for far in [DAY + HOUR, 365 * DAY, u64::MAX, 0, DAY - 11 * SECOND] {
            let mut clock = after(&[DAY, DAY + 1, far]);
            assert_eq!(clock.now(), DAY + 1);
            assert_eq!(clock.see(DAY + 2), DAY + 2, "after {far}");
        }
    }

    #[test]
    fn far_frames_of_any_number_that_disagree_move_nothing_while_others_come() {
        let mut clock = after(&[DAY]);
        for n in 1..1000 {
            clock.see(n * 97 * DAY);
            assert_eq!(clock.see(DAY + n), DAY + n);
        }
    }

    #[test]
    fn a_long_gap_counts_once_the_next_frames_agree() {
        let later = 9 * DAY;
        let mut clock = after(&[DAY, later, later + 1, later + 2]);
        assert_eq!(clock.now(), DAY);
        clock.see(later + 3);
        assert_eq!(clock.now(), DAY + GAP + 3);
        let mut short = after(&[DAY, DAY + HOUR, DAY + HOUR + 1, DAY + HOUR + 2]);
        assert_eq!(short.see(DAY + HOUR + 3), DAY + HOUR + 3);
        assert_eq!(short.now(), DAY + HOUR + 3);
    }

    #[test]
    fn a_frame_after_a_gap_carries_the_time_it_will_have() {
        let mut clock = after(&[DAY]);
        assert_eq!(clock.see(DAY + HOUR), DAY + HOUR);
        assert_eq!((clock.see(DAY + HOUR + 5), clock.now()), (DAY + HOUR + 5, DAY));
    }

    #[test]
    fn a_clock_set_back_goes_on() {
        let mut clock = after(&[DAY, DAY + 9, HOUR, HOUR + 1, HOUR + 2]);
        assert_eq!(clock.see(HOUR + 3), DAY + 9 + 3);
        assert_eq!(clock.see(HOUR + 3 + SECOND), DAY + 12 + SECOND);
    }

    #[test]
    fn a_first_frame_that_was_wrong_does_not_stop_time() {
        let clock = after(&[u64::MAX - 5, DAY, DAY + 1, DAY + 2, DAY + 3, DAY + 4]);
        assert_eq!((clock.ts, clock.now()), (DAY + 4, LATEST + 4));
    }

    #[test]
    fn an_idle_wire_has_time_too() {
        let mut clock = LineClock::default();
        clock.pass(SECOND);
        assert_eq!((clock.now(), clock.see(DAY)), (0, DAY));
        clock.pass(100 * SECOND);
        assert_eq!(clock.now(), DAY + 100 * SECOND);
        // the next frame was on its way while time went by
        assert_eq!(clock.see(DAY + 99 * SECOND), DAY + 99 * SECOND);
        assert_eq!(clock.see(DAY + 101 * SECOND), DAY + 101 * SECOND);
    }

    #[test]
    fn frames_hours_apart_move_it_in_the_end() {
        let clock = after(&(0..40).map(|n| DAY + n * 3 * HOUR).collect::<Vec<_>>());
        assert_eq!(clock.now(), DAY + 2 * GAP);
    }
}
