//! What RTCP says of a call's sources: RFC 3550 §6.4, RFC 3611, and round trips seen from where the capture stands.

use lc_proto::rtcp::{self, Block, Body, Damage, Dlrr, VoipMetrics, Xr};

/// Sources remembered of a call.
const MAX_SOURCES: usize = 32;
/// Reports of a source that answers may refer to.
const REMEMBERED: usize = 4;
/// A longer round trip is none: the times do not belong together, ns.
const MAX_ROUND_TRIP: u64 = 60_000_000_000;

/// Round trips between the capture and who answers: no clock but the capture's is in them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundTrips {
    /// How many were seen.
    pub n: u32,
    /// The last one, ns.
    pub last: u64,
    /// Shortest and longest, ns.
    pub range: [u64; 2],
    sum: u64,
}

impl RoundTrips {
    fn add(&mut self, ns: u64) {
        let [low, high] = self.range;
        self.range = if self.n == 0 { [ns, ns] } else { [low.min(ns), high.max(ns)] };
        self.n += 1;
        self.last = ns;
        self.sum = self.sum.saturating_add(ns);
    }

    /// Their mean, ms.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // below 2^52 ns
    pub fn mean_ms(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum as f64 / f64::from(self.n) / 1e6)
    }
}

/// What receivers said of a source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// Who said it last.
    pub by: u32,
    /// Report blocks.
    pub reports: u32,
    /// The last one.
    pub block: Block,
    /// Highest fraction lost, in 256ths.
    pub max_fraction: u8,
    /// Highest jitter, in units of the clock.
    pub max_jitter: u32,
}

/// One source of a call.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Its name, at most [`rtcp::MAX_CNAME`] bytes.
    pub cname: Option<Box<[u8]>>,
    /// Sender reports.
    pub sent: u32,
    /// Packets it said it had sent.
    pub packets: u32,
    /// It said goodbye.
    pub left: bool,
    /// What was said of it.
    pub heard: Option<Heard>,
    /// What a receiver's VoIP metrics said of it (RFC 3611 §4.7).
    pub voip: Option<VoipMetrics>,
    /// Round trips to who answers its reports.
    pub round_trips: RoundTrips,
    /// The last reports: middle of the NTP timestamp, capture time.
    times: [(u32, u64); REMEMBERED],
    next: u8,
}

impl Source {
    fn reported(&mut self, middle: u32, ts: u64) {
        self.times[usize::from(self.next)] = (middle, ts);
        self.next = (self.next + 1) % REMEMBERED as u8;
    }

    /// An answer to the report `middle`, that came `delay` (65536ths of a second) before.
    fn answered(&mut self, middle: u32, delay: u32, now: u64) {
        let Some((_, then)) = self.times.iter().find(|(m, _)| *m == middle && middle != 0) else { return };
        let waited = u64::from(delay) * 1_000_000_000 / 65_536;
        let round_trip = now.saturating_sub(*then).checked_sub(waited);
        if let Some(ns) = round_trip.filter(|ns| *ns < MAX_ROUND_TRIP) {
            self.round_trips.add(ns);
        }
    }
}

/// The sources of a call.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    list: Vec<Source>,
}

impl Reports {
    /// Takes a datagram of RTCP that came at `now` (capture time); why its rest was not read.
    pub fn take(&mut self, datagram: &[u8], now: u64) -> Option<Damage> {
        for packet in rtcp::packets(datagram) {
            match packet {
                Ok(body) => self.packet(&body, now),
                Err(damage) => return Some(damage),
            }
        }
        None
    }

    fn packet(&mut self, body: &Body<'_>, now: u64) {
        match body {
            Body::Sender(ssrc, info, blocks) => {
                if let Some(s) = self.source(*ssrc) {
                    s.sent += 1;
                    s.packets = info.packets;
                    s.reported(info.middle, now);
                }
                blocks.for_each(|b| self.heard(*ssrc, b, now));
            }
            Body::Receiver(ssrc, blocks) => blocks.for_each(|b| self.heard(*ssrc, b, now)),
            Body::Description(chunks, count) => {
                for (ssrc, name) in rtcp::cnames(chunks, *count) {
                    if let Some(s) = self.source(ssrc).filter(|s| s.cname.as_deref() != Some(name)) {
                        s.cname = Some(name.into());
                    }
                }
            }
            Body::Goodbye(sources) => {
                for ssrc in *sources {
                    self.list.iter_mut().filter(|s| s.ssrc == ssrc).for_each(|s| s.left = true);
                }
            }
            Body::Extended(ssrc, _) => body.extended().for_each(|xr| self.extended(*ssrc, xr, now)),
            Body::Other(..) => {}
        }
    }

    fn heard(&mut self, by: u32, block: Block, now: u64) {
        let Some(s) = self.source(block.ssrc) else { return };
        let before = s.heard.unwrap_or(Heard { by, reports: 0, block, max_fraction: 0, max_jitter: 0 });
        s.heard = Some(Heard {
            by,
            reports: before.reports + 1,
            block,
            max_fraction: before.max_fraction.max(block.fraction),
            max_jitter: before.max_jitter.max(block.jitter),
        });
        s.answered(block.lsr, block.dlsr, now);
    }

    fn extended(&mut self, by: u32, xr: Xr, now: u64) {
        match xr {
            Xr::ReferenceTime(middle) => {
                if let Some(s) = self.source(by) {
                    s.reported(middle, now);
                }
            }
            Xr::Dlrr(Dlrr { ssrc, lrr, dlrr }) => {
                if let Some(s) = self.source(ssrc) {
                    s.answered(lrr, dlrr, now);
                }
            }
            Xr::Voip(metrics) => {
                if let Some(s) = self.source(metrics.ssrc) {
                    s.voip = Some(metrics);
                }
            }
            Xr::Other(_) => {}
        }
    }

    fn source(&mut self, ssrc: u32) -> Option<&mut Source> {
        let at = match self.list.iter().position(|s| s.ssrc == ssrc) {
            Some(at) => at,
            None if self.list.len() < MAX_SOURCES => {
                self.list.push(Source { ssrc, ..Source::default() });
                self.list.len() - 1
            }
            None => return None,
        };
        self.list.get_mut(at)
    }

    /// What is known of a source.
    #[must_use]
    pub fn of(&self, ssrc: u32) -> Option<&Source> {
        self.list.iter().find(|s| s.ssrc == ssrc)
    }

    /// Round trip between a stream's two ends, ms: from the capture to its receiver and to its sender; one of them alone
    /// where the other was not seen.
    #[must_use]
    pub fn round_trip_ms(&self, ssrc: u32) -> Option<f64> {
        let to_receiver = self.of(ssrc).and_then(|s| s.round_trips.mean_ms());
        let back = self.list.iter().filter(|s| s.heard.is_some_and(|h| h.by == ssrc));
        let to_sender = back.filter_map(|s| s.round_trips.mean_ms()).next();
        match (to_receiver, to_sender) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// SR of `ssrc` with NTP middle `middle`, and one block about `about`.
    fn sr(ssrc: u32, middle: u32, about: u32, (lsr, dlsr): (u32, u32)) -> Vec<u8> {
        let words = [ssrc, middle >> 16, middle << 16, 160, 10, 1600];
        let block = [about, 51 << 24 | 7, 0x1_0064, 80, lsr, dlsr];
        let mut b = vec![0x81, 200, 0, 12];
        b.extend(words.into_iter().chain(block).flat_map(u32::to_be_bytes));
        b
    }

    #[test]
    fn round_trips_of_both_sides() {
        let mut r = Reports::default();
        // A's report passes at 0; B answers 30 ms after, having waited 10 ms: 20 ms to B and back
        r.take(&sr(0xa, 0x1111, 0xff, (0, 0)), 1000 * MS);
        r.take(&sr(0xb, 0x2222, 0xa, (0x1111, 655)), 1030 * MS);
        let a = r.of(0xa).unwrap();
        assert_eq!((a.round_trips.n, a.round_trips.last / 1000), (1, 20_005)); // 655 / 65536 s = 9.9945 ms
                                                                               // A answers B 5 ms after, at once
        r.take(&sr(0xa, 0x3333, 0xb, (0x2222, 0)), 1035 * MS);
        assert!((r.round_trip_ms(0xa).unwrap() - 25.005).abs() < 1e-3);
        assert!((r.round_trip_ms(0xb).unwrap() - 25.005).abs() < 1e-3);
        let heard = a_heard(&r);
        assert_eq!(
            (heard.by, heard.reports, heard.block.fraction, heard.block.lost, heard.block.jitter),
            (0xb, 1, 51, 7, 80)
        );
        assert_eq!(r.of(0xa).unwrap().sent, 2);
    }

    fn a_heard(r: &Reports) -> Heard {
        r.of(0xa).unwrap().heard.unwrap()
    }

    #[test]
    fn an_answer_to_what_was_not_seen_is_no_round_trip() {
        let mut r = Reports::default();
        r.take(&sr(0xb, 1, 0xa, (0x9999, 0)), MS);
        r.take(&sr(0xb, 1, 0xa, (0, 0)), MS);
        r.take(&sr(0xa, 0x4444, 0xb, (0, 0)), 2 * MS);
        r.take(&sr(0xb, 1, 0xa, (0x4444, 65_536)), 500 * MS); // waited longer than the time there was
        assert_eq!((r.of(0xa).unwrap().round_trips.n, r.round_trip_ms(0xa)), (0, None));
    }

    #[test]
    fn a_receiver_measures_by_extended_reports() {
        let mut r = Reports::default();
        let rrtr = [0x80, 207, 0, 4, 0, 0, 0, 0xb, 4, 0, 0, 2, 0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0];
        let dlrr = [0x80, 207, 0, 5, 0, 0, 0, 0xa, 5, 0, 0, 3, 0, 0, 0, 0xb, 0x12, 0x34, 0x56, 0x78, 0, 0, 0x80, 0];
        r.take(&rrtr, 1000 * MS);
        r.take(&dlrr, 1540 * MS);
        assert_eq!(r.of(0xb).unwrap().round_trips.last, 40 * MS);
    }

    #[test]
    fn sources_are_bounded_and_damage_is_told() {
        let mut r = Reports::default();
        assert!((0..1000).all(|n| r.take(&sr(n, 1, n + 5000, (0, 0)), 0).is_none()));
        assert_eq!(r.list.len(), MAX_SOURCES);
        assert_eq!(r.take(&[0x81, 200, 0, 12], 0), Some(Damage::Length));
        let bye = [0x81, 203, 0, 1, 0, 0, 0, 3];
        assert_eq!((r.take(&bye, 0), r.of(3).unwrap().left), (None, true));
    }
}
