//! The interfaces of a live line: read on its own thread, or by several readers whose frames come merged.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lc_engine::bpf::Program;
use lc_io::af_packet::{Counters, Event, Fate, Live, Readers, Ring};
use lc_wire::{LinkType, Packet};

use crate::run::{gate, Gate};

/// What to capture from: the rings of each worker, one of every interface.
pub struct Rings {
    /// By worker.
    pub workers: Vec<Vec<Ring>>,
    /// Leave out what another interface showed.
    pub deduplicate: bool,
    /// How long to look for the next frame before a thread sleeps.
    pub spin: Duration,
}

/// The programs of a line, where readers run them.
#[derive(Default)]
pub struct Filters {
    now: Mutex<Arc<Vec<(LinkType, Program)>>>,
    version: AtomicU64,
}

/// One reader's part of what it did not hand on, by source: filtered, unsupported.
pub type LeftOut = (u64, u64);

/// The source of a live line.
pub enum Wire {
    /// One worker: the line reads, and nothing is copied.
    One(Live, Duration),
    /// Several.
    Many { readers: Readers, filters: Arc<Filters>, counted: Vec<LeftOut> },
}

impl Wire {
    /// Starts the readers, where there are several; the calling thread takes the frames.
    pub fn start(rings: Rings, sources: usize, filters: &[(LinkType, Program)]) -> io::Result<Self> {
        let Rings { mut workers, deduplicate, spin } = rings;
        if workers.len() == 1 {
            return Ok(Self::One(Live::new(workers.remove(0), deduplicate), spin));
        }
        let shared = Arc::new(Filters::default());
        *shared.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(filters.to_vec());
        let gates = (0..workers.len()).map(|_| shared.gate()).collect();
        let readers = Readers::start(workers, gates, deduplicate, spin)?;
        Ok(Self::Many { readers, filters: shared, counted: vec![(0, 0); sources] })
    }

    /// The next frame; `None` when none is to be had now.
    #[inline]
    pub fn next(&mut self) -> Option<Packet<'_>> {
        match self {
            Self::One(live, _) => live.next(),
            Self::Many { readers, .. } => readers.next(),
        }
    }

    /// Whether frames come filtered.
    pub fn filters(&self) -> bool {
        matches!(self, Self::Many { .. })
    }

    /// Other programs from now on, where readers run them.
    pub fn set_filters(&mut self, programs: &[(LinkType, Program)]) {
        if let Self::Many { filters, .. } = self {
            *filters.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(programs.to_vec());
            filters.version.fetch_add(1, Ordering::Release);
        }
    }

    /// Waits for frames, up to `limit`.
    pub fn wait(&mut self, limit: Duration) {
        match self {
            Self::One(live, spin) => live.wait(limit, *spin),
            Self::Many { readers, .. } => readers.wait(limit),
        }
    }

    /// How much time went by, ns, since the last frame came over or since the last call.
    pub fn passed(&mut self) -> u64 {
        match self {
            Self::One(live, _) => live.passed(),
            Self::Many { readers, .. } => readers.passed(),
        }
    }

    /// Reads the kernel's counters, sees what happened to interfaces.
    pub fn look(&mut self) {
        if let Self::One(live, _) = self {
            live.look(); // readers look by themselves
        }
    }

    /// The end was asked for: what the kernel has counted by now still comes.
    pub fn ending(&mut self) {
        match self {
            Self::One(live, _) => live.look(),
            Self::Many { readers, .. } => readers.end(),
        }
    }

    /// Nothing more is taken.
    pub fn end(&mut self) {
        if let Self::One(live, _) = self {
            live.end();
        }
    }

    /// Whether everything up to the end was handed out.
    pub fn is_drained(&self) -> bool {
        match self {
            Self::One(live, _) => live.is_drained(),
            Self::Many { readers, .. } => readers.is_drained(),
        }
    }

    /// New sockets for a source.
    pub fn replace(&mut self, rings: Vec<Ring>) {
        match self {
            Self::One(live, _) => live.replace(rings),
            Self::Many { readers, .. } => readers.replace(rings),
        }
    }

    /// Sources whose interface was deleted.
    pub fn deaf(&self) -> Vec<u16> {
        match self {
            Self::One(live, _) => live.deaf(),
            Self::Many { readers, .. } => readers.deaf(),
        }
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        match self {
            Self::One(live, _) => live.take_events(),
            Self::Many { readers, .. } => readers.take_events(),
        }
    }

    /// A source's counters, and what readers left out of it since the last call.
    pub fn counters(&mut self, source: usize) -> (Counters, LeftOut) {
        match self {
            Self::One(live, _) => (live.counters(source), (0, 0)),
            Self::Many { readers, counted, .. } => {
                let (c, filtered, unsupported) = readers.counters(source);
                let (f, u) = std::mem::replace(&mut counted[source], (filtered, unsupported));
                (c, (filtered - f, unsupported - u))
            }
        }
    }

    /// How many quarters of the fullest ring wait to be read, 0 to 3.
    pub fn quarters(&self) -> u8 {
        match self {
            Self::One(live, _) => live.quarters(),
            Self::Many { readers, .. } => readers.quarters(),
        }
    }

    /// Link types that readers met and nobody decodes.
    pub fn links(&self) -> Vec<LinkType> {
        match self {
            Self::One(..) => Vec::new(),
            Self::Many { readers, .. } => readers.links(),
        }
    }

    /// Of each reader: share of a processor in use, batches that wait.
    pub fn readers(&self) -> Vec<(f64, usize)> {
        match self {
            Self::One(..) => Vec::new(),
            Self::Many { readers, .. } => readers.busy().into_iter().zip(readers.depths()).collect(),
        }
    }

    /// Whether a reader has failed; said once.
    pub fn has_failed(&mut self) -> bool {
        match self {
            Self::One(..) => false,
            Self::Many { readers, .. } => readers.has_failed(),
        }
    }
}

impl Filters {
    /// One reader's gate: it takes up other programs at the next frame.
    fn gate(self: &Arc<Self>) -> lc_io::af_packet::Gate {
        let filters = Arc::clone(self);
        let mut version = u64::MAX;
        let mut programs = Arc::new(Vec::new());
        Box::new(move |p| {
            let now = filters.version.load(Ordering::Acquire);
            if now != version {
                version = now;
                programs = Arc::clone(&filters.now.lock().unwrap_or_else(PoisonError::into_inner));
            }
            match gate(&programs, p) {
                Gate::Pass => Fate::Keep,
                Gate::Filtered => Fate::Filtered,
                Gate::Unsupported => Fate::Unsupported,
            }
        })
    }
}
