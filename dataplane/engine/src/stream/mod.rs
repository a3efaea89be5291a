//! One RTP stream, an SSRC in one direction, as its packets tell: RFC 3550, RFC 4733, RFC 3611, G.107.
//!
//! What every packet touches is two cache lines; the rest lies behind a pointer, and there what few streams need lies
//! behind another.

pub mod codecs;
pub mod dtmf;
pub mod gaps;
pub mod intervals;
pub mod quality;
pub mod rating;
pub mod sequence;
pub mod timing;

use dtmf::{Digits, Payload};
use gaps::Gaps;
use intervals::{Counters, Intervals, INTERVAL};
use sequence::{Irregular, Place, Sequence};
use timing::{Played, Tick, Timing};

/// Payload types remembered of a stream.
const MAX_TYPES: usize = 8;
/// Media packets that say what the packetisation is.
const LEARN: u32 = 64;
/// Payloads up to this length are no speech frame: silence descriptors (RFC 4867 §3.6, RFC 3551 §4.5.3), bytes.
const MAX_SILENCE: u16 = 7;

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Media: its timing counts.
    Media,
    /// Telephone events (RFC 4733): their timestamps stand still.
    Events,
    /// Comfort noise (RFC 3389): comes when it likes.
    Noise,
}

/// How a payload type counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Timestamp units a second; 0 when nobody says.
    pub rate: u32,
    /// What it carries.
    pub carries: Carries,
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
    /// The marker bit.
    pub marker: bool,
    /// UDP payload length, bytes.
    pub bytes: u32,
    /// RTP payload length, bytes.
    pub payload: u16,
    /// First bytes of the payload, when it has so many: a telephone event.
    pub first: Option<[u8; 4]>,
}

/// How streams are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Depth of the jitter buffer that decides what comes too late, seconds.
    pub buffer: f32,
    /// Whether G.711 counts as with packet loss concealment.
    pub plc: bool,
}

impl Default for Measure {
    fn default() -> Self {
        Self { buffer: 0.06, plc: true }
    }
}

/// Statistics of one SSRC in one direction.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Stream {
    sequence: Sequence,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Packets, duplicates included.
    pub packets: u32,
    /// The last packet's payload type, and what it carries.
    payload_type: u8,
    carries: Carries,
    /// Packets too late in a row.
    late_run: u8,
    /// When the clock was looked up.
    epoch: u8,
    /// Bytes of RTP, headers included.
    pub bytes: u64,
    /// Capture time of the last packet, ns.
    pub end: u64,
    /// Longest time between two packets, ns.
    pub max_delta: u64,
    /// End of the interval that runs, capture time in ns.
    boundary: u64,
    timing: Timing,
    /// What few packets touch.
    pub more: Box<More>,
}

/// A payload type of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Type {
    /// RTP payload type.
    pub payload_type: u8,
    /// What it carries.
    pub carries: Carries,
    /// Packets.
    pub packets: u32,
}

/// What few packets of a stream touch.
#[derive(Clone, Debug)]
pub struct More {
    /// Capture time of the first packet, ns.
    pub start: u64,
    /// Source and number of the first packet's frame.
    pub first: (u16, u64),
    irregular: Irregular,
    /// Packets that came too late for the jitter buffer.
    pub late: u32,
    /// Packets of events.
    pub events: u32,
    /// Packets of comfort noise.
    pub noise: u32,
    /// Media packets with the marker bit.
    pub markers: u32,
    /// Packets after the call had ended.
    pub after_end: u32,
    /// Changes of the payload type between media.
    pub type_changes: u32,
    types: Vec<Type>,
    /// Packets when the payload type last changed.
    counted: u32,
    /// The usual step of timestamps, in units, with its votes.
    step: (u32, u16),
    /// Smallest and largest payload of speech, bytes.
    sizes: [u16; 2],
    digits: Option<Box<Digits>>,
    intervals: Option<Box<Intervals>>,
}

impl Stream {
    /// Starts with the stream's first packet; `first` is its frame.
    #[must_use]
    pub fn new(ssrc: u32, a: Arrival, first: (u16, u64)) -> Self {
        let (sequence, irregular) = Sequence::new(a.sequence);
        let more = More {
            start: a.ts,
            first,
            irregular,
            late: 0,
            events: 0,
            noise: 0,
            markers: 0,
            after_end: 0,
            type_changes: 0,
            types: Vec::new(),
            counted: 0,
            step: (0, 0),
            sizes: [u16::MAX, 0],
            digits: None,
            intervals: None,
        };
        Self {
            sequence,
            ssrc,
            packets: 0,
            bytes: 0,
            end: a.ts,
            max_delta: 0,
            boundary: a.ts.saturating_add(INTERVAL),
            timing: Timing::default(),
            payload_type: u8::MAX,
            carries: Carries::Media,
            late_run: 0,
            epoch: 0,
            more: Box::new(more),
        }
    }

    /// Whether the clock of a packet must be looked up: its payload type is another one, or SDP has said something.
    #[inline]
    #[must_use]
    pub fn asks(&self, payload_type: u8, epoch: u8) -> bool {
        self.payload_type != payload_type || self.epoch != epoch
    }

    /// The clock of the packet that is about to be counted.
    pub fn learn(&mut self, payload_type: u8, epoch: u8, clock: Clock) {
        if self.payload_type != payload_type {
            self.flush_type();
            self.payload_type = payload_type;
            self.more.type_changes += u32::from(self.is_new_media(payload_type, clock));
        }
        (self.epoch, self.carries) = (epoch, clock.carries);
        if clock.carries == Carries::Media {
            self.timing.set_rate(clock.rate);
        }
    }

    /// Whether media of one payload type gave way to another one.
    fn is_new_media(&self, payload_type: u8, clock: Clock) -> bool {
        let before = self.more.types.iter().rfind(|t| t.carries == Carries::Media);
        clock.carries == Carries::Media && before.is_some_and(|t| t.payload_type != payload_type)
    }

    /// Puts the packets of the payload type so far into the table; the last used type stands last.
    fn flush_type(&mut self) {
        let packets = self.packets - self.more.counted;
        self.more.counted = self.packets;
        if packets == 0 {
            return;
        }
        let types = &mut self.more.types;
        let (payload_type, carries) = (self.payload_type, self.carries);
        let before = types.iter().position(|t| t.payload_type == payload_type);
        let before = before.map_or(0, |i| types.remove(i).packets);
        if types.len() < MAX_TYPES {
            types.push(Type { payload_type, carries, packets: before + packets });
        }
    }

    /// Counts a packet, in capture order, after `learn` where `asks` wants it.
    #[inline]
    pub fn arrive(&mut self, a: Arrival, measure: Measure) {
        let place = match self.packets {
            0 => Place::Next,
            _ => self.sequence.take(a.sequence, &mut self.more.irregular),
        };
        self.packets = self.packets.saturating_add(1);
        self.bytes += u64::from(a.bytes);
        if a.ts > self.end {
            self.max_delta = self.max_delta.max(a.ts - self.end);
            self.end = a.ts;
        }
        if a.ts >= self.boundary {
            self.interval(a.ts);
        }
        if self.carries == Carries::Media {
            self.media(a, place, measure);
        } else {
            self.other(a);
        }
    }

    #[inline]
    fn media(&mut self, a: Arrival, place: Place, measure: Measure) {
        if a.marker {
            self.more.markers += 1;
        }
        if self.timing.steps < LEARN {
            self.packetisation(a, place);
        }
        if self.timing.rate().is_none() {
            return;
        }
        let tick = Tick { ts: a.ts, media: a.timestamp, marker: a.marker };
        match self.timing.take(tick, measure.buffer, &mut self.late_run) {
            Played::InTime => {}
            Played::TooLate => self.more.late += u32::from(place != Place::Again),
            Played::Jumped => {
                if let Some(i) = &mut self.more.intervals {
                    i.jumped();
                }
            }
        }
    }

    /// The usual step of timestamps (Boyer and Moore's vote) and the sizes of payloads.
    fn packetisation(&mut self, a: Arrival, place: Place) {
        if a.payload > MAX_SILENCE {
            let [low, high] = self.more.sizes;
            self.more.sizes = [low.min(a.payload), high.max(a.payload)];
        }
        let Some(step) = self.timing.since(a.timestamp).filter(|_| place == Place::Next) else { return };
        let (usual, votes) = self.more.step;
        self.more.step = match votes {
            0 => (step, 1),
            _ if step == usual => (usual, votes.saturating_add(1)),
            _ => (usual, votes - 1),
        };
    }

    fn other(&mut self, a: Arrival) {
        if self.carries == Carries::Noise {
            self.more.noise += 1;
            return;
        }
        self.more.events += 1;
        if let Some(first) = a.first {
            self.more.digits.get_or_insert_default().take(a.ts, a.timestamp, Payload::new(first));
        }
    }

    fn interval(&mut self, now: u64) {
        let transit = self.timing.interval();
        let counters = self.counters();
        self.more.intervals.get_or_insert_default().close(now, counters, transit);
        let steps = (now - self.boundary) / INTERVAL + 1;
        self.boundary = self.boundary.saturating_add(steps * INTERVAL);
    }

    fn counters(&self) -> Counters {
        let irregular = &self.more.irregular;
        let unplayed = u64::from(irregular.duplicates) + u64::from(self.more.late);
        let played = u64::from(self.packets).saturating_sub(unplayed);
        Counters { expected: self.sequence.expected(irregular), played }
    }

    /// Highest less first sequence number plus one, wraps counted (RFC 3550 A.3).
    #[must_use]
    pub fn expected(&self) -> u64 {
        self.sequence.expected(&self.more.irregular)
    }

    /// Expected less received; negative where duplicates outnumber losses (RFC 3550 A.3).
    #[must_use]
    pub fn lost(&self) -> i64 {
        self.expected() as i64 - i64::from(self.packets)
    }

    /// Expected less different sequence numbers.
    #[must_use]
    pub fn unique_lost(&self) -> i64 {
        self.lost() + i64::from(self.more.irregular.duplicates)
    }

    /// Runs of losses; `losses` are the numbers that never came.
    #[must_use]
    pub fn gaps(&self) -> Gaps {
        self.sequence.gaps(&self.more.irregular)
    }

    /// Packets whose sequence number had been seen, and packets that came after a later one.
    #[must_use]
    pub fn duplicates_and_reordered(&self) -> (u32, u32) {
        (self.more.irregular.duplicates, self.more.irregular.reordered)
    }

    /// Turns of the sequence number, and sequences that began within the stream.
    #[must_use]
    pub fn wraps_and_restarts(&self) -> (u16, u16) {
        (self.more.irregular.wraps, self.more.irregular.restarts)
    }

    /// Interarrival jitter at the end, its mean and its maximum, ms; none where no clock is known.
    #[must_use]
    pub fn jitter_ms(&self) -> Option<[f64; 3]> {
        self.timing.jitter_ms()
    }

    /// Milliseconds of media a packet, by its timestamps.
    #[must_use]
    pub fn ptime_ms(&self) -> Option<f64> {
        let (step, votes) = self.more.step;
        let rate = self.timing.rate()?;
        (votes > 0 && step > 0 && step < rate).then(|| f64::from(step) * 1000.0 / f64::from(rate))
    }

    /// Speed of the sender's clock against the capture's, parts per million.
    #[must_use]
    pub fn skew_ppm(&self) -> Option<f64> {
        self.more.intervals.as_ref()?.skew_ppm()
    }

    /// DTMF digits.
    #[must_use]
    pub fn digits(&self) -> &[dtmf::Digit] {
        self.more.digits.as_ref().map_or(&[], |d| &d.list)
    }

    /// Units a second of its media.
    #[must_use]
    pub fn rate(&self) -> Option<u32> {
        self.timing.rate()
    }

    /// Payload types, most packets first.
    #[must_use]
    pub fn types(&self) -> Vec<Type> {
        let mut all = self.clone();
        all.flush_type();
        let mut types = all.more.types;
        types.sort_by_key(|t| std::cmp::Reverse(t.packets));
        types
    }

    /// The payload type of most media packets, else of most packets.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        let types = self.types();
        let media = types.iter().find(|t| t.carries == Carries::Media);
        media.or(types.first()).map_or(self.payload_type, |t| t.payload_type)
    }
}

#[cfg(test)]
mod tests;
