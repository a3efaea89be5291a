//! Undecided frames of a pipe or a wire, bounded in time and bytes (law 4).

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use hashbrown::{HashMap, HashSet};
use lc_wire::{LinkType, Packet};

use crate::clock::LineClock;
use crate::frames::FrameNo;
use crate::owners::Of;
use crate::verdict::Verdicts;

/// How long a frame that waits for the rest of its message keeps later ones back, ns of packet time.
pub const BLOCK: u64 = 1_000_000_000;
/// Frames remembered that went out while another owner had them in its list.
const MAX_OUT: usize = 1 << 20;
/// What a held frame costs beside its bytes.
const OVERHEAD: usize = 96;

#[derive(Debug)]
struct Held {
    ts: u64,
    /// The line's time when it came, ns.
    since: u64,
    number: u64,
    orig_len: u32,
    source: u16,
    link: LinkType,
    data: Box<[u8]>,
    holders: u32,
    selected: bool,
    owners: Vec<u32>,
    /// Owners since it went out.
    late: Vec<u32>,
    speech: bool,
}

impl Held {
    fn packet(&self) -> Packet<'_> {
        let (ts, number, orig_len, source, link) = (self.ts, self.number, self.orig_len, self.source, self.link);
        Packet { ts, number, orig_len, source, link, data: &self.data }
    }
}

/// Holds copies of undecided frames; gives selected ones back in order.
#[derive(Debug)]
pub struct Hold {
    clock: LineClock,
    time: u64,
    bytes: usize,
    used: usize,
    frames: HashMap<FrameNo, Held>,
    arrival: VecDeque<(FrameNo, u64)>,
    ready: BinaryHeap<Reverse<FrameNo>>,
    blocking: BTreeSet<FrameNo>,
    current: FrameNo,
    current_holders: u32,
    current_selected: bool,
    current_owners: Vec<u32>,
    current_speech: bool,
    filtered: Vec<u16>,
    held: Vec<u64>,
    /// Frames that went out while another owner still had them in its list: no miss when that one is selected.
    out: HashSet<FrameNo>,
    out_order: VecDeque<(FrameNo, u64)>,
    /// Whether it is wanted to whom frames belong: copies of those in `out` are kept then, for their later owners.
    pub owned: bool,
    gone: HashMap<FrameNo, Held>,
    /// Frames of later selected calls that had been let go (`hold_missed_packets_total`).
    pub missed: u64,
}

impl Hold {
    /// `time` in ns of packet time, `bytes` of frames with their overhead.
    #[must_use]
    pub fn new(time: u64, bytes: usize) -> Self {
        Self {
            clock: LineClock::default(),
            time,
            bytes,
            used: 0,
            frames: HashMap::new(),
            arrival: VecDeque::new(),
            ready: BinaryHeap::new(),
            blocking: BTreeSet::new(),
            current: 0,
            current_holders: 0,
            current_selected: false,
            current_owners: Vec::new(),
            current_speech: false,
            filtered: Vec::new(),
            held: Vec::new(),
            out: HashSet::new(),
            out_order: VecDeque::new(),
            owned: false,
            gone: HashMap::new(),
            missed: 0,
        }
    }

    /// Frames held now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames held now that came from a source.
    #[must_use]
    pub fn held_of(&self, source: usize) -> u64 {
        self.held.get(source).copied().unwrap_or(0)
    }

    /// Sources (one entry a frame) of what ended filtered since the last call.
    pub fn take_filtered(&mut self) -> std::vec::Drain<'_, u16> {
        self.filtered.drain(..)
    }

    /// A frame is about to be followed.
    #[inline]
    pub fn begin(&mut self, frame: FrameNo) {
        self.current = frame;
        self.current_holders = 0;
        self.current_selected = false;
        self.current_owners.clear();
        self.current_speech = false;
    }

    /// The frame has been followed: it is emitted, held, or counted as filtered; so are older ones that got decided.
    pub fn end(&mut self, packet: &Packet<'_>, mut emit: impl FnMut(&Packet<'_>, Of<'_>)) {
        let since = self.clock.see(packet.ts);
        self.expire(self.clock.now());
        let frame = self.current;
        if self.current_selected && self.ready.is_empty() && self.blocking.is_empty() {
            emit(packet, Of { owners: &self.current_owners, again: false, speech: self.current_speech });
            if self.owned && self.current_holders > 0 {
                let held = self.copy(packet, since);
                self.went_out(frame, held);
            } else {
                self.went_by(frame, self.current_holders, since);
            }
            return;
        }
        if self.current_selected || self.current_holders > 0 {
            self.keep(frame, packet, since);
            if self.current_selected {
                self.ready.push(Reverse(frame));
            }
        } else {
            self.filtered.push(packet.source);
        }
        self.current = FrameNo::MAX;
        self.drain(&mut emit);
    }

    fn copy(&self, packet: &Packet<'_>, since: u64) -> Held {
        Held {
            ts: packet.ts,
            since,
            number: packet.number,
            orig_len: packet.orig_len,
            source: packet.source,
            link: packet.link,
            data: packet.data.into(),
            holders: self.current_holders,
            selected: self.current_selected,
            owners: self.current_owners.clone(),
            late: Vec::new(),
            speech: self.current_speech,
        }
    }

    fn keep(&mut self, frame: FrameNo, packet: &Packet<'_>, since: u64) {
        self.used += packet.data.len() + OVERHEAD;
        let source = usize::from(packet.source);
        if source >= self.held.len() {
            self.held.resize(source + 1, 0);
        }
        self.held[source] += 1;
        if self.arrival.len() > 2 * self.frames.len() + 1024 {
            let frames = &self.frames;
            self.arrival.retain(|(frame, _)| frames.contains_key(frame));
        }
        self.arrival.push_back((frame, since));
        let held = self.copy(packet, since);
        self.frames.insert(frame, held);
    }

    /// Emits what is selected and no longer kept back, in frame order.
    fn drain(&mut self, emit: &mut impl FnMut(&Packet<'_>, Of<'_>)) {
        while let Some(Reverse(frame)) = self.ready.peek().copied() {
            if self.blocking.first().is_some_and(|b| *b < frame) {
                return;
            }
            self.ready.pop();
            if let Some(h) = self.forget(frame) {
                emit(&h.packet(), Of { owners: &h.owners, again: false, speech: h.speech });
                self.went_out(frame, h);
            } else if let Some(h) = self.gone.get_mut(&frame) {
                let late = std::mem::take(&mut h.late);
                h.owners.extend(&late);
                emit(&h.packet(), Of { owners: &late, again: true, speech: h.speech });
            }
        }
    }

    fn went_by(&mut self, frame: FrameNo, holders: u32, since: u64) {
        if holders > 0 {
            self.out.insert(frame);
            self.out_order.push_back((frame, since));
        }
    }

    fn went_out(&mut self, frame: FrameNo, held: Held) {
        self.went_by(frame, held.holders, held.since);
        if self.owned && held.holders > 0 {
            self.used += held.data.len() + OVERHEAD;
            self.gone.insert(frame, held);
        }
    }

    fn went_for_good(&mut self, frame: FrameNo) {
        self.out.remove(&frame);
        if let Some(h) = self.gone.remove(&frame) {
            self.used -= h.data.len() + OVERHEAD;
        }
    }

    fn forget(&mut self, frame: FrameNo) -> Option<Held> {
        let held = self.frames.remove(&frame)?;
        self.used -= held.data.len() + OVERHEAD;
        self.held[usize::from(held.source)] -= 1;
        Some(held)
    }

    fn filter(&mut self, frame: FrameNo) {
        if let Some(held) = self.forget(frame) {
            self.filtered.push(held.source);
        }
    }

    /// Lets go of what is too old or too much; unblocks what kept others back too long.
    fn expire(&mut self, now: u64) {
        while let Some((frame, since)) = self.out_order.front().copied() {
            let full = self.out_order.len() > MAX_OUT || (!self.gone.is_empty() && self.used > self.bytes);
            if now.saturating_sub(since) <= self.time.saturating_mul(2) && !full {
                break;
            }
            self.went_for_good(frame);
            self.out_order.pop_front();
        }
        while let Some(first) = self.blocking.first().copied() {
            match self.frames.get(&first) {
                Some(h) if now.saturating_sub(h.since) <= BLOCK => break,
                None if first == self.current => break,
                _ => self.blocking.pop_first(),
            };
        }
        while let Some((frame, since)) = self.arrival.front().copied() {
            let state = self.frames.get(&frame).map(|h| h.selected);
            let over = now.saturating_sub(since) > self.time || self.used > self.bytes;
            match state {
                None => {}
                Some(true) if over => {
                    // selected: it must go out now
                    while self.blocking.first().is_some_and(|b| *b <= frame) {
                        self.blocking.pop_first();
                    }
                }
                Some(false) if over => {
                    self.blocking.remove(&frame);
                    self.filter(frame);
                }
                Some(_) => break,
            }
            self.arrival.pop_front();
        }
    }

    /// So much time went by without a frame, after the follower was told: what is too old goes, what got decided goes
    /// out.
    pub fn pass(&mut self, ns: u64, mut emit: impl FnMut(&Packet<'_>, Of<'_>)) {
        self.clock.pass(ns);
        self.expire(self.clock.now());
        self.drain(&mut emit);
    }

    /// The input ended: what is selected goes out, the rest is filtered.
    pub fn finish(&mut self, mut emit: impl FnMut(&Packet<'_>, Of<'_>)) {
        self.blocking.clear();
        self.drain(&mut emit);
        while let Some((frame, _)) = self.arrival.pop_front() {
            self.filter(frame);
        }
    }
}

impl Verdicts for Hold {
    fn select(&mut self, frame: FrameNo) {
        if frame == self.current {
            self.current_selected = true;
            return;
        }
        // a selected frame that another call selects again changes nothing
        match self.frames.get_mut(&frame) {
            Some(h) if !h.selected => {
                h.selected = true;
                self.ready.push(Reverse(frame));
            }
            Some(_) => {}
            None => self.missed += u64::from(!self.out.contains(&frame)),
        }
    }

    fn hold(&mut self, frame: FrameNo) {
        if frame == self.current {
            self.current_holders += 1;
        } else if let Some(h) = self.frames.get_mut(&frame) {
            h.holders += 1;
        }
    }

    fn release(&mut self, frame: FrameNo) {
        if frame == self.current {
            self.current_holders = self.current_holders.saturating_sub(1);
        } else if let Some(h) = self.frames.get_mut(&frame) {
            h.holders = h.holders.saturating_sub(1);
            if h.holders == 0 && !h.selected {
                self.filter(frame);
            }
        }
    }

    fn block(&mut self, frame: FrameNo) {
        self.hold(frame);
        self.blocking.insert(frame);
    }

    fn unblock(&mut self, frame: FrameNo) {
        self.blocking.remove(&frame);
        self.release(frame);
    }

    fn horizon(&self) -> u64 {
        self.time
    }

    fn missed(&mut self, n: u64) {
        self.missed += n;
    }

    fn own(&mut self, frame: FrameNo, call: u32) {
        if !self.owned {
            return;
        }
        let owners = if frame == self.current {
            &mut self.current_owners
        } else if let Some(h) = self.frames.get_mut(&frame) {
            &mut h.owners
        } else if let Some(h) = self.gone.get_mut(&frame) {
            if h.owners.contains(&call) {
                return;
            }
            if h.late.is_empty() {
                self.ready.push(Reverse(frame));
            }
            &mut h.late
        } else {
            return;
        };
        if !owners.contains(&call) {
            owners.push(call);
        }
    }

    fn speech(&mut self, frame: FrameNo) {
        if frame == self.current {
            self.current_speech = true;
        } else if let Some(h) = self.frames.get_mut(&frame) {
            h.speech = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(number: u64, ts: u64) -> Packet<'static> {
        Packet { ts, number, orig_len: 4, source: 0, link: LinkType::ETHERNET, data: b"data" }
    }

    /// Follows frames 1.. with a script; returns the numbers that went out, in order.
    fn run(hold: &mut Hold, n: u64, script: impl Fn(&mut Hold, u64)) -> Vec<u64> {
        let mut out = Vec::new();
        for f in 1..=n {
            hold.begin(f);
            script(hold, f);
            hold.end(&packet(f, f * 1000), |p, _| out.push(p.number));
        }
        hold.finish(|p, _| out.push(p.number));
        out
    }

    #[test]
    fn undecided_frames_come_when_selected() {
        let mut h = Hold::new(u64::MAX / 4, 1 << 20);
        let out = run(&mut h, 4, |h, f| match f {
            1 | 2 => h.hold(f),
            3 => {
                h.select(1);
                h.release(2);
            }
            _ => h.select(4),
        });
        assert_eq!(out, [1, 4]);
        assert_eq!((h.take_filtered().count(), h.missed, h.len()), (2, 0, 0));
    }

    #[test]
    fn blocked_frames_keep_order() {
        let mut h = Hold::new(u64::MAX / 4, 1 << 20);
        let out = run(&mut h, 3, |h, f| match f {
            1 => h.block(f),
            2 => h.select(f),
            _ => {
                h.hold(1);
                h.unblock(1);
                h.select(1);
            }
        });
        assert_eq!(out, [1, 2]);
    }

    #[test]
    fn what_expires_is_filtered_and_missed_when_selected_later() {
        let mut h = Hold::new(1500, 1 << 20);
        let out = run(&mut h, 4, |h, f| if f == 4 { h.select(1) } else { h.hold(f) });
        assert_eq!((out.len(), h.missed), (0, 1));
        assert_eq!(h.take_filtered().count(), 4);
    }

    #[test]
    fn a_frame_of_two_calls_is_no_miss() {
        let mut h = Hold::new(u64::MAX / 4, 1 << 20);
        let out = run(&mut h, 2, |h, f| {
            if f == 1 {
                h.hold(1);
            }
            h.select(1);
        });
        assert_eq!((out, h.missed), (vec![1], 0));
    }

    #[test]
    fn a_later_owner_gets_a_frame_that_went_out() {
        let mut h = Hold::new(u64::MAX / 4, 1 << 20);
        h.owned = true;
        let mut out: Vec<(u64, Vec<u32>, bool)> = Vec::new();
        for f in 1..=4 {
            h.begin(f);
            match f {
                1 => {
                    h.hold(1);
                    h.select(1);
                    h.own(1, 7);
                }
                2 => h.own(1, 7),
                3 => {
                    h.select(1);
                    h.own(1, 8);
                    h.own(1, 8);
                }
                _ => h.own(1, 8),
            }
            h.end(&packet(f, f * 1000), |p, of| out.push((p.number, of.owners.to_vec(), of.again)));
        }
        assert_eq!(out, [(1, vec![7], false), (1, vec![8], true)]);
        assert_eq!(h.missed, 0);
    }

    #[test]
    fn time_goes_by_without_frames() {
        let mut h = Hold::new(1_000_000, 1 << 20);
        let mut out = Vec::new();
        h.begin(1);
        h.block(1);
        h.end(&packet(1, 1000), |p, _| out.push(p.number));
        h.begin(2);
        h.select(2);
        h.end(&packet(2, 2000), |p, _| out.push(p.number));
        h.pass(900_000, |p, _| out.push(p.number));
        assert_eq!((out.len(), h.len()), (0, 2));
        h.pass(200_000, |p, _| out.push(p.number));
        assert_eq!((out, h.len(), h.take_filtered().count()), (vec![2], 0, 1));
    }

    #[test]
    fn bytes_are_bounded() {
        let mut h = Hold::new(u64::MAX / 4, 3 * (OVERHEAD + 4));
        run(&mut h, 5, |h, f| {
            h.hold(f);
            assert!(h.len() <= 4);
        });
    }
}
