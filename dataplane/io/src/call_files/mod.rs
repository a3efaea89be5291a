//! One capture file for each call.
//!
//! A file grows under its name with `.part` behind; when nothing more can come of the call, it is brought to the disk and
//! gets its name. What a call gathers is written when it is much, or old, or when all calls together have gathered too
//! much; so many files are open at once, the others are opened again when their turn comes. A file that could not take
//! all of its call (a full disk) ends at a whole record and keeps `.part`.

mod finish;
mod name;
mod tree;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use lc_wire::{LinkType, Packet};

use crate::counters::{DropReason, SinkCounters};
use crate::pcap_out::layout::Layout;
use crate::pcap_out::output::Failure;
use crate::pcap_out::{Config as Contents, Format, SourceDrops};
use finish::Finisher;
use tree::Tree;

pub use finish::Retain;
pub use name::{Named, Pattern};

/// What a file's name ends with while it is not complete.
pub const PART: &str = ".part";
/// Bytes that one call gathers.
const BLOCK: usize = 64 << 10;
/// Bytes that all calls gather together.
const GATHERED: usize = 32 << 20;
/// How long a packet may wait to be written while nothing else asks for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Buffers kept for the next call.
const SPARE: usize = 64;
/// Names whose last number is remembered.
const NAMES: usize = 4096;
/// Numbers tried for a name that others have.
const TRIES: u32 = 40;

/// Where files go, and how.
pub struct Config {
    /// What messages call the sink.
    pub name: String,
    /// The directory; nothing outside of it is touched.
    pub root: OwnedFd,
    /// Names in it.
    pub pattern: Pattern,
    /// Names of the sources by [`Packet::source`].
    pub sources: Vec<String>,
    /// Files open at once, at least 2.
    pub open: usize,
    /// Which files stay.
    pub retain: Retain,
    /// How long after a call's end its file waits for late packets, ns of packet time.
    pub grace: u64,
}

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Below the directory.
    pub name: String,
    /// Call-ID.
    pub id: Box<[u8]>,
    /// Packets in it.
    pub packets: u64,
    /// Its size.
    pub bytes: u64,
    /// Capture time of its first and its last packet, ns.
    pub times: (u64, u64),
}

/// Counters of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStats {
    /// Calls that are being written.
    pub active: u64,
    /// Files open now, and at most so far.
    pub open: (u64, u64),
    /// Files that are complete.
    pub finished: u64,
    /// Files that lack something, or could not get their name.
    pub failed: u64,
    /// Old files that were removed: for the bytes, for their age.
    pub removed: (u64, u64),
}

struct CallFile {
    id: Box<[u8]>,
    ends: [Box<[u8]>; 2],
    ts: u64,
    /// Its name; none before its first packet.
    name: Option<String>,
    layout: Layout,
    buffer: Vec<u8>,
    /// Packets in the buffer.
    pending: u64,
    packets: u64,
    /// Bytes of whole records in the file.
    size: u64,
    times: (u64, u64),
    /// Packets that are still to come, where that is known.
    left: Option<u64>,
    open: Option<(File, u64)>,
    failed: Option<DropReason>,
}

/// The files.
pub struct CallFiles {
    name: String,
    pattern: Pattern,
    contents: Arc<Contents>,
    tree: Tree,
    finisher: Finisher,
    limit: usize,
    grace: u64,
    calls: HashMap<u32, CallFile>,
    /// When calls that ended are finished, packet time.
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// Calls with something in their buffers, in the order in which that began.
    gathering: VecDeque<(Instant, u32)>,
    gathered: usize,
    /// Calls with an open file, by the turn in which they were used.
    open: BTreeMap<u64, u32>,
    most_open: u64,
    turn: u64,
    spare: Vec<Vec<u8>>,
    numbers: HashMap<String, u32>,
    /// Names of finished files of a line that is told the calls beforehand: their records may come later.
    done: HashMap<u32, String>,
    counters: SinkCounters,
    failed: u64,
    /// Whether the present trouble was told.
    troubled: Option<DropReason>,
    errors: Vec<String>,
}

impl CallFiles {
    /// Ready for calls.
    ///
    /// # Errors
    /// The thread that ends files cannot be started.
    pub fn new(config: Config) -> io::Result<Self> {
        let format = if config.pattern.is_pcapng() { Format::Pcapng } else { Format::Pcap };
        let contents = Contents {
            name: config.name.clone(),
            format,
            comment: "written by lippycat".to_owned(),
            sources: config.sources,
            link: LinkType::ETHERNET,
        };
        let tree = Tree::new(config.root);
        let finisher = Finisher::start(tree.try_clone()?, config.pattern.clone(), config.retain)?;
        Ok(Self {
            name: config.name,
            pattern: config.pattern,
            contents: Arc::new(contents),
            tree,
            finisher,
            limit: config.open.max(2) - 1, // one is the finisher's
            grace: config.grace,
            calls: HashMap::new(),
            ends: BinaryHeap::new(),
            gathering: VecDeque::new(),
            gathered: 0,
            open: BTreeMap::new(),
            most_open: 0,
            turn: 0,
            spare: Vec::new(),
            numbers: HashMap::new(),
            done: HashMap::new(),
            counters: SinkCounters::default(),
            failed: 0,
            troubled: None,
            errors: Vec::new(),
        })
    }

    /// Packets of this call may come; `left`: so many, where that is known.
    pub fn begin(&mut self, call: u32, named: Named<'_>, left: Option<u64>) {
        let file = CallFile {
            id: named.id.into(),
            ends: [named.from.into(), named.to.into()],
            ts: named.ts,
            name: None,
            layout: Layout::new(Arc::clone(&self.contents)),
            buffer: Vec::new(),
            pending: 0,
            packets: 0,
            size: 0,
            times: (u64::MAX, 0),
            left,
            open: None,
            failed: None,
        };
        self.calls.insert(call, file);
    }

    /// The call ended at packet time `now`.
    pub fn ended(&mut self, call: u32, now: u64) {
        self.ends.push(Reverse((now.saturating_add(self.grace), call)));
    }

    /// Packet time moved on: files whose calls are over are finished.
    pub fn pass(&mut self, now: u64) {
        while let Some(Reverse((_, call))) = self.ends.peek().copied().filter(|e| e.0 .0 <= now) {
            self.ends.pop();
            self.finish(call);
        }
    }

    /// The name of a call's file, below the directory, once it has one.
    #[must_use]
    pub fn file_of(&self, call: u32) -> Option<&str> {
        self.calls.get(&call).map_or_else(|| self.done.get(&call).map(String::as_str), |c| c.name.as_deref())
    }

    /// Takes one packet of a call.
    pub fn write(&mut self, call: u32, p: &Packet<'_>) {
        self.counters.offered += 1;
        let Some(c) = self.calls.get_mut(&call) else {
            self.counters.dropped.add(DropReason::Closed, 1); // it came after the file's end
            return;
        };
        let over = c.left.as_mut().is_some_and(|left| {
            *left = left.saturating_sub(1);
            *left == 0
        });
        self.put(call, p);
        if over {
            self.finish(call);
        }
    }

    fn put(&mut self, call: u32, p: &Packet<'_>) {
        if self.calls.get(&call).is_some_and(|c| c.name.is_none() && c.failed.is_none()) {
            self.create(call);
        }
        let Some(c) = self.calls.get_mut(&call) else { return };
        if let Some(reason) = c.failed {
            self.counters.dropped.add(reason, 1);
            return;
        }
        let before = c.buffer.len();
        if c.pending == 0 {
            self.gathering.push_back((Instant::now(), call));
        }
        if c.buffer.capacity() == 0 {
            c.buffer = self.spare.pop().unwrap_or_default();
        }
        if let Err(reason) = c.layout.packet(&mut c.buffer, p) {
            self.counters.dropped.add(reason, 1);
            return;
        }
        (c.pending, c.packets) = (c.pending + 1, c.packets + 1);
        c.times = (c.times.0.min(p.ts), c.times.1.max(p.ts));
        self.counters.queued += 1;
        self.gathered += c.buffer.len() - before;
        if c.buffer.len() >= BLOCK {
            self.flush_one(call);
        }
        while self.gathered > GATHERED {
            let Some((_, first)) = self.gathering.pop_front() else { break };
            self.flush_one(first);
        }
    }

    /// Gives a call its name, and makes its file.
    fn create(&mut self, call: u32) {
        let Some(c) = self.calls.get(&call) else { return };
        let (id, [from, to], ts) = (c.id.clone(), c.ends.clone(), c.ts);
        let named = Named { ts, from: &from, to: &to, id: &id };
        let base = self.pattern.name(named, 1);
        let mut n = self.numbers.get(&base).map_or(1, |n| n + 1);
        for attempt in 0..TRIES {
            let name = self.pattern.name(named, n);
            match self.make(call, &name) {
                Ok(()) => {
                    self.number(base, n);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    n = n.saturating_add(1 << (attempt / 2).min(24)); // earlier runs may have left many
                }
                Err(error) => return self.fail(call, 0, &Failure { written: 0, error }),
            }
        }
        self.fail(call, 0, &Failure { written: 0, error: io::ErrorKind::AlreadyExists.into() });
    }

    fn number(&mut self, base: String, n: u32) {
        if self.numbers.len() >= NAMES {
            self.numbers.clear();
        }
        self.numbers.insert(base, n);
    }

    fn make(&mut self, call: u32, name: &str) -> io::Result<()> {
        if self.tree.exists(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.make_room();
        let file = self.tree.create(&format!("{name}{PART}"))?;
        self.opened(call, file);
        if let Some(c) = self.calls.get_mut(&call) {
            c.name = Some(name.to_owned());
            c.layout.begin(&mut c.buffer);
            self.gathered += c.buffer.len();
        }
        Ok(())
    }

    /// Closes what was not used for longest, while too many are open.
    fn make_room(&mut self) {
        while self.open.len() >= self.limit {
            let Some((_, call)) = self.open.pop_first() else { return };
            if let Some(c) = self.calls.get_mut(&call) {
                c.open = None;
            }
        }
    }

    fn opened(&mut self, call: u32, file: File) {
        self.turn += 1;
        self.open.insert(self.turn, call);
        self.most_open = self.most_open.max(self.open.len() as u64);
        if let Some(c) = self.calls.get_mut(&call) {
            c.open = Some((file, self.turn));
        }
    }

    /// Has the call's file open.
    fn ready(&mut self, call: u32) -> io::Result<()> {
        let Some(c) = self.calls.get_mut(&call) else { return Ok(()) };
        if let Some((_, turn)) = &mut c.open {
            self.open.remove(turn);
            self.turn += 1;
            *turn = self.turn;
            self.open.insert(self.turn, call);
            return Ok(());
        }
        let part = format!("{}{PART}", c.name.as_deref().unwrap_or_default());
        self.make_room();
        let file = self.tree.append(&part)?;
        self.opened(call, file);
        Ok(())
    }

    /// Writes what a call has gathered.
    fn flush_one(&mut self, call: u32) {
        if self.calls.get(&call).is_none_or(|c| c.buffer.is_empty() || c.failed.is_some()) {
            return;
        }
        let ready = self.ready(call);
        let Some(c) = self.calls.get_mut(&call) else { return };
        let result = match (ready, &mut c.open) {
            (Ok(()), Some((file, _))) => write_all(file, &c.buffer),
            (Err(error), _) => Err(Failure { written: 0, error }),
            (Ok(()), None) => Ok(()),
        };
        let (bytes, packets) = match &result {
            Ok(()) => (c.buffer.len(), c.pending),
            Err(failure) => c.layout.whole(&c.buffer, failure.written, c.size == 0),
        };
        c.size += bytes as u64;
        let lost = c.pending - packets;
        self.counters.written += packets;
        self.counters.queued -= c.pending;
        c.pending = 0;
        self.gathered -= c.buffer.len();
        let mut buffer = std::mem::take(&mut c.buffer);
        buffer.clear();
        if self.spare.len() < SPARE && buffer.capacity() <= 2 * BLOCK {
            self.spare.push(buffer);
        }
        match result {
            Ok(()) => self.troubled = None,
            Err(failure) => self.fail(call, lost, &failure),
        }
    }

    /// A file takes no more: it ends at its last whole record.
    fn fail(&mut self, call: u32, lost: u64, failure: &Failure) {
        let reason = failure.reason();
        self.counters.dropped.add(reason, lost);
        let Some(c) = self.calls.get_mut(&call) else { return };
        (c.failed, c.packets) = (Some(reason), c.packets - lost);
        self.failed += 1;
        let cut = c.open.as_ref().map_or(Ok(()), |(file, _)| file.set_len(c.size));
        let torn = cut.err().map_or(String::new(), |error| format!("; its last record is torn ({error})"));
        if self.troubled != Some(reason) {
            self.troubled = Some(reason);
            let name = c.name.as_deref().unwrap_or("a call's file");
            self.errors.push(format!(
                "{}: {name}{PART}: {}; what is not written is counted as {}{torn}",
                self.name,
                failure.error,
                reason.as_str()
            ));
        }
    }

    /// Nothing more comes for a call.
    fn finish(&mut self, call: u32) {
        if let Some(c) = self.calls.get_mut(&call) {
            if c.name.is_some() && c.failed.is_none() {
                let before = c.buffer.len();
                c.layout.end(&mut c.buffer);
                self.gathered += c.buffer.len() - before;
            }
        }
        self.flush_one(call);
        let Some(c) = self.calls.remove(&call) else { return };
        if let Some((_, turn)) = c.open {
            self.open.remove(&turn);
        }
        if let (Some(name), Some(_)) = (&c.name, c.left) {
            self.done.insert(call, name.clone());
        }
        if let (Some(name), None) = (c.name, c.failed) {
            self.finisher.finish(Finished { name, id: c.id, packets: c.packets, bytes: c.size, times: c.times });
        }
    }

    /// Writes what has waited for long.
    pub fn flush(&mut self) {
        while let Some((since, call)) = self.gathering.front().copied() {
            if since.elapsed() < PATIENCE {
                break;
            }
            self.gathering.pop_front();
            self.flush_one(call);
        }
    }

    /// Finishes every file, and waits until the disk has them.
    pub fn close(&mut self, _: &[SourceDrops]) {
        let mut all: Vec<u32> = self.calls.keys().copied().collect();
        all.sort_unstable();
        all.into_iter().for_each(|call| self.finish(call));
        self.finisher.end();
    }

    /// The accounting at this moment: one for each packet and call.
    #[must_use]
    pub fn counters(&self) -> SinkCounters {
        self.counters
    }

    /// Counters of files.
    #[must_use]
    pub fn stats(&self) -> FileStats {
        let [finished, failed, size, age] =
            [0, 1, 2, 3].map(|i: usize| self.finisher.ended.counts[i].load(Ordering::Relaxed));
        FileStats {
            active: self.calls.len() as u64,
            open: (self.open.len() as u64, self.most_open),
            finished,
            failed: failed + self.failed,
            removed: (size, age),
        }
    }

    /// Files that were finished, and lines about what went wrong, since the last call.
    pub fn take_news(&mut self) -> (Vec<Finished>, Vec<String>) {
        let ended = &self.finisher.ended;
        let files = std::mem::take(&mut *ended.files.lock().unwrap_or_else(PoisonError::into_inner));
        let mut errors = std::mem::take(&mut self.errors);
        errors.append(&mut ended.errors.lock().unwrap_or_else(PoisonError::into_inner));
        (files, errors)
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn write_all(file: &mut File, bytes: &[u8]) -> Result<(), Failure> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return Err(Failure { written, error: io::ErrorKind::WriteZero.into() }),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure { written, error }),
        }
    }
    Ok(())
}
