//! Several rings as one source of frames: merged by time, followed through what happens to their interfaces.

use std::time::Duration;

use lc_wire::Packet;
use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::dedup::Dedup;
use super::ring::{Counters, Ring};
use super::socket;
use crate::clock;

/// Something that happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It went down; capture resumes by itself when it is up.
    Down(String),
    /// It brings frames again.
    Back(String),
    /// It was deleted: [`Live::deaf`] wants a new socket for it.
    Deleted(String),
    /// It hands over frames that were longer than any on the wire: name, bytes.
    SuperFrame(String, u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Hears,
    Down,
    Deaf,
}

/// One source: its ring, and the ring that will take its place.
struct Slot {
    ring: Ring,
    /// A frame was reached and not handed out yet.
    ready: bool,
    state: State,
    next: Option<Ring>,
    /// Until when the old ring is looked at before the next takes over.
    patience: u64,
}

/// All interfaces of a line.
pub struct Live {
    slots: Vec<Slot>,
    dedup: Option<Dedup>,
    /// The slot whose frame was handed out.
    last: Option<usize>,
    /// Monotonic time, as of the last look.
    now: u64,
    /// Until when a frame is kept back, because an earlier one may still be on its way through another ring.
    due: Option<u64>,
    /// Monotonic time at which the frame handed out last came over, or of the last [`Live::passed`]; 0 before the first.
    since: u64,
    events: Vec<Event>,
}

impl Live {
    /// Rings in the order of their sources.
    #[must_use]
    pub fn new(rings: Vec<Ring>, deduplicate: bool) -> Self {
        let slot = |ring| Slot { ring, ready: false, state: State::Hears, next: None, patience: 0 };
        Self {
            slots: rings.into_iter().map(slot).collect(),
            dedup: deduplicate.then(Dedup::default),
            last: None,
            now: 0,
            due: None,
            since: 0,
            events: Vec::new(),
        }
    }

    /// The next frame; `None` when none is to be had now, not for ever.
    ///
    /// With several rings a frame goes out once no other ring can bring an earlier one: the kernel hands each block
    /// over at most two retire timeouts late.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the packet borrows from the ring
    pub fn next(&mut self) -> Option<Packet<'_>> {
        let i = if self.slots.len() == 1 {
            self.last = None;
            if !self.pull(0) {
                return None;
            }
            0
        } else {
            self.merge()?
        };
        self.last = Some(i);
        let ring = &self.slots[i].ring;
        self.since = self.since.max(ring.came);
        Some(ring.packet())
    }

    /// The same, with the interface it was seen on and the monotonic time at which it had come over.
    pub(super) fn next_seen(&mut self) -> Option<(Packet<'_>, i32, u64)> {
        self.next()?;
        let ring = &self.slots[self.last?].ring;
        Some((ring.packet(), ring.seen_on(), ring.came))
    }

    /// Reaches the next frame of a slot.
    #[inline]
    fn pull(&mut self, i: usize) -> bool {
        let slot = &mut self.slots[i];
        loop {
            slot.ready = slot.ring.advance();
            if !slot.ready {
                return false;
            }
            if slot.state != State::Hears {
                slot.state = State::Hears;
                self.events.push(Event::Back(slot.ring.settings.name.clone()));
            }
            if slot.ring.settings.mtu > 0 {
                if let Some(len) = slot.ring.super_frame() {
                    self.events.push(Event::SuperFrame(slot.ring.settings.name.clone(), len));
                }
            }
            if let Some(dedup) = &mut self.dedup {
                if dedup.is_duplicate(slot.ring.packet().data, slot.ring.ts(), slot.ring.seen_on()) {
                    slot.ring.counters.duplicates += 1;
                    continue;
                }
            }
            return true;
        }
    }

    fn merge(&mut self) -> Option<usize> {
        if let Some(last) = self.last.take() {
            self.slots[last].ready = false;
        }
        let mut first: Option<(u64, usize)> = None;
        let mut lag = 0;
        for i in 0..self.slots.len() {
            if !self.slots[i].ready && !self.pull(i) {
                if self.slots[i].state == State::Hears {
                    lag = lag.max(self.slots[i].ring.lag());
                }
                continue;
            }
            let ts = self.slots[i].ring.ts();
            if first.is_none_or(|(earliest, _)| ts < earliest) {
                first = Some((ts, i));
            }
        }
        self.due = None;
        let (_, i) = first?;
        let due = self.slots[i].ring.came + lag;
        if lag > 0 && self.now < due {
            self.now = clock::now();
            if self.now < due {
                self.due = Some(due);
                return None;
            }
        }
        Some(i)
    }

    /// How much time went by, ns, since the last frame came over or since the last call.
    pub fn passed(&mut self) -> u64 {
        let now = clock::now();
        let since = std::mem::replace(&mut self.since, now);
        if since == 0 {
            return 0;
        }
        now.saturating_sub(since)
    }

    /// Whether a frame is kept back, because an earlier one may be on its way through another ring.
    pub(super) fn keeps_back(&self) -> bool {
        self.due.is_some()
    }

    /// How many quarters of the fullest ring wait to be read, 0 to 3.
    #[must_use]
    pub fn quarters(&self) -> u8 {
        self.slots.iter().map(|s| s.ring.quarters()).max().unwrap_or(0)
    }

    /// Waits for frames, up to `limit`; spins for the first `spin` of it. What happened to interfaces is noted.
    pub fn wait(&mut self, limit: Duration, spin: Duration) {
        let begun = clock::now();
        self.now = begun;
        let limit = match self.due {
            Some(due) => limit.min(Duration::from_nanos(due.saturating_sub(begun))),
            None => limit,
        };
        let spun = begun + spin.min(limit).as_nanos() as u64;
        while clock::now() < spun {
            if self.slots.iter().any(|s| s.ring.has_frames()) {
                return;
            }
            std::hint::spin_loop();
        }
        let left = limit.saturating_sub(Duration::from_nanos(clock::now() - begun));
        let timeout = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        // a ring whose frame is kept back would end the wait at once
        let awaited: Vec<usize> =
            (0..self.slots.len()).filter(|i| !self.slots[*i].ready && self.slots[*i].state != State::Deaf).collect();
        let mut fds: Vec<PollFd<'_>> =
            awaited.iter().map(|i| PollFd::new(&self.slots[*i].ring.socket, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timeout));
        let troubled: Vec<bool> = fds.iter().map(|fd| fd.revents().contains(PollFlags::ERR)).collect();
        for (i, troubled) in awaited.into_iter().zip(troubled) {
            if troubled {
                self.look_after(i);
            }
        }
    }

    /// The socket has an error pending: the interface went down, or is gone.
    #[cold]
    fn look_after(&mut self, i: usize) {
        let slot = &mut self.slots[i];
        let _ = socket::pending_error(&slot.ring.socket); // taken, so that poll waits again
        if slot.state == State::Hears {
            slot.ring.counters.downs += 1;
            slot.state = State::Down;
            self.events.push(Event::Down(slot.ring.settings.name.clone()));
        }
    }

    /// Housekeeping, some times a second: reads the kernel's counters, sees deleted interfaces, changes rings.
    pub fn look(&mut self) {
        self.now = clock::now();
        for i in 0..self.slots.len() {
            let slot = &mut self.slots[i];
            slot.ring.count();
            if slot.state != State::Deaf && slot.ring.is_deaf() {
                slot.state = State::Deaf;
                self.events.push(Event::Deleted(slot.ring.settings.name.clone()));
            }
            let settled = !slot.ready && self.last != Some(i) && !slot.ring.has_frames();
            let drained = slot.ring.counters.pending() == 0 || self.now >= slot.patience;
            if slot.next.is_some() && settled && drained {
                self.change(i);
            }
        }
    }

    fn change(&mut self, i: usize) {
        let slot = &mut self.slots[i];
        if let Some(mut ring) = slot.next.take() {
            slot.ring.counters.end();
            ring.counters = slot.ring.counters;
            slot.ring = ring;
            slot.state = State::Hears;
        }
    }

    /// Sources whose interface was deleted, and that have no new socket yet.
    #[must_use]
    pub fn deaf(&self) -> Vec<u16> {
        let deaf = self.slots.iter().filter(|s| s.state == State::Deaf && s.next.is_none());
        let mut sources: Vec<u16> = deaf.map(|s| s.ring.settings.source).collect();
        sources.dedup();
        sources
    }

    /// New sockets take the place of a source's, as many as it has; its counters go on.
    pub fn replace(&mut self, rings: Vec<Ring>) {
        self.now = clock::now();
        for ring in rings {
            let source = ring.settings.source;
            let free = |s: &&mut Slot| s.ring.settings.source == source && s.next.is_none();
            if let Some(slot) = self.slots.iter_mut().find(free) {
                slot.patience = self.now + slot.ring.lag();
                slot.next = Some(ring);
            }
        }
    }

    /// The counters of a source, its rings together.
    #[must_use]
    pub fn counters(&self, source: usize) -> Counters {
        let mut sum = Counters::default();
        let rings = self.slots.iter().filter(|s| usize::from(s.ring.settings.source) == source);
        rings.for_each(|s| sum.merge(&s.ring.counters));
        sum
    }

    /// Whether all that the kernel had counted at the last [`Live::look`] was handed out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.slots.iter().all(|s| !s.ready && s.ring.counters.pending() == 0)
    }

    /// The end was asked for: frames after the last one handed out are no part of the capture.
    pub fn end(&mut self) {
        self.slots.iter_mut().for_each(|s| s.ring.counters.end());
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
