//! What changes while a line runs: Python leaves it here, the worker takes it at a batch boundary, whole.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lc_engine::bpf::Program;
use lc_engine::select::Selection;
#[cfg(target_os = "linux")]
use lc_io::af_packet::Ring;
use lc_wire::LinkType;

use crate::sinks::Sink;

/// One change of a running line; what is `None` or empty stays as it is.
#[derive(Default)]
pub struct Change {
    /// Other selectors.
    pub selection: Option<Selection>,
    /// Other programs by link type.
    pub filters: Option<Vec<(LinkType, Program)>>,
    /// New sockets, each source's together.
    #[cfg(target_os = "linux")]
    pub rings: Vec<Vec<Ring>>,
    /// Sinks from now on.
    pub add: Vec<Sink>,
    /// Names of sinks that end.
    pub remove: Vec<String>,
}

/// Changes on their way to the worker.
#[derive(Default)]
pub struct Mailbox {
    waiting: Mutex<Vec<Change>>,
    some: AtomicBool,
    left: AtomicU64,
    done: AtomicU64,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a change; gives its number, from 1.
    pub fn leave(&self, change: Change) -> u64 {
        let mut waiting = self.lock();
        waiting.push(change);
        self.some.store(true, Ordering::Release);
        self.left.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether there is something; one load.
    #[inline]
    pub fn waits(&self) -> bool {
        self.some.load(Ordering::Acquire)
    }

    /// Takes what is there, in order.
    pub fn take(&self) -> Vec<Change> {
        let mut waiting = self.lock();
        self.some.store(false, Ordering::Release);
        std::mem::take(&mut *waiting)
    }

    /// So many more are in force.
    pub fn did(&self, n: usize) {
        self.done.fetch_add(n as u64, Ordering::AcqRel);
    }

    /// The number of the last change that is in force.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }
}
