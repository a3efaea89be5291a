//! RTP that no signalling names, told by its packets alone: strict, because any datagram may look like one of them.

use lc_proto::rtp::Rtp;

use super::{FlowKey, Media};
use crate::frames::FrameNo;
use crate::slab::Ref;

/// Packets in order that make a stream.
pub const ENOUGH: u8 = 10;
/// The same where a port is odd (RFC 3550 §11 wants an even one).
pub const ENOUGH_ODD: u8 = 20;
/// Packets that do not fit, after which another source is tried.
const MAX_MISFITS: u8 = 4;
/// Sources that are tried before a flow is given up.
const MAX_TRIES: u8 = 6;
/// Numbers that a step may leave out.
const MAX_STEP: u16 = 8;
/// Timestamp units that a step may leave out: ten seconds of video.
const MAX_TICKS: u32 = 900_000;
/// Below this much time, arrival says nothing of the clock, ns.
const MIN_TIME: u64 = 100_000_000;
/// Clocks that media have, with room for jitter, Hz.
const CLOCKS: std::ops::RangeInclusive<f64> = 4_000.0..=200_000.0;

/// What a flow is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Taken {
    /// Not known yet.
    #[default]
    Open,
    /// For RTP.
    Rtp,
    /// For something else, for good.
    Other,
}

/// What was seen of a flow that may be RTP.
#[derive(Clone, Debug, Default)]
pub struct Guess {
    /// What it is taken for.
    pub taken: Taken,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// The first packet's time (ns) and timestamp, to tell the clock.
    first: (u64, u32),
    /// The step of timestamps, while all are the same.
    step: Option<u32>,
    even_steps: bool,
    fits: u8,
    misfits: u8,
    tries: u8,
}

impl Guess {
    /// Takes a packet between two ports.
    pub fn take(&mut self, p: &Rtp, (sport, dport): (u16, u16), now: u64) -> Taken {
        if self.taken != Taken::Open {
            return self.taken;
        }
        if !possible(p, sport, dport) {
            self.misfit(p, now);
        } else if self.fits == 0 {
            self.begin(p, now);
        } else if p.ssrc == self.ssrc && p.sequence == self.sequence {
            // a duplicate says nothing
        } else if self.follows(p) {
            self.fits = self.fits.saturating_add(1);
            (self.sequence, self.timestamp) = (p.sequence, p.timestamp);
            let odd = sport % 2 == 1 || dport % 2 == 1;
            if self.fits >= if odd { ENOUGH_ODD } else { ENOUGH } && self.has_a_clock(now) {
                self.taken = Taken::Rtp;
            }
        } else {
            self.misfit(p, now);
        }
        self.taken
    }

    fn begin(&mut self, p: &Rtp, now: u64) {
        *self = Self {
            ssrc: p.ssrc,
            sequence: p.sequence,
            timestamp: p.timestamp,
            first: (now, p.timestamp),
            even_steps: true,
            fits: 1,
            tries: self.tries + 1,
            ..Self::default()
        };
        if self.tries > MAX_TRIES {
            self.taken = Taken::Other;
        }
    }

    fn misfit(&mut self, p: &Rtp, now: u64) {
        self.misfits += 1;
        if self.misfits > MAX_MISFITS || u16::from(self.misfits) * 4 > u16::from(self.fits) {
            self.begin(p, now);
        }
    }

    fn follows(&mut self, p: &Rtp) -> bool {
        let step = p.sequence.wrapping_sub(self.sequence);
        let ticks = p.timestamp.wrapping_sub(self.timestamp);
        let ok = p.ssrc == self.ssrc && (1..=MAX_STEP).contains(&step) && ticks <= MAX_TICKS;
        if ok {
            let one = ticks / u32::from(step);
            self.even_steps &= one > 0 && *self.step.get_or_insert(one) == one;
        }
        ok
    }

    /// Whether timestamps run as a media clock does.
    #[allow(clippy::cast_precision_loss)] // below 2^52 ns
    fn has_a_clock(&self, now: u64) -> bool {
        let ticks = f64::from(self.timestamp.wrapping_sub(self.first.1));
        let time = now.saturating_sub(self.first.0);
        if time < MIN_TIME {
            return self.even_steps;
        }
        CLOCKS.contains(&(ticks * 1e9 / time as f64))
    }
}

/// Whether one packet can be RTP of a call: its payload type is assigned (RFC 3551 §6) or dynamic, it carries
/// something, and no service has its ports.
fn possible(p: &Rtp, sport: u16, dport: u16) -> bool {
    let assigned = matches!(p.payload_type, 0 | 3..=18 | 25 | 26 | 28 | 31..=34 | 96..=127);
    assigned && p.payload_len > 0 && p.ssrc != 0 && p.ssrc != u32::MAX && sport >= 1024 && dport >= 1024
}

impl Media {
    /// What a flow is taken for.
    #[must_use]
    pub fn taken(&self, at: Ref) -> Taken {
        self.flows.get(at).and_then(|f| f.guess.as_ref()).map_or(Taken::Open, |g| g.taken)
    }

    /// Frames that wait with a flow.
    pub fn waiting(&self, at: Ref) -> impl Iterator<Item = FrameNo> + '_ {
        self.flows.get(at).and_then(|f| f.waiting.as_ref()).into_iter().flat_map(|w| w.iter())
    }

    /// What a flow without an owner is taken for, after this packet.
    pub fn guess(&mut self, at: Ref, p: &Rtp, now: u64) -> Taken {
        let Some(f) = self.flows.get_mut(at) else { return Taken::Other };
        let FlowKey { sport, dport, .. } = f.key;
        f.guess.get_or_insert_default().take(p, (sport, dport), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: (u16, u16) = (4000, 5000);
    const MS: u64 = 1_000_000;

    fn packet(n: u16) -> Rtp {
        Rtp {
            payload_type: 0,
            marker: false,
            sequence: 65530_u16.wrapping_add(n),
            timestamp: u32::from(n) * 160,
            ssrc: 7,
            payload_offset: 12,
            payload_len: 160,
        }
    }

    fn after(n: u16, ports: (u16, u16), change: impl Fn(u16, &mut Rtp)) -> Taken {
        let mut g = Guess::default();
        (0..n).for_each(|i| {
            let mut p = packet(i);
            change(i, &mut p);
            g.take(&p, ports, u64::from(i) * 20 * MS);
        });
        g.taken
    }

    #[test]
    fn ten_packets_in_order() {
        assert_eq!(after(9, EVEN, |_, _| ()), Taken::Open);
        assert_eq!(after(10, EVEN, |_, _| ()), Taken::Rtp);
        assert_eq!(after(19, (4000, 5001), |_, _| ()), Taken::Open);
        assert_eq!(after(20, (4000, 5001), |_, _| ()), Taken::Rtp);
    }

    #[test]
    fn losses_and_duplicates_do_no_harm() {
        let mut g = Guess::default();
        for n in [0, 1, 1, 2, 4, 5, 6, 6, 9, 10, 11, 12] {
            g.take(&packet(n), EVEN, u64::from(n) * 20 * MS);
        }
        assert_eq!(g.taken, Taken::Rtp);
    }

    #[test]
    fn what_is_none() {
        assert_eq!(after(200, EVEN, |i, p| p.ssrc = u32::from(i)), Taken::Other, "another source each time");
        assert_eq!(after(200, EVEN, |i, p| p.sequence = i.wrapping_mul(31)), Taken::Other, "numbers at random");
        assert_eq!(after(200, EVEN, |_, p| p.payload_type = 72), Taken::Other, "RTCP's types");
        assert_eq!(after(200, EVEN, |_, p| p.payload_len = 0), Taken::Other, "empty");
        assert_eq!(after(200, (53, 5000), |_, _| ()), Taken::Other, "a service");
        assert_eq!(after(200, EVEN, |_, p| p.timestamp = 9), Taken::Open, "no clock");
        assert_eq!(after(200, EVEN, |i, p| p.timestamp = u32::from(i)), Taken::Open, "a counter is no clock");
    }

    #[test]
    fn random_bytes_are_none() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        for flow in 0..1000 {
            let mut g = Guess::default();
            for n in 0..200 {
                let p = Rtp {
                    payload_type: (random() & 127) as u8,
                    sequence: random() as u16,
                    timestamp: random(),
                    // few sources, as with counters and flags in that place
                    ssrc: if flow % 2 == 0 { 1 + random() % 2 } else { random() },
                    ..packet(0)
                };
                g.take(&p, EVEN, n * 20 * MS);
            }
            assert_ne!(g.taken, Taken::Rtp);
        }
    }

    #[test]
    fn packets_at_once_need_even_steps() {
        let mut g = Guess::default();
        for n in 0..10 {
            g.take(&packet(n), EVEN, u64::from(n));
        }
        assert_eq!(g.taken, Taken::Rtp);
        let mut g = Guess::default();
        (0..200).for_each(|n| {
            let odd = Rtp { timestamp: u32::from(n) * 160 + u32::from(n % 3), ..packet(n) };
            g.take(&odd, EVEN, u64::from(n));
        });
        assert_eq!(g.taken, Taken::Open);
    }
}
