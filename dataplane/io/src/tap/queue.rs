//! The queue between a worker and the thread that writes: batches of frames under one lock.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::stats::{Sums, Tally, VifStats};
use super::Report;
use crate::clock;
use crate::counters::{DropReason, Drops};
use crate::interrupt::Interrupt;

/// Bytes of frames that are queued at most, beside the limit in frames.
const MAX_BYTES: usize = 32 << 20;
/// How long before a deadline the sleeping ends and the spinning begins, ns.
const SPIN: u64 = 60_000;
/// The part of a wait that a signal cannot end, ns.
const LAST: u64 = 2_000_000;

/// Frames in one arena.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub arena: Vec<u8>,
    /// Timestamp of each frame and where it ends in the arena.
    pub frames: Vec<(u64, u32)>,
    /// Frames that were offered with these and have no place on the device.
    pub drops: Drops,
    pub dropped: u64,
    /// Monotonic time of the first frame's offer.
    pub begun: u64,
    /// The schedule begins anew with this batch.
    pub anchor: bool,
}

impl Batch {
    pub fn clear(&mut self) {
        self.arena.clear();
        self.frames.clear();
        (self.drops, self.dropped, self.anchor) = (Drops::default(), 0, false);
    }

    pub fn drop_frame(&mut self, reason: DropReason) {
        self.drops.add(reason, 1);
        self.dropped += 1;
    }
}

/// What the writing side takes up before its next frame.
#[derive(Debug, Default)]
pub(super) struct Next {
    pub device: Option<File>,
    pub rate: Option<(u64, u64)>,
}

/// What the lock protects.
#[derive(Debug, Default)]
pub(super) struct State {
    queue: VecDeque<Batch>,
    free: Vec<Batch>,
    bytes: usize,
    pub sums: Sums,
    closing: bool,
    /// Nobody takes frames any more, and as what they are counted.
    pub refusing: Option<DropReason>,
    pub link_down: bool,
    next: Next,
    pub reports: Vec<Report>,
}

/// Both sides' common part.
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to take, or to end.
    filled: Condvar,
    /// There is room again, or nobody makes any.
    freed: Condvar,
    stop: Interrupt,
    /// Something is in `next`.
    changed: AtomicBool,
    capacity: u64,
}

impl Shared {
    pub fn new(capacity: u64) -> Self {
        let (filled, freed, stop) = (Condvar::new(), Condvar::new(), Interrupt::new());
        Self { state: Mutex::default(), filled, freed, stop, changed: AtomicBool::new(false), capacity }
    }

    /// The state; a thread that panicked has left it whole, as every change is a single step.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn stats(&self) -> VifStats {
        self.stats_with(Tally::default())
    }

    /// With what was done and is not published yet.
    pub fn stats_with(&self, mut tally: Tally) -> VifStats {
        let state = self.lock();
        let mut sums = state.sums;
        sums.publish(&mut tally);
        sums.stats(self.capacity, state.refusing != Some(DropReason::Gone) && !state.link_down)
    }

    /// Notes what the writing side is to take up; a device makes room for frames again.
    pub fn change(&self, change: impl FnOnce(&mut Next)) {
        let mut state = self.lock();
        change(&mut state.next);
        if state.next.device.is_some() && state.refusing == Some(DropReason::Gone) {
            state.refusing = None;
        }
        self.changed.store(true, Ordering::Release);
        drop(state);
        self.filled.notify_all();
    }

    /// What there is to take up, once.
    #[inline]
    pub fn changes(&self) -> Option<Next> {
        if !self.changed.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        self.changed.store(false, Ordering::Release);
        Some(std::mem::take(&mut state.next))
    }

    /// Ends every wait; what is queued will not be written.
    pub fn stop(&self) {
        self.stop.set();
        let _state = self.lock();
        self.filled.notify_all();
        self.freed.notify_all();
    }

    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_all();
    }

    /// Hands a batch over; an empty one comes back. Waits for room if `blocking`, else drops what has none.
    pub fn put(&self, mut batch: Batch, blocking: bool) -> Batch {
        let mut state = self.lock();
        if blocking {
            state = self.wait_for_room(state, &batch);
        }
        let mut frames = batch.frames.len() as u64;
        state.sums.counters.offered += frames + batch.dropped;
        state.sums.counters.dropped.merge(&batch.drops);
        if let Some(reason) = self.refusing(&state) {
            state.sums.counters.dropped.add(reason, frames);
            frames = 0;
        } else if !blocking {
            let fits = self.capacity.saturating_sub(state.sums.counters.queued).min(frames);
            let fits = if state.bytes + batch.arena.len() > MAX_BYTES { 0 } else { fits };
            state.sums.counters.dropped.add(DropReason::QueueFull, frames - fits);
            batch.frames.truncate(fits as usize);
            frames = fits;
        }
        if frames == 0 {
            drop(state);
            batch.clear();
            return batch;
        }
        state.sums.counters.queued += frames;
        state.bytes += batch.arena.len();
        state.queue.push_back(batch);
        let fresh = state.free.pop().unwrap_or_default();
        drop(state);
        self.filled.notify_one();
        fresh
    }

    fn wait_for_room<'a>(&self, mut state: MutexGuard<'a, State>, batch: &Batch) -> MutexGuard<'a, State> {
        let frames = batch.frames.len() as u64;
        loop {
            let queued = state.sums.counters.queued;
            let full = queued + frames > self.capacity || state.bytes + batch.arena.len() > MAX_BYTES;
            if frames == 0 || queued == 0 || !full || self.refusing(&state).is_some() {
                return state;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn refusing(&self, state: &State) -> Option<DropReason> {
        state.refusing.or(self.is_stopped().then_some(DropReason::Stopped))
    }

    /// The next batch, an empty one where something is to be taken up; `None` at the end. `done` is the batch before, with what became of its frames.
    pub fn take(&self, done: Option<Batch>, tally: &mut Tally) -> Option<Batch> {
        let mut state = self.lock();
        state.sums.publish(tally);
        if let Some(mut batch) = done {
            state.bytes -= batch.arena.len();
            batch.clear();
            state.free.push(batch);
        }
        // A worker that waits goes on when there is room for a while, not for each batch.
        if state.sums.counters.queued <= self.capacity / 2 && state.bytes <= MAX_BYTES / 2 {
            self.freed.notify_all();
        }
        loop {
            if self.is_stopped() {
                return None;
            }
            if self.changed.load(Ordering::Acquire) {
                return Some(state.free.pop().unwrap_or_default());
            }
            if let Some(batch) = state.queue.pop_front() {
                return Some(batch);
            }
            if state.closing {
                return None;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds what was done to the sums.
    pub fn publish(&self, tally: &mut Tally) {
        self.lock().sums.publish(tally);
    }

    /// Nobody takes frames any more: what is queued is counted, and nobody waits for room.
    pub fn end(&self, reason: DropReason) {
        let mut state = self.lock();
        state.refusing.get_or_insert(reason);
        let queued = state.sums.counters.queued;
        state.sums.counters.queued = 0;
        state.sums.counters.dropped.add(reason, queued);
        state.queue.clear();
        state.bytes = 0;
        self.freed.notify_all();
    }

    /// Waits for a time of the monotonic clock, exactly; false when it was stopped before. Long waits end at once
    /// when they are stopped, the last 2 ms do not.
    pub fn wait_until(&self, deadline: u64) -> bool {
        loop {
            if self.is_stopped() {
                return false;
            }
            let left = deadline.saturating_sub(clock::now());
            if left == 0 {
                return true;
            } else if left > LAST {
                let limit = Duration::from_nanos(left - LAST / 2);
                let state = self.lock();
                let waiting = |_: &mut State| !self.is_stopped();
                drop(self.filled.wait_timeout_while(state, limit, waiting).unwrap_or_else(PoisonError::into_inner));
            } else if left > SPIN {
                clock::sleep_until(deadline - SPIN);
            } else {
                std::hint::spin_loop();
            }
        }
    }
}
