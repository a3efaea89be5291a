//! The way from a reading thread to the line: batches of frames it keeps, and what it counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lc_wire::{LinkType, Packet};

use super::live::Event;
use super::ring::{Counters, Ring};

/// Frames of a batch, and bytes of it, at most.
pub(super) const BATCH: (usize, usize) = (512, 256 << 10);
/// Bytes that wait in a lane; the reader then leaves frames in its ring.
const LIMIT: usize = 8 << 20;

/// A frame of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub ts: u64,
    number: u64,
    orig_len: u32,
    source: u16,
    link: LinkType,
    pub seen_on: i32,
    end: u32,
}

/// Copies of frames, in the order of the ring.
#[derive(Debug, Default)]
pub(super) struct Batch {
    arena: Vec<u8>,
    pub frames: Vec<Meta>,
    /// Monotonic time at which all its frames had come over.
    pub came: u64,
}

impl Batch {
    pub fn push(&mut self, p: &Packet<'_>, seen_on: i32) {
        self.arena.extend_from_slice(p.data);
        let end = self.arena.len() as u32;
        let (ts, number, orig_len, source, link) = (p.ts, p.number, p.orig_len, p.source, p.link);
        self.frames.push(Meta { ts, number, orig_len, source, link, seen_on, end });
    }

    pub fn is_full(&self) -> bool {
        self.frames.len() >= BATCH.0 || self.arena.len() >= BATCH.1
    }

    pub fn packet(&self, i: usize) -> Packet<'_> {
        let m = &self.frames[i];
        let start = if i == 0 { 0 } else { self.frames[i - 1].end as usize };
        let data = &self.arena[start..m.end as usize];
        Packet { ts: m.ts, number: m.number, orig_len: m.orig_len, source: m.source, link: m.link, data }
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.frames.clear();
    }
}

/// What a reader counted, by source; published with its batches.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub counters: Vec<Counters>,
    pub filtered: Vec<u64>,
    pub unsupported: Vec<u64>,
    pub links: Vec<LinkType>,
    pub events: Vec<Event>,
    pub deaf: Vec<u16>,
    /// Quarters of the fullest ring that wait.
    pub quarters: u8,
    /// Share of a processor in use, 0 to 1.
    pub busy: f64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    queue: VecDeque<Batch>,
    free: Vec<Batch>,
    bytes: usize,
    pub tally: Tally,
    /// New rings for the reader.
    pub incoming: Vec<Ring>,
}

/// One reader's lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    state: Mutex<State>,
    waiting: AtomicUsize,
    /// All that had come over by this monotonic time is in the queue.
    clear: AtomicU64,
    /// Asks the reader to end with what the kernel has counted by then.
    pub ending: AtomicBool,
    pub done: AtomicBool,
    /// New rings came.
    pub some: AtomicBool,
}

impl Lane {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no room now.
    pub fn is_full(&self) -> bool {
        self.lock().bytes >= LIMIT
    }

    /// Batches that wait; one load.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    pub fn clear_until(&self) -> u64 {
        self.clear.load(Ordering::Acquire)
    }

    /// The reader found its rings empty at that time.
    pub fn set_clear(&self, at: u64) {
        self.clear.store(at, Ordering::Release);
    }

    /// Hands a batch over; an empty one comes back.
    pub fn put(&self, batch: Batch) -> Batch {
        let mut state = self.lock();
        state.bytes += batch.arena.len();
        state.queue.push_back(batch);
        self.waiting.store(state.queue.len(), Ordering::Release);
        state.free.pop().unwrap_or_default()
    }

    /// The next batch; `done` is the one before.
    pub fn take(&self, done: Option<Batch>) -> Option<Batch> {
        let mut state = self.lock();
        if let Some(mut batch) = done {
            state.bytes -= batch.arena.len();
            batch.clear();
            state.free.push(batch);
        }
        let next = state.queue.pop_front();
        self.waiting.store(state.queue.len(), Ordering::Release);
        next
    }
}
