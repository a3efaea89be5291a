//! Several threads that read: each has one ring of every interface (a fanout group shares out the flows), and hands the
//! frames it keeps to the one thread that follows calls, which merges them by time.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use lc_wire::{LinkType, Packet};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};

use super::dedup::Dedup;
use super::lane::{Batch, Lane, Tally};
use super::live::{Event, Live};
use super::ring::{Counters, Ring};
use crate::clock;

/// How often a reader publishes what it counts, ns.
const LOOK: u64 = 50_000_000;
/// How long a reader sleeps at most: the others' frames may wait for its word that nothing came.
const NAP: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(5));
/// For so long after a frame readers nap shortly, ns.
const ACTIVE: u64 = 100_000_000;

/// What becomes of a frame at a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on to the line.
    Keep,
    /// The filter does not take it.
    Filtered,
    /// Its link type is not decoded.
    Unsupported,
}

/// Decides about frames; each reader has its own.
pub type Gate = Box<dyn FnMut(&Packet<'_>) -> Fate + Send>;

/// What all readers and the line share.
struct Common {
    /// The thread that takes the frames.
    taker: Thread,
    /// It waits for a reader to say that nothing came.
    gated: AtomicBool,
    /// Monotonic time of the last frames that were handed over.
    active: AtomicU64,
    stop: AtomicBool,
}

/// The taking side.
pub struct Readers {
    lanes: Vec<Arc<Lane>>,
    threads: Vec<Option<JoinHandle<()>>>,
    current: Vec<Option<(Batch, usize)>>,
    common: Arc<Common>,
    /// The lane whose frame was handed out.
    last: Option<usize>,
    lag: u64,
    dedup: Option<Dedup>,
    duplicates: Vec<u64>,
    since: u64,
    reported: bool,
}

impl Readers {
    /// Starts a reader for each set of rings, pinned to a processor of its own as far as there are some. The calling
    /// thread is the one that takes.
    ///
    /// # Errors
    /// No room for a thread.
    pub fn start(rings: Vec<Vec<Ring>>, gates: Vec<Gate>, deduplicate: bool, spin: Duration) -> io::Result<Self> {
        let common = Arc::new(Common {
            taker: std::thread::current(),
            gated: AtomicBool::new(false),
            active: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let sources = rings.iter().flatten().map(|r| usize::from(r.settings.source) + 1).max().unwrap_or(0);
        let lag = rings.iter().flatten().map(Ring::lag).max().unwrap_or(0);
        let mut made = Self {
            lanes: Vec::new(),
            threads: Vec::new(),
            current: Vec::new(),
            common,
            last: None,
            lag,
            dedup: deduplicate.then(Dedup::default),
            duplicates: vec![0; sources],
            since: 0,
            reported: false,
        };
        for (number, (rings, gate)) in rings.into_iter().zip(gates).enumerate() {
            let lane = Arc::new(Lane::default());
            let live = Live::new(rings, false);
            let tally = Tally { filtered: vec![0; sources], unsupported: vec![0; sources], ..Tally::default() };
            let reader =
                Reader { live, gate, lane: lane.clone(), common: made.common.clone(), tally, spin, clocks: (0, 0) };
            let name = format!("lc-reader{number}");
            let thread = crate::thread::spawn(&name, move || {
                pin(number);
                reader.run();
            })?;
            made.lanes.push(lane);
            made.threads.push(Some(thread));
            made.current.push(None);
        }
        Ok(made)
    }

    /// The next frame of all readers by time; `None` when none is to be had now.
    #[allow(clippy::should_implement_trait)] // the packet borrows from a batch
    pub fn next(&mut self) -> Option<Packet<'_>> {
        loop {
            let i = self.reach()?;
            self.last = Some(i);
            let Some((batch, at)) = &self.current[i] else { return None };
            let (source, came, seen_on) = (batch.packet(*at).source, batch.came, batch.frames[*at].seen_on);
            self.since = self.since.max(came);
            if let Some(dedup) = &mut self.dedup {
                let p = batch.packet(*at);
                if dedup.is_duplicate(p.data, p.ts, seen_on) {
                    self.duplicates[usize::from(source)] += 1;
                    continue;
                }
            }
            break;
        }
        let (batch, at) = self.current[self.last?].as_ref()?;
        Some(batch.packet(*at))
    }

    /// The lane whose frame is the next.
    fn reach(&mut self) -> Option<usize> {
        if let Some(last) = self.last.take() {
            if let Some((_, at)) = &mut self.current[last] {
                *at += 1;
            }
        }
        let mut first: Option<(u64, usize)> = None;
        let mut clear = u64::MAX;
        for (i, lane) in self.lanes.iter().enumerate() {
            let over = self.current[i].as_ref().is_none_or(|(batch, at)| *at >= batch.frames.len());
            if over {
                // read before looking at the queue: what came until then is in it
                let until = if lane.done.load(Ordering::Acquire) { u64::MAX } else { lane.clear_until() };
                if lane.waiting() == 0 {
                    clear = clear.min(until);
                    continue;
                }
                let done = self.current[i].take().map(|(batch, _)| batch);
                self.current[i] = lane.take(done).map(|batch| (batch, 0));
            }
            if let Some((batch, at)) = &self.current[i] {
                let ts = batch.frames[*at].ts;
                if first.is_none_or(|(earliest, _)| ts < earliest) {
                    first = Some((ts, i));
                }
            }
        }
        let (_, i) = first?;
        let came = self.current[i].as_ref().map_or(0, |(batch, _)| batch.came);
        if clear < came + self.lag {
            self.common.gated.store(true, Ordering::Release);
            return None;
        }
        Some(i)
    }

    /// Waits for frames, up to `limit`.
    pub fn wait(&mut self, limit: Duration) {
        std::thread::park_timeout(limit);
        self.common.gated.store(false, Ordering::Release);
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

    /// The counters of a source, and what the readers left out of it: filtered, of an unsupported link type.
    #[must_use]
    pub fn counters(&self, source: usize) -> (Counters, u64, u64) {
        let (mut sum, mut filtered, mut unsupported) = (Counters::default(), 0, 0);
        for lane in &self.lanes {
            let state = lane.lock();
            if let Some(c) = state.tally.counters.get(source) {
                sum.merge(c);
            }
            filtered += state.tally.filtered.get(source).copied().unwrap_or(0);
            unsupported += state.tally.unsupported.get(source).copied().unwrap_or(0);
        }
        sum.duplicates += self.duplicates.get(source).copied().unwrap_or(0);
        (sum, filtered, unsupported)
    }

    /// Link types that are not decoded.
    #[must_use]
    pub fn links(&self) -> Vec<LinkType> {
        self.lanes.iter().flat_map(|lane| lane.lock().tally.links.clone()).collect()
    }

    /// Share of a processor that each reader uses.
    #[must_use]
    pub fn busy(&self) -> Vec<f64> {
        self.lanes.iter().map(|lane| lane.lock().tally.busy).collect()
    }

    /// How many quarters of the fullest ring wait to be read, 0 to 3.
    #[must_use]
    pub fn quarters(&self) -> u8 {
        self.lanes.iter().map(|lane| lane.lock().tally.quarters).max().unwrap_or(0)
    }

    /// Batches that wait in each lane.
    #[must_use]
    pub fn depths(&self) -> Vec<usize> {
        self.lanes.iter().map(|lane| lane.waiting()).collect()
    }

    /// Sources whose interface was deleted: each reader's ring is deaf then.
    #[must_use]
    pub fn deaf(&self) -> Vec<u16> {
        let mut sources: Vec<u16> = self.lanes.iter().flat_map(|lane| lane.lock().tally.deaf.clone()).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// New sockets take the place of a source's, one for each reader.
    pub fn replace(&mut self, rings: Vec<Ring>) {
        for (lane, ring) in self.lanes.iter().zip(rings) {
            lane.lock().incoming.push(ring);
            lane.some.store(true, Ordering::Release);
        }
    }

    /// What happened to interfaces since the last call, as the first reader saw it.
    pub fn take_events(&mut self) -> Vec<Event> {
        let mut found = Vec::new();
        for lane in &self.lanes {
            for event in std::mem::take(&mut lane.lock().tally.events) {
                if !found.contains(&event) {
                    found.push(event);
                }
            }
        }
        found
    }

    /// The end was asked for: readers bring what the kernel has counted until now.
    pub fn end(&mut self) {
        self.lanes.iter().for_each(|lane| lane.ending.store(true, Ordering::Release));
    }

    /// Whether everything up to the end was handed out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let over = |(i, c): (usize, &Option<(Batch, usize)>)| {
            c.as_ref().is_none_or(|(b, at)| *at + usize::from(self.last == Some(i)) >= b.frames.len())
        };
        let ended = self.lanes.iter().all(|l| l.done.load(Ordering::Acquire) && l.waiting() == 0);
        ended && self.current.iter().enumerate().all(over)
    }

    /// Whether a reader has failed; said once.
    pub fn has_failed(&mut self) -> bool {
        let failed = |(thread, lane): (&Option<JoinHandle<()>>, &Arc<Lane>)| {
            thread.as_ref().is_some_and(JoinHandle::is_finished) && !lane.done.load(Ordering::Acquire)
        };
        let failed = self.threads.iter().zip(&self.lanes).any(failed);
        failed && !std::mem::replace(&mut self.reported, true)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.common.stop.store(true, Ordering::Release);
        self.threads.iter_mut().filter_map(Option::take).for_each(|thread| drop(thread.join()));
    }
}

/// Keeps the calling thread on one of the processors that it may use.
fn pin(number: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    if cpus.is_empty() {
        return;
    }
    let mut one = CpuSet::new();
    one.set(cpus[number % cpus.len()]);
    let _ = sched_setaffinity(None, &one); // where it is refused, the scheduler chooses
}

/// A reading thread.
struct Reader {
    live: Live,
    gate: Gate,
    lane: Arc<Lane>,
    common: Arc<Common>,
    tally: Tally,
    spin: Duration,
    /// Monotonic time and processor time at the last look.
    clocks: (u64, u64),
}

impl Reader {
    fn run(mut self) {
        let mut batch = Batch::default();
        let mut ending = false;
        self.look(true);
        while !self.common.stop.load(Ordering::Acquire) {
            if self.lane.some.swap(false, Ordering::AcqRel) {
                let rings = std::mem::take(&mut self.lane.lock().incoming);
                rings.into_iter().for_each(|ring| self.live.replace(vec![ring]));
            }
            if !ending && self.lane.ending.load(Ordering::Acquire) {
                ending = true;
                self.look(true);
            }
            let begun = clock::now();
            let empty = self.fill(&mut batch);
            let some = !batch.frames.is_empty();
            if some {
                batch = self.lane.put(batch);
                self.common.active.store(begun, Ordering::Relaxed);
            }
            if empty && !self.live.keeps_back() {
                self.lane.set_clear(begun);
            }
            if some || self.common.gated.load(Ordering::Acquire) {
                self.common.taker.unpark();
            }
            if begun >= self.clocks.0 + LOOK {
                self.look(!ending);
            }
            if ending && self.live.is_drained() {
                break;
            }
            if empty {
                let active = begun < self.common.active.load(Ordering::Relaxed) + ACTIVE;
                self.live.wait(if active || ending { NAP.0 } else { NAP.1 }, self.spin);
            }
            while self.lane.is_full() && !self.common.stop.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_micros(200)); // the ring holds what comes, and counts what it cannot
            }
        }
        self.live.end();
        self.look(false);
        self.lane.done.store(true, Ordering::Release);
        self.common.taker.unpark();
    }

    /// Reads until the batch is full, or the rings are empty: then true.
    fn fill(&mut self, batch: &mut Batch) -> bool {
        loop {
            let Some((p, seen_on, came)) = self.live.next_seen() else { return true };
            let source = usize::from(p.source);
            match (self.gate)(&p) {
                Fate::Keep => {
                    batch.came = came;
                    batch.push(&p, seen_on);
                    if batch.is_full() {
                        return false;
                    }
                }
                Fate::Filtered => self.tally.filtered[source] += 1,
                Fate::Unsupported => {
                    self.tally.unsupported[source] += 1;
                    if !self.tally.links.contains(&p.link) {
                        self.tally.links.push(p.link);
                    }
                }
            }
        }
    }

    /// Housekeeping; publishes what is counted.
    fn look(&mut self, kernel: bool) {
        if kernel {
            self.live.look();
        }
        let clocks = (clock::now(), clock::thread_cpu());
        let (wall, cpu) = (clocks.0 - self.clocks.0, clocks.1 - self.clocks.1);
        self.clocks = clocks;
        self.tally.busy = (cpu as f64 / wall.max(1) as f64).min(1.0);
        self.tally.counters = (0..self.tally.filtered.len()).map(|source| self.live.counters(source)).collect();
        self.tally.deaf = self.live.deaf();
        self.tally.quarters = self.live.quarters();
        let mut state = self.lane.lock();
        let mut events = std::mem::take(&mut state.tally.events);
        events.extend(self.live.take_events());
        state.tally = Tally { events, ..self.tally.clone() };
    }
}
