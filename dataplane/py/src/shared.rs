//! What the worker publishes and Python reads: counters, records, messages. Locks are held for copies only.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lc_engine::calls::CallStats;
use lc_engine::kpi::Kpi;
use lc_engine::record::Record;
use lc_io::interrupt::Interrupt;

use crate::control::Mailbox;

/// Records that wait for Python before a file is read on.
const MAX_RECORDS: usize = 8192;

/// One source's part of law 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Frames read.
    pub read: u64,
    /// Frames offered to every sink.
    pub selected: u64,
    /// Frames that no selector kept.
    pub filtered: u64,
    /// Frames that wait for a decision.
    pub held: u64,
    /// Frames of a link type that is not decoded.
    pub link_type: u64,
    /// Frames selected after `--count` was reached.
    pub count: u64,
    /// Live: frames for which the kernel had no room.
    pub kernel: u64,
    /// Live: frames in the ring.
    pub pending: u64,
    /// Live: taken from the ring and left out: twins on the loopback device, duplicates of other interfaces, frames of
    /// interfaces of our own, entries of the ring without sense. The last: media that a hard pressed line left out.
    pub left_out: [u64; 5],
    /// Live: how often the ring was full.
    pub freezes: u64,
    /// Live: how often the interface went down.
    pub downs: u64,
}

/// What [`Account::left_out`] counts, as `stage.reason`.
pub const LEFT_OUT: [&str; 5] =
    ["dedup.loopback", "dedup.duplicate", "capture.own_interface", "capture.damaged", "backpressure.media"];

/// Everything but the sinks, as of one batch boundary.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By source.
    pub accounts: Vec<Account>,
    /// The follower's counters.
    pub follow: Follow,
    /// Share of a processor that the worker used since the last snapshot but one, 0 to 1.
    pub busy: f64,
    /// Live with several workers, of each: share of a processor, batches that wait.
    pub readers: Vec<(f64, usize)>,
    /// Live: how hard pressed the line is, 0 to 3.
    pub strain: u8,
    /// Live: batches, and frames in them.
    pub batches: (u64, u64),
}

/// Counters and levels of the follower.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    /// Of the call table.
    pub calls: CallStats,
    /// What trunks are judged by.
    pub kpi: Kpi,
    /// Calls, endpoints, flows, connections, datagrams in their tables.
    pub tables: [u64; 5],
    /// Streams followed.
    pub streams: u64,
    /// (table, reason, n).
    pub evictions: Vec<(&'static str, &'static str, u64)>,
    /// (layer, reason, n).
    pub refusals: Vec<(&'static str, &'static str, u64)>,
    /// Connections that carry SIP, others, bytes held.
    pub reassembly: (u64, u64, u64),
    /// Frames that were let go before their call was selected.
    pub missed: u64,
    /// TCP segments kept whole for a part of them.
    pub shared: u64,
    /// Buffers of early TCP segments: in use, and kept for their next use.
    pub buffers: (usize, usize),
    /// How often memory was given back.
    pub trims: u64,
}

/// A packet for a formatter.
#[derive(Debug)]
pub struct PacketRecord {
    /// Capture time, ns.
    pub ts: u64,
    /// Number in its source.
    pub number: u64,
    /// Source.
    pub source: u16,
    /// LINKTYPE_ number.
    pub link: u16,
    /// Length on the wire.
    pub orig_len: u32,
    /// Captured bytes.
    pub data: Vec<u8>,
}

/// What goes to Python.
#[derive(Debug)]
pub enum Told {
    /// From the follower.
    Record(Record),
    /// A packet line.
    Packet(PacketRecord),
    /// A call's file is complete.
    #[cfg(target_os = "linux")]
    File(lc_io::call_files::Finished),
}

/// The state that worker and Python share.
#[derive(Default)]
pub struct Shared {
    snapshot: Mutex<Snapshot>,
    records: Mutex<VecDeque<Told>>,
    changed: Condvar,
    messages: Mutex<Vec<(&'static str, String)>>,
    /// Changes for the worker.
    pub mailbox: Mailbox,
    /// Asks every part to end.
    pub stop: Interrupt,
    finished: AtomicBool,
    /// The source cannot wait: records that have no room are left out, and counted.
    pub live: bool,
    records_lost: AtomicU64,
    /// Sources whose interface was deleted.
    deaf: Mutex<Vec<u16>>,
    drains: AtomicBool,
    progress: [AtomicU64; 4],
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// `live`: the source cannot wait.
    pub fn new(live: bool) -> Self {
        Self { live, ..Self::default() }
    }

    /// Publishes counters.
    pub fn publish(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut lock(&self.snapshot));
    }

    /// Counters as of the last batch.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.snapshot).clone()
    }

    /// Records that wait for Python.
    pub fn waiting(&self) -> usize {
        lock(&self.records).len()
    }

    /// Hands records over; waits while Python has not taken the earlier ones (law 2). Where the source cannot wait,
    /// those that have no room are left out.
    pub fn tell(&self, told: impl IntoIterator<Item = Told>) {
        let mut queue = lock(&self.records);
        if self.live && queue.len() >= MAX_RECORDS {
            self.records_lost.fetch_add(told.into_iter().count() as u64, Ordering::Relaxed);
            return;
        }
        while queue.len() >= MAX_RECORDS && !self.stop.is_set() {
            let waited = self.changed.wait_timeout(queue, Duration::from_millis(20));
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.extend(told);
        drop(queue);
        self.changed.notify_all();
    }

    /// Records that were left out.
    pub fn records_lost(&self) -> u64 {
        self.records_lost.load(Ordering::Relaxed)
    }

    /// These sources' interfaces were deleted.
    pub fn hear_not(&self, sources: Vec<u16>) {
        *lock(&self.deaf) = sources;
    }

    /// Sources whose interface was deleted.
    pub fn deaf(&self) -> Vec<u16> {
        lock(&self.deaf).clone()
    }

    /// Takes up to `most` records; waits up to `timeout` for the first.
    pub fn take(&self, most: usize, timeout: Duration) -> Vec<Told> {
        let mut queue = lock(&self.records);
        if queue.is_empty() && !self.is_finished() {
            queue = self.changed.wait_timeout(queue, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
        let n = queue.len().min(most);
        let out = queue.drain(..n).collect();
        drop(queue);
        self.changed.notify_all();
        out
    }

    /// One line for a person.
    pub fn message(&self, level: &'static str, text: String) {
        lock(&self.messages).push((level, text));
    }

    /// Something was damaged or lost; the run ends with exit status 1.
    pub fn damage(&self, text: String) {
        self.message("error", text);
    }

    /// Lines since the last call.
    pub fn messages(&self) -> Vec<(&'static str, String)> {
        std::mem::take(&mut lock(&self.messages))
    }

    /// The worker has ended.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Release);
        drop(lock(&self.records));
        self.changed.notify_all();
    }

    /// Asks to read nothing more, and to write what was taken.
    pub fn drain(&self) {
        self.drains.store(true, Ordering::Release);
    }

    /// Whether that was asked.
    #[inline]
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    /// Whether the worker has ended.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Pass, passes, bytes done, bytes in all.
    pub fn progress(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|i: usize| self.progress[i].load(Ordering::Relaxed))
    }

    /// Publishes progress.
    pub fn set_progress(&self, progress: [u64; 4]) {
        for (cell, n) in self.progress.iter().zip(progress) {
            cell.store(n, Ordering::Relaxed);
        }
    }
}
