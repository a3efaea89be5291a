//! What one RTP stream says about itself: RFC 3550 §6.4.1, A.1, A.3 and A.8.

/// Sequence numbers remembered to tell a duplicate from a late packet.
const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// Digits remembered of a stream.
const MAX_DIGITS: usize = 256;

/// How a payload type counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Timestamp units a second.
    pub rate: u32,
    /// Whether timing counts: events (RFC 4733) and comfort noise do not.
    pub timed: bool,
    /// Whether payloads are telephone events.
    pub events: bool,
}

/// One packet's part in the statistics.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Capture time, ns.
    pub ts: u64,
    /// Sequence number.
    pub sequence: u16,
    /// Media timestamp, clock units.
    pub timestamp: u32,
    /// Payload type.
    pub payload_type: u8,
    /// UDP payload length, bytes.
    pub bytes: u32,
    /// First byte of the payload: the code of a telephone event.
    pub first: Option<u8>,
}

/// Statistics of one SSRC in one direction.
#[derive(Clone, Debug)]
pub struct RtpStats {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First payload type that carried media.
    pub payload_type: u8,
    /// Capture time of the first and last packet, ns.
    pub start: u64,
    /// Capture time of the last packet, ns.
    pub end: u64,
    /// Packets, duplicates included.
    pub packets: u64,
    /// Bytes of UDP payload.
    pub bytes: u64,
    /// Packets whose sequence number had been seen.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets of events and comfort noise.
    pub events: u64,
    /// DTMF digits pressed (RFC 4733 §3.2), one a change of the event's timestamp.
    pub digits: String,
    /// Longest gap between two packets, ns.
    pub max_delta: u64,
    event: Option<u32>,
    base: u64,
    max: u64,
    seen: [u64; WORDS],
    jitter: f64,
    jitter_max: f64,
    jitter_sum: f64,
    jitters: u64,
    last: Option<(u64, u32)>,
    rate: u32,
}

impl RtpStats {
    /// Starts with the stream's first packet.
    #[must_use]
    pub fn new(ssrc: u32, a: Arrival, clock: Clock) -> Self {
        let base = (1 << 32) | u64::from(a.sequence);
        let mut s = Self {
            ssrc,
            payload_type: a.payload_type,
            start: a.ts,
            end: a.ts,
            packets: 0,
            bytes: 0,
            duplicates: 0,
            reordered: 0,
            events: 0,
            digits: String::new(),
            max_delta: 0,
            event: None,
            base,
            max: base,
            seen: [0; WORDS],
            jitter: 0.0,
            jitter_max: 0.0,
            jitter_sum: 0.0,
            jitters: 0,
            last: None,
            rate: clock.rate,
        };
        s.arrive(a, clock);
        s
    }

    /// Counts a packet, in capture order.
    pub fn arrive(&mut self, a: Arrival, clock: Clock) {
        self.sequence(a.sequence);
        self.packets += 1;
        self.bytes += u64::from(a.bytes);
        self.max_delta = self.max_delta.max(a.ts.saturating_sub(self.end));
        self.end = self.end.max(a.ts);
        if clock.timed {
            self.timing(a, clock.rate);
        } else {
            self.events += 1;
            if clock.events {
                self.digit(a);
            }
        }
    }

    /// All packets of one event carry the timestamp of its beginning (RFC 4733 §2.2.1).
    fn digit(&mut self, a: Arrival) {
        let digit = a.first.and_then(|code| b"0123456789*#ABCD".get(usize::from(code)));
        if let Some(digit) = digit.filter(|_| self.event != Some(a.timestamp) && self.digits.len() < MAX_DIGITS) {
            self.digits.push(char::from(*digit));
            self.event = Some(a.timestamp);
        }
    }

    fn sequence(&mut self, sequence: u16) {
        let step = i64::from(sequence.wrapping_sub(self.max as u16) as i16);
        let ext = self.max.wrapping_add_signed(step);
        if ext > self.max {
            let ahead = ext - self.max;
            if ahead >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                (self.max + 1..=ext).for_each(|e| self.mark(e, false));
            }
            self.max = ext;
        } else if self.packets > 0 {
            if self.max - ext >= WINDOW || self.is_marked(ext) {
                self.duplicates += 1;
                return;
            }
            self.reordered += 1;
        }
        self.mark(ext, true);
    }

    fn mark(&mut self, ext: u64, on: bool) {
        let (word, bit) = (((ext % WINDOW) / 64) as usize, 1u64 << (ext % 64));
        self.seen[word] = if on { self.seen[word] | bit } else { self.seen[word] & !bit };
    }

    fn is_marked(&self, ext: u64) -> bool {
        self.seen[((ext % WINDOW) / 64) as usize] >> (ext % 64) & 1 == 1
    }

    #[allow(clippy::cast_precision_loss)] // differences of nanoseconds stay far below 2^52
    fn timing(&mut self, a: Arrival, rate: u32) {
        if rate != self.rate {
            (self.rate, self.last, self.payload_type) = (rate, None, a.payload_type);
        }
        if let Some((ts, media)) = self.last {
            let arrival = (a.ts.wrapping_sub(ts) as i64) as f64 * f64::from(rate) / 1e9;
            let sent = f64::from(a.timestamp.wrapping_sub(media) as i32);
            self.jitter += ((arrival - sent).abs() - self.jitter) / 16.0;
            self.jitter_max = self.jitter_max.max(self.jitter);
            self.jitter_sum += self.jitter;
            self.jitters += 1;
        }
        self.last = Some((a.ts, a.timestamp));
    }

    /// Highest less first sequence number plus one, wraps counted (RFC 3550 A.3).
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.max - self.base + 1
    }

    /// Expected less received; negative where duplicates outnumber losses (RFC 3550 A.3).
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - self.packets as i64
    }

    /// Expected less distinct sequence numbers received.
    #[must_use]
    pub fn unique_lost(&self) -> i64 {
        self.lost() + self.duplicates as i64
    }

    fn ms(&self, units: f64) -> f64 {
        units * 1000.0 / f64::from(self.rate.max(1))
    }

    /// Interarrival jitter at the end, ms.
    #[must_use]
    pub fn jitter_ms(&self) -> f64 {
        self.ms(self.jitter)
    }

    /// Its maximum over the stream, ms.
    #[must_use]
    pub fn max_jitter_ms(&self) -> f64 {
        self.ms(self.jitter_max)
    }

    /// Its mean over the stream, ms.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean_jitter_ms(&self) -> f64 {
        self.ms(self.jitter_sum / self.jitters.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PCMU: Clock = Clock { rate: 8000, timed: true, events: false };

    fn stream(packets: &[(u64, u16, u32)]) -> RtpStats {
        let at = |(ms, sequence, timestamp): (u64, u16, u32)| Arrival {
            ts: ms * 1_000_000,
            sequence,
            timestamp,
            payload_type: 0,
            bytes: 172,
            first: None,
        };
        let mut s = RtpStats::new(1, at(packets[0]), PCMU);
        packets[1..].iter().for_each(|p| s.arrive(at(*p), PCMU));
        s
    }

    #[test]
    fn jitter_as_rfc_3550_works_it_out() {
        // arrivals 0, 20, 45, 61, 80 ms at 160 ticks: 0, 0, 2.5, 4.34375, 4.572266 ticks
        let s = stream(&[(0, 1, 0), (20, 2, 160), (45, 3, 320), (61, 4, 480), (80, 5, 640)]);
        assert!((s.jitter_ms() - 0.571_533).abs() < 1e-6, "{}", s.jitter_ms());
    }

    #[test]
    fn loss_over_a_wrap_and_with_a_duplicate() {
        let nine: Vec<_> = [65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 3].map(|q| (u64::from(q), q, 0)).to_vec();
        let s = stream(&nine);
        assert_eq!((s.expected(), s.lost(), s.unique_lost()), (10, 1, 1));
        let mut ten = nine;
        ten.push((9, 3, 0));
        let s = stream(&ten);
        assert_eq!((s.lost(), s.unique_lost(), s.duplicates, s.reordered), (0, 1, 1, 0));
    }

    #[test]
    fn digits_are_told_by_their_timestamps() {
        let clock = Clock { rate: 8000, timed: false, events: true };
        let press = |sequence, timestamp, code| Arrival {
            ts: 0,
            sequence,
            timestamp,
            payload_type: 101,
            bytes: 16,
            first: Some(code),
        };
        let mut s = RtpStats::new(1, press(1, 100, 5), clock);
        for (sequence, timestamp, code) in [(2, 100, 5), (3, 900, 5), (4, 900, 5), (5, 1700, 11), (6, 2500, 40)] {
            s.arrive(press(sequence, timestamp, code), clock);
        }
        assert_eq!((s.digits.as_str(), s.events), ("55#", 6));
    }

    #[test]
    fn a_late_packet_is_reordered_once() {
        let s = stream(&[(0, 10, 0), (1, 12, 0), (2, 11, 0), (3, 11, 0)]);
        assert_eq!((s.reordered, s.duplicates, s.expected(), s.lost()), (1, 1, 3, -1));
    }
}
