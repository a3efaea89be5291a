//! Timing of one stream's media: jitter (RFC 3550 §6.4.1, A.8), and what a jitter buffer of fixed depth plays too late.

/// Packets too late in a row after which a jitter buffer starts anew.
const MAX_LATE: u8 = 16;

/// One media packet's times.
#[derive(Clone, Copy, Debug)]
pub struct Tick {
    /// Capture time, ns.
    pub ts: u64,
    /// Media timestamp, in units of the clock.
    pub media: u32,
    /// The marker bit: a talkspurt begins (RFC 3551 §4.1).
    pub marker: bool,
}

/// The part that every media packet touches. Times are in units of the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Capture time of the last packet, ns; 0: none came since the clock is known.
    last: u64,
    media: u32,
    /// Units a second; 0: nobody says.
    rate: u32,
    jitter: f64,
    sum: f64,
    /// Transit time of the last packet, against the first one's.
    transit: f64,
    max: f32,
    /// Lowest transit time of this interval and the one before: what a jitter buffer waits from.
    floor: f32,
    /// Lowest transit time of this interval.
    low: f32,
    /// Interarrival differences counted.
    pub steps: u32,
}

/// What a packet's timing says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Played {
    /// In time.
    InTime,
    /// Too late for the jitter buffer.
    TooLate,
    /// The timestamps jumped: transit times before and after do not compare.
    Jumped,
}

impl Timing {
    /// Takes a media packet; `depth` of the jitter buffer in seconds, `run` the packets too late in a row so far.
    #[inline]
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // differences of ns stay below 2^52
    pub fn take(&mut self, t: Tick, depth: f32, run: &mut u8) -> Played {
        if self.last == 0 {
            (self.last, self.media) = (t.ts, t.media);
            self.anchor(0.0);
            return Played::Jumped;
        }
        let hz = f64::from(self.rate);
        let arrival = (t.ts.wrapping_sub(self.last) as i64) as f64 * hz / 1e9;
        let sent = f64::from(t.media.wrapping_sub(self.media) as i32);
        (self.last, self.media) = (t.ts, t.media);
        let d = arrival - sent;
        self.jitter += (d.abs() - self.jitter) / 16.0;
        self.sum += self.jitter;
        self.max = self.max.max(self.jitter as f32);
        self.steps += 1;
        if d.abs() > hz {
            self.anchor(0.0);
            *run = 0;
            return Played::Jumped;
        }
        self.transit += d;
        let transit = self.transit as f32;
        self.low = self.low.min(transit);
        self.floor = self.floor.min(transit);
        if transit - self.floor <= depth * self.rate as f32 {
            *run = 0;
            return Played::InTime;
        }
        *run += 1;
        if t.marker || *run >= MAX_LATE {
            self.anchor(self.transit);
            *run = 0;
            return if t.marker { Played::InTime } else { Played::TooLate };
        }
        Played::TooLate
    }

    /// The clock of what follows.
    #[allow(clippy::cast_possible_truncation)]
    pub fn set_rate(&mut self, rate: u32) {
        if rate == 0 || rate == self.rate {
            return;
        }
        if self.rate != 0 {
            // what was measured, in the new units
            let factor = f64::from(rate) / f64::from(self.rate);
            self.jitter *= factor;
            self.sum *= factor;
            self.max *= factor as f32;
        }
        (self.last, self.rate) = (0, rate);
    }

    fn anchor(&mut self, transit: f64) {
        self.transit = transit;
        (self.low, self.floor) = (transit as f32, transit as f32);
    }

    /// An interval ends; its lowest transit time in ms.
    pub fn interval(&mut self) -> f64 {
        let low = self.low;
        (self.floor, self.low) = (low, self.transit as f32);
        self.ms(f64::from(low))
    }

    /// Units since the last media packet.
    #[must_use]
    pub fn since(&self, media: u32) -> Option<u32> {
        (self.last != 0).then(|| media.wrapping_sub(self.media))
    }

    fn ms(&self, units: f64) -> f64 {
        units * 1000.0 / f64::from(self.rate.max(1))
    }

    /// Units a second, where somebody says.
    #[must_use]
    pub fn rate(&self) -> Option<u32> {
        (self.rate != 0).then_some(self.rate)
    }

    /// Interarrival jitter now, its mean and its maximum, ms; none without a clock.
    #[must_use]
    pub fn jitter_ms(&self) -> Option<[f64; 3]> {
        self.rate()?;
        let mean = self.sum / f64::from(self.steps.max(1));
        Some([self.jitter, mean, f64::from(self.max)].map(|j| self.ms(j)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(packets: &[(u64, u32)], depth: f32) -> (Timing, Vec<Played>) {
        let (mut t, mut late) = (Timing::default(), 0);
        let tick = |(ms, media): &(u64, u32)| Tick { ts: (1 + ms) * 1_000_000, media: *media, marker: false };
        t.set_rate(8000);
        let played = packets.iter().map(|p| t.take(tick(p), depth, &mut late)).collect();
        (t, played)
    }

    #[test]
    fn jitter_as_rfc_3550_works_it_out() {
        let packets = [(0, 0), (20, 160), (45, 320), (61, 480), (80, 640)];
        let mut t = Timing::default();
        let mut seen = Vec::new();
        for (ms, media) in packets {
            t.set_rate(8000);
            t.take(Tick { ts: (1 + ms) * 1_000_000, media, marker: false }, 1.0, &mut 0);
            seen.push(t.jitter);
        }
        for (j, want) in seen.iter().zip([0.0, 0.0, 2.5, 4.343_75, 4.572_266]) {
            assert!((j - want).abs() < 1e-6, "{j} is not {want}");
        }
        assert!((t.jitter_ms().unwrap()[0] - 0.571_533).abs() < 1e-6);
    }

    #[test]
    fn too_late_for_the_buffer() {
        let (_, played) = run(&[(0, 0), (20, 160), (101, 320), (60, 480), (141, 640), (100, 800)], 0.06);
        use Played::{InTime, Jumped, TooLate};
        assert_eq!(played, [Jumped, InTime, TooLate, InTime, TooLate, InTime]);
    }

    #[test]
    fn the_floor_is_the_fastest_packet() {
        let (_, played) = run(&[(50, 0), (30, 160), (95, 320)], 0.04); // transits 50, 10, 55
        assert_eq!(played[2], Played::TooLate);
    }

    #[test]
    fn a_buffer_starts_anew_with_a_talkspurt_or_when_all_is_late() {
        let (mut t, mut late) = (Timing::default(), 0);
        t.set_rate(8000);
        let mut at = |ms: u64, media, marker| t.take(Tick { ts: (1 + ms) * 1_000_000, media, marker }, 0.06, &mut late);
        at(0, 0, true);
        assert_eq!(at(520, 160, true), Played::InTime);
        assert_eq!(at(540, 320, false), Played::InTime);
        let late: Vec<_> = (1..20u32).map(|n| at(740 + u64::from(n) * 20, 320 + n * 160, false)).collect();
        assert_eq!(late.iter().filter(|p| **p == Played::TooLate).count(), 16);
    }

    #[test]
    fn another_clock_rate_measures_on() {
        let mut t = Timing::default();
        for (ms, media, rate) in [(0, 0, 8000), (25, 160, 8000), (45, 320, 16000), (65, 640, 16000)] {
            t.set_rate(rate);
            t.take(Tick { ts: (1 + ms) * 1_000_000, media, marker: false }, 1.0, &mut 0);
        }
        // 5 ms / 16 = 0.3125 ms, then one step without jitter
        assert!((t.jitter_ms().unwrap()[0] - 0.3125 * 15.0 / 16.0).abs() < 1e-9);
        assert!((t.jitter_ms().unwrap()[2] - 0.3125).abs() < 1e-6);
    }
}
