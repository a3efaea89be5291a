//! One direction of a TCP connection: bytes in order, and which frames carried which of them (RFC 9293 §3.4).

use std::collections::{BTreeMap, VecDeque};

use lc_proto::sip::{MAX_BODY, MAX_HEAD};

use crate::calls::Owner;
use crate::defrag::FrameId;
use crate::pool::{Pool, BUFFER};

/// Bytes of one direction held for a message that is not complete: the longest head and body.
pub const MAX_BUFFER: usize = MAX_HEAD + MAX_BODY;
/// Bytes of one direction that came too early.
pub const MAX_LATE: usize = 256 << 10;
/// Messages remembered for their retransmissions.
const MAX_HISTORY: usize = 512;
/// Frames that wait for their message.
const MAX_SEGMENTS: usize = 4096;
/// Bytes that those frames carry, repetitions included.
const MAX_SPAN: usize = 4 * MAX_BUFFER;
/// A larger buffer is given back once it is empty, bytes.
const MAX_IDLE_BUFFER: usize = 16 << 10;
/// Segments so close belong to one burst: the sender gave its messages out at once, ns.
const BURST: u64 = 1_000_000;
/// Offsets start here, so that bytes before the first one seen have a place.
const ORIGIN: u64 = 1 << 33;

/// A frame with the stretch of the stream it carries.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    start: u64,
    end: u64,
    /// The frame.
    pub id: FrameId,
    /// Whether bytes of a selected and of an unselected call were found in it.
    pub mixed: [bool; 2],
}

/// One direction.
#[derive(Debug, Default)]
pub struct Half {
    next: u64,
    started: bool,
    /// Whether the stream was seen from its SYN on, and nothing was consumed yet.
    pub at_start: bool,
    buffer: Vec<u8>,
    consumed: usize,
    late: BTreeMap<u64, Vec<u8>>,
    late_bytes: usize,
    late_room: usize,
    late_since: u64,
    /// Sorted by `start`: what a message touches stands at the front.
    segments: VecDeque<Segment>,
    span: usize,
    history: VecDeque<(u64, u64, Owner)>,
    /// Capture time of the burst whose segment the next message begins in the middle of, ns; 0: it begins a segment.
    burst: u64,
    /// Sequence number of its SYN.
    pub isn: Option<u32>,
    /// Whether it sent FIN.
    pub fin: bool,
    /// Highest acknowledgement the other side sent for it, as an offset.
    acked: u64,
}

impl Half {
    /// The SYN fixes where the stream begins.
    pub fn syn(&mut self, seq: u32) {
        if !self.started {
            self.isn = Some(seq);
            self.next = ORIGIN | u64::from(seq.wrapping_add(1));
            (self.started, self.at_start) = (true, true);
        }
    }

    fn offset(&self, seq: u32) -> u64 {
        self.next.wrapping_add_signed(i64::from(seq.wrapping_sub(self.next as u32) as i32))
    }

    /// The other side acknowledged up to `seq`.
    pub fn acknowledged(&mut self, seq: u32) {
        if self.started {
            self.acked = self.acked.max(self.offset(seq));
        }
    }

    /// Offset of the first byte not consumed.
    fn front(&self) -> u64 {
        self.next - self.pending().len() as u64
    }

    /// Bytes in order that nobody consumed yet.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    /// Bytes held: in order and early.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pending().len() + self.late_bytes
    }

    /// Memory it takes beside its own size, about; bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.buffer.capacity()
            + self.late_room
            + self.late.len() * 64
            + self.segments.len() * std::mem::size_of::<Segment>()
            + self.history.len() * std::mem::size_of::<(u64, u64, Owner)>()
    }

    /// Takes a segment. Gives the owners of what it repeats, whether the frame waits for its message, and the segments
    /// that had to be dropped for the limits.
    pub fn push(
        &mut self,
        seq: u32,
        payload: &[u8],
        id: FrameId,
        now: u64,
        pool: &mut Pool,
    ) -> (Vec<Owner>, bool, Vec<Segment>) {
        if !self.started {
            self.next = ORIGIN | u64::from(seq);
            self.started = true;
        }
        let start = self.offset(seq);
        let end = start + payload.len() as u64;
        let front = self.front();
        let repeated = if start < front {
            self.history.iter().filter(|(s, e, _)| *s < end && *e > start).map(|h| h.2).collect()
        } else {
            Vec::new()
        };
        let waits = end > front;
        if waits {
            let at = self.segments.partition_point(|s| s.start <= start);
            self.segments.insert(at, Segment { start, end, id, mixed: [false; 2] });
            self.span += payload.len();
        }
        if start > self.next {
            self.early(start, payload, now, pool);
        } else if end > self.next {
            self.append(start, payload);
            self.pull(pool);
        }
        let mut dropped = Vec::new();
        while self.segments.len() > MAX_SEGMENTS || self.span > MAX_SPAN {
            let Some(s) = self.segments.pop_front() else { break };
            self.span -= (s.end - s.start) as usize;
            dropped.push(s);
        }
        (repeated, waits, dropped)
    }

    fn append(&mut self, start: u64, payload: &[u8]) {
        if self.consumed > 0 && (self.consumed == self.buffer.len() || self.consumed > 64 << 10) {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        let known = (self.next - start) as usize;
        self.buffer.extend_from_slice(&payload[known..]);
        self.next = start + payload.len() as u64;
    }

    fn early(&mut self, start: u64, payload: &[u8], now: u64, pool: &mut Pool) {
        if self.late.is_empty() {
            self.late_since = now;
        }
        if self.late_bytes + payload.len() > MAX_LATE {
            return; // the gap is given up before: see `gives_up`
        }
        for (at, part) in (start..).step_by(BUFFER).zip(payload.chunks(BUFFER)) {
            if self.late.get(&at).is_none_or(|l| l.len() < part.len()) {
                let Some(buffer) = pool.take(part) else { return };
                self.late_bytes += part.len();
                self.late_room += buffer.capacity();
                if let Some(old) = self.late.insert(at, buffer) {
                    self.done(old, pool);
                }
            }
        }
        while self.late_bytes > pool.most() {
            let Some((_, first)) = self.late.pop_first() else { return };
            self.done(first, pool);
            pool.overwritten += 1;
        }
    }

    /// Early bytes are of no use any more.
    fn done(&mut self, buffer: Vec<u8>, pool: &mut Pool) {
        self.late_bytes -= buffer.len();
        self.late_room -= buffer.capacity();
        pool.put(buffer);
    }

    fn pull(&mut self, pool: &mut Pool) {
        while let Some((start, _)) = self.late.first_key_value() {
            if *start > self.next {
                return;
            }
            if let Some((start, payload)) = self.late.pop_first() {
                if start + payload.len() as u64 > self.next {
                    self.append(start, &payload);
                }
                self.done(payload, pool);
            }
        }
    }

    /// Whether bytes are missing that will not come: acknowledged by the receiver, too old, or too much waits.
    #[must_use]
    pub fn gives_up(&self, now: u64, all: bool) -> bool {
        let Some((start, _)) = self.late.first_key_value() else { return false };
        let age = now.saturating_sub(self.late_since);
        all || age > 2_000_000_000 || self.late_bytes > MAX_LATE / 2 || (self.acked > *start && age > 200_000_000)
    }

    /// Skips the hole: the caller has consumed what stands before it. Gives segments all of whose bytes were skipped.
    pub fn skip_hole(&mut self, now: u64, pool: &mut Pool) -> Vec<Segment> {
        if let Some(start) = self.late.first_key_value().map(|(s, _)| *s) {
            self.next = start;
            self.pull(pool);
            self.late_since = now;
            self.at_start = false;
        }
        let front = self.front();
        self.take(front).into_iter().filter_map(|(s, done)| done.then_some(s)).collect()
    }

    /// The segments with bytes before `end`, and whether they have none behind it; those are forgotten.
    fn take(&mut self, end: u64) -> Vec<(Segment, bool)> {
        let touched = self.segments.partition_point(|s| s.start < end);
        let touched: Vec<(Segment, bool)> = self.segments.drain(..touched).map(|s| (s, s.end <= end)).collect();
        for (s, done) in touched.iter().rev() {
            if *done {
                self.span -= (s.end - s.start) as usize;
            } else {
                self.segments.push_front(*s);
            }
        }
        touched
    }

    /// The first `len` pending bytes belong to `owner`, who is `selected` or not, or nobody's. Gives every segment with
    /// bytes among them, and whether it is done; and forgets them.
    pub fn consume(&mut self, len: usize, owner: Owner, selected: Option<bool>) -> Vec<(Segment, bool)> {
        let start = self.front();
        let end = start + len as u64;
        self.consumed += len;
        self.at_start = false;
        if self.consumed == self.buffer.len() && self.buffer.capacity() > MAX_IDLE_BUFFER {
            (self.buffer, self.consumed) = (Vec::new(), 0);
        }
        match self.history.back_mut() {
            Some(last) if last.2 == owner && last.1 == start => last.1 = end,
            _ => self.history.push_back((start, end, owner)),
        }
        if self.history.len() > MAX_HISTORY {
            self.history.pop_front();
        }
        if let Some(selected) = selected {
            let touched = self.segments.partition_point(|s| s.start < end);
            self.segments.range_mut(..touched).for_each(|s| s.mixed[usize::from(selected)] = true);
        }
        let touched = self.take(end);
        let first = touched.iter().map(|(s, _)| s.id.ts).min().unwrap_or(0);
        self.burst = if touched.iter().any(|(_, done)| !done) { self.sent(first) } else { 0 };
        touched
    }

    /// When the next message was sent, which begins in a segment of time `first`: behind the rest of another message in
    /// the same segment, with that one.
    #[must_use]
    pub fn sent(&self, first: u64) -> u64 {
        let together = self.burst != 0 && first.saturating_sub(self.burst) <= BURST;
        if together {
            self.burst.min(first)
        } else {
            first
        }
    }

    /// Frames with bytes among the first `len` pending ones, in the order they came.
    #[must_use]
    pub fn carriers(&self, len: usize) -> Vec<FrameId> {
        let end = self.front() + len as u64;
        let mut frames: Vec<FrameId> = self.segments.iter().take_while(|s| s.start < end).map(|s| s.id).collect();
        frames.sort_by_key(|id| id.frame);
        frames
    }

    /// Memory that is not in use is given back.
    pub fn trim(&mut self) {
        if self.pending().is_empty() {
            (self.buffer, self.consumed) = (Vec::new(), 0);
        }
        self.segments.shrink_to_fit();
        self.history.shrink_to_fit();
    }

    /// All that waits is given up.
    pub fn clear(&mut self, pool: &mut Pool) -> Vec<Segment> {
        self.buffer = Vec::new();
        (self.consumed, self.burst) = (0, 0);
        while let Some((_, early)) = self.late.pop_first() {
            self.done(early, pool);
        }
        self.history.clear();
        self.span = 0;
        self.segments.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Strategy;

    fn id(frame: u64) -> FrameId {
        FrameId { frame, number: frame + 1, ts: 0 }
    }

    #[test]
    fn reordering_overlap_and_wrap() {
        let (mut h, mut pool) = (Half::default(), Pool::default());
        h.syn(u32::MAX - 2);
        h.push(u32::MAX - 1, b"ab", id(0), 0, &mut pool);
        h.push(2, b"ef", id(1), 0, &mut pool);
        h.push(u32::MAX, b"bcdX", id(2), 0, &mut pool);
        assert_eq!(h.pending(), b"abcdXf");
        assert_eq!(h.carriers(2), [id(0), id(2)]);
        let touched = h.consume(6, Owner::Connection, None);
        assert!(touched.iter().all(|(_, done)| *done) && touched.len() == 3);
        assert_eq!(h.push(0, b"cd", id(3), 0, &mut pool).0, [Owner::Connection]);
    }

    #[test]
    fn holes() {
        let (mut h, mut pool) = (Half::default(), Pool::default());
        h.push(100, b"ab", id(0), 0, &mut pool);
        h.push(110, b"xy", id(1), 5, &mut pool);
        assert!(!h.gives_up(6, false) && h.gives_up(2_000_000_006, false));
        h.acknowledged(112);
        assert!(h.gives_up(300_000_000, false));
        h.consume(2, Owner::None, None);
        h.skip_hole(9, &mut pool);
        assert_eq!(h.pending(), b"xy");
    }

    #[test]
    fn messages_of_one_burst_were_sent_together() {
        let at = |frame: u64, us: u64| FrameId { ts: 1_000_000_000 + us * 1000, ..id(frame) };
        let (mut h, mut pool) = (Half::default(), Pool::default());
        h.push(0, b"aaaa", at(0, 0), 0, &mut pool);
        h.push(4, b"aabb", at(1, 150), 0, &mut pool);
        h.push(8, b"bb", at(2, 300), 0, &mut pool);
        h.push(10, b"cc", at(3, 450), 0, &mut pool);
        assert_eq!(h.sent(at(0, 0).ts), at(0, 0).ts);
        h.consume(6, Owner::None, None); // a: its rest stands before b
        assert_eq!(h.sent(at(1, 150).ts), at(0, 0).ts);
        assert_eq!(h.sent(at(1, 5000).ts), at(1, 5000).ts); // a rest that came much later is no burst
        h.consume(4, Owner::None, None); // b ends a segment
        assert_eq!(h.sent(at(3, 450).ts), at(3, 450).ts);
    }

    #[test]
    fn a_segment_of_two_messages_is_done_with_the_second() {
        let (mut h, mut pool) = (Half::default(), Pool::default());
        h.push(0, b"aabb", id(0), 0, &mut pool);
        assert!(!h.consume(2, Owner::None, None)[0].1);
        assert!(h.consume(2, Owner::Connection, None)[0].1);
    }

    /// A first byte is missing; then so many segments of 1,000 bytes come.
    fn early(strategy: Strategy, size: usize, segments: u32) -> (Half, Pool) {
        let (mut h, mut pool) = (Half::default(), Pool::new(strategy, size));
        h.syn(0);
        for n in 0..segments {
            h.push(2 + 1000 * n, &[n as u8; 1000], id(u64::from(n)), 0, &mut pool);
        }
        (h, pool)
    }

    #[test]
    fn a_fixed_pool_keeps_the_first_early_bytes_and_a_ring_the_last() {
        for (strategy, size, bytes, first, refused, overwritten) in [
            (Strategy::Adaptive, 4, 50_000, 0, 0, 0),
            (Strategy::Fixed, 4, 4_000, 0, 46, 0),
            (Strategy::Ring, 4, 32_000, 18, 0, 18),
        ] {
            let (mut h, mut pool) = early(strategy, size, 50);
            assert_eq!((h.held(), pool.refused, pool.overwritten), (bytes, refused, overwritten), "{strategy:?}");
            h.skip_hole(0, &mut pool);
            assert_eq!((h.pending().len(), h.pending()[0]), (bytes, first), "{strategy:?}");
            assert_eq!(pool.levels(), (0, 4), "{strategy:?}");
        }
    }

    #[test]
    fn long_early_segments_take_several_buffers() {
        let (mut h, mut pool) = (Half::default(), Pool::default());
        h.syn(0);
        let long: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
        h.push(2, &long, id(0), 0, &mut pool);
        assert_eq!(pool.levels(), (3, 0));
        h.push(1, b"x", id(1), 0, &mut pool);
        assert_eq!((&h.pending()[1..], pool.levels()), (&long[..], (0, 3)));
        h.consume(5001, Owner::None, None);
        h.trim();
        assert_eq!(h.buffer.capacity(), 0);
    }
}
