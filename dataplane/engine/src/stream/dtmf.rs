//! Telephone events (RFC 4733 §2): one digit an event, however often its packets repeat it.

/// Events remembered of a stream.
pub const MAX_EVENTS: usize = 256;
const CODES: &[u8; 16] = b"0123456789*#ABCD";
/// An event that lasts longer goes on in another segment (RFC 4733 §2.5.1.3).
const SEGMENT: u16 = u16::MAX;

/// One event's payload (RFC 4733 §2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// What is signalled; 0 to 15 are DTMF digits.
    pub code: u8,
    /// The event has ended.
    pub end: bool,
    /// Power, in -dBm0.
    pub volume: u8,
    /// So far, in units of the clock.
    pub duration: u16,
}

impl Payload {
    /// From the first four bytes.
    #[must_use]
    pub fn new(b: [u8; 4]) -> Self {
        Self { code: b[0], end: b[1] & 0x80 != 0, volume: b[1] & 0x3f, duration: u16::from_be_bytes([b[2], b[3]]) }
    }
}

/// One digit that was pressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digit {
    /// The digit.
    pub digit: char,
    /// Capture time of its first packet, ns.
    pub ts: u64,
    /// Longest duration that its packets told, in units of the clock.
    pub duration: u32,
    /// Whether a packet with the end bit came.
    pub ended: bool,
    /// Media timestamp of its (last) segment.
    timestamp: u32,
    /// Duration of the segments before.
    before: u32,
}

/// Digits of a stream in order.
#[derive(Clone, Debug, Default)]
pub struct Digits {
    /// At most [`MAX_EVENTS`].
    pub list: Vec<Digit>,
    /// How many more there were.
    pub more: u64,
}

impl Digits {
    /// Takes one packet of an event.
    pub fn take(&mut self, ts: u64, timestamp: u32, p: Payload) {
        let Some(code) = CODES.get(usize::from(p.code)) else { return };
        let digit = char::from(*code);
        // repeated and late packets of the last events
        if let Some(d) = self.list.iter_mut().rev().take(4).find(|d| d.timestamp == timestamp && d.digit == digit) {
            d.duration = d.duration.max(d.before + u32::from(p.duration));
            d.ended |= p.end;
            return;
        }
        if let Some(d) = self
            .list
            .last_mut()
            .filter(|d| d.digit == digit && !d.ended && timestamp == d.timestamp.wrapping_add(u32::from(SEGMENT)))
        {
            d.before += u32::from(SEGMENT);
            (d.timestamp, d.ended) = (timestamp, p.end);
            d.duration = d.before + u32::from(p.duration);
            return;
        }
        if self.list.len() >= MAX_EVENTS {
            self.more += 1;
            return;
        }
        self.list.push(Digit { digit, ts, duration: u32::from(p.duration), ended: p.end, timestamp, before: 0 });
    }

    /// The digits in a row.
    #[must_use]
    pub fn text(&self) -> String {
        self.list.iter().map(|d| d.digit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(d: &mut Digits, timestamp: u32, bytes: [u8; 4]) {
        d.take(u64::from(timestamp), timestamp, Payload::new(bytes));
    }

    #[test]
    fn one_digit_an_event_with_its_duration() {
        let mut d = Digits::default();
        // 5 for 800 units, its end three times; 5 again; # cut off; 16 (flash) is no digit
        for bytes in [[5, 10, 0, 160], [5, 10, 1, 64], [5, 0x8a, 3, 32], [5, 0x8a, 3, 32], [5, 0x8a, 3, 32]] {
            take(&mut d, 100, bytes);
        }
        take(&mut d, 1700, [5, 10, 0, 160]);
        take(&mut d, 100, [5, 0x8a, 3, 32]); // late
        take(&mut d, 2500, [11, 10, 0, 80]);
        take(&mut d, 3300, [16, 10, 0, 80]);
        assert_eq!(d.text(), "55#");
        let told: Vec<_> = d.list.iter().map(|d| (d.duration, d.ended)).collect();
        assert_eq!(told, [(800, true), (160, false), (80, false)]);
    }

    #[test]
    fn a_long_event_in_segments() {
        let mut d = Digits::default();
        take(&mut d, 0, [1, 10, 0xff, 0xff]);
        take(&mut d, 65535, [1, 10, 0, 160]);
        take(&mut d, 65535, [1, 0x8a, 1, 64]);
        assert_eq!((d.text().as_str(), d.list[0].duration, d.list[0].ended), ("1", 65855, true));
    }

    #[test]
    fn they_are_bounded() {
        let mut d = Digits::default();
        (0..1000).for_each(|n| take(&mut d, n * 2000, [1, 10, 0, 160]));
        assert_eq!((d.list.len(), d.more), (MAX_EVENTS, 744));
    }
}
