//! The end of files: on the disk, then under their names; and the end of old ones. On a thread of its own, because a
//! disk takes its time.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::name::Pattern;
use super::tree::{Found, Tree};
use super::{Finished, PART};
use crate::thread;

/// Files that wait for their end before the writer waits.
const QUEUE: usize = 4096;
/// Files whose names are made lasting together.
const BATCH: usize = 64;
/// Between two looks at the age of files.
const LOOK: Duration = Duration::from_secs(10);
/// Names tried when another program took the one that was meant.
const TRIES: u32 = 32;

/// Which files stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// Bytes of all files together; 0: no limit.
    pub bytes: u64,
    /// Seconds since they were written last; 0: no limit.
    pub seconds: u64,
}

/// What the thread counts.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Finished, failed, removed for size, removed for age.
    pub counts: [AtomicU64; 4],
    /// To be told.
    pub files: Mutex<Vec<Finished>>,
    /// One line each.
    pub errors: Mutex<Vec<String>>,
    /// Names of finished files, bytes on the disk.
    pub kept: [AtomicU64; 2],
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ended {
    pub fn count(&self, at: usize) {
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }

    fn error(&self, text: String) {
        let mut errors = lock(&self.errors);
        if errors.len() < 64 {
            errors.push(text);
        }
    }
}

/// The thread.
pub(super) struct Finisher {
    queue: Option<SyncSender<Finished>>,
    thread: Option<JoinHandle<()>>,
    pub ended: Arc<Ended>,
}

impl Finisher {
    pub fn start(tree: Tree, pattern: Pattern, retain: Retain) -> io::Result<Self> {
        let ended = Arc::new(Ended::default());
        let (queue, jobs) = sync_channel(QUEUE);
        let mut work = Work { tree, pattern, retain, ended: Arc::clone(&ended), known: BTreeSet::new(), bytes: 0 };
        let thread = thread::spawn("lc-files", move || work.run(&jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), ended })
    }

    /// A file is written; waits while too many wait.
    pub fn finish(&self, file: Finished) {
        if let Some(queue) = &self.queue {
            if queue.send(file).is_err() {
                self.ended.count(1);
            }
        }
    }

    /// Waits for all of them.
    pub fn end(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                self.ended.error("the thread that ends files has failed: this is a fault of lippycatd".to_owned());
            }
        }
    }
}

struct Work {
    tree: Tree,
    pattern: Pattern,
    retain: Retain,
    ended: Arc<Ended>,
    /// Files that may have to go, the oldest first.
    known: BTreeSet<Found>,
    bytes: u64,
}

impl Work {
    fn run(&mut self, jobs: &Receiver<Finished>) {
        let retains = self.retain != Retain::default();
        if retains {
            for found in self.tree.list(self.pattern.depth()) {
                if self.pattern.matches(&found.name) {
                    self.know(found);
                }
            }
            self.make_room();
        }
        loop {
            let mut batch = Vec::new();
            match jobs.recv_timeout(LOOK) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            batch.extend(jobs.try_iter().take(BATCH - 1));
            self.finish(batch);
            if retains {
                self.make_room();
            }
        }
    }

    fn know(&mut self, found: Found) {
        self.bytes += found.size;
        self.known.insert(found);
        self.tell();
    }

    fn tell(&self) {
        self.ended.kept[0].store(self.known.len() as u64, Ordering::Relaxed);
        self.ended.kept[1].store(self.bytes, Ordering::Relaxed);
    }

    /// On the disk, named, and the names on the disk: only then is a file finished.
    fn finish(&mut self, batch: Vec<Finished>) {
        let mut named: Vec<Finished> = Vec::new();
        for mut file in batch {
            match self.name(&mut file) {
                Ok(()) => named.push(file),
                Err(error) => {
                    self.ended.count(1);
                    self.ended.error(format!("{}{PART}: cannot be finished: {error}", file.name));
                }
            }
        }
        let mut synced: Vec<&str> = Vec::new();
        for file in &named {
            let directory = file.name.rsplit_once('/').map_or("", |(d, _)| d);
            if !synced.contains(&directory) {
                synced.push(directory);
                if let Err(error) = self.tree.sync(&file.name) {
                    self.ended.error(format!("{}: its name may be lost with the power: {error}", file.name));
                }
            }
        }
        for file in named {
            if self.retain != Retain::default() {
                self.know(Found { modified: now(), name: file.name.clone(), size: file.bytes });
            }
            self.ended.count(0);
            lock(&self.ended.files).push(file);
        }
    }

    fn name(&mut self, file: &mut Finished) -> io::Result<()> {
        let part = format!("{}{PART}", file.name);
        self.tree.append(&part)?.sync_all()?;
        let (stem, extension) = file.name.rsplit_once('.').unwrap_or((&file.name, ""));
        let (stem, extension) = (stem.to_owned(), extension.to_owned());
        for n in 2..TRIES {
            match self.tree.rename(&part, &file.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    file.name = format!("{stem}~x{n}.{extension}");
                }
                other => return other,
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes the oldest files while there are too many bytes, and those that are too old.
    fn make_room(&mut self) {
        let Retain { bytes, seconds } = self.retain;
        while let Some(oldest) = self.known.first() {
            let full = bytes > 0 && self.bytes > bytes;
            let old = seconds > 0 && now() - oldest.modified > i64::try_from(seconds).unwrap_or(i64::MAX);
            if !full && !old {
                break;
            }
            let Some(oldest) = self.known.pop_first() else { break };
            self.bytes -= oldest.size;
            match self.tree.remove(&oldest.name) {
                Ok(()) => self.ended.count(if full { 2 } else { 3 }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.ended.error(format!("{}: cannot be removed: {error}", oldest.name)),
            }
        }
        self.tell();
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
