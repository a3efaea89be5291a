//! A file per call, as Python describes it and as the worker drives it.

use std::sync::{Arc, Mutex, PoisonError};

use lc_engine::owners::{Began, News};
use lc_io::call_files::{CallFiles, Config, FileStats, Finished, Named, Pattern, Retain};
use lc_io::counters::SinkCounters;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{seconds, text};
use crate::shared::{Shared, Told};
use crate::sinks::{Life, Sink};

/// Files of calls below an open directory.
#[pyclass(module = "lippycatd._dataplane", frozen)]
pub struct CallFilesSink {
    name: String,
    fd: i32,
    pattern: Pattern,
    open: usize,
    retain: Retain,
    grace: u64,
}

/// Checks a pattern of names. Raises ValueError with one line.
#[pyfunction]
pub fn check_name_pattern(pattern: &str) -> PyResult<()> {
    Pattern::new(pattern).map(drop).map_err(PyValueError::new_err)
}

#[pymethods]
impl CallFilesSink {
    #[new]
    #[pyo3(signature = (*, name, fd, pattern, max_open=256, retain_bytes=0, retain_seconds=0, grace_ns=5_000_000_000))]
    fn new(
        name: String,
        fd: i32,
        pattern: &str,
        max_open: usize,
        retain_bytes: u64,
        retain_seconds: u64,
        grace_ns: u64,
    ) -> PyResult<Self> {
        let pattern = Pattern::new(pattern).map_err(PyValueError::new_err)?;
        let retain = Retain { bytes: retain_bytes, seconds: retain_seconds };
        Ok(Self { name, fd, pattern, open: max_open, retain, grace: grace_ns })
    }
}

/// What others read of it.
pub type CallView = Arc<Mutex<(SinkCounters, FileStats)>>;

/// The sink on its line.
pub struct CallSink {
    pub name: String,
    pub files: Box<CallFiles>,
    pub view: CallView,
    pub shared: Arc<Shared>,
    pub life: Life,
}

impl CallFilesSink {
    /// Makes it ready for a line whose sources have these names.
    pub fn open(&self, sources: &[String], shared: &Arc<Shared>) -> PyResult<Sink> {
        let config = Config {
            name: self.name.clone(),
            root: crate::sinks::file_of(self.fd)?.into(),
            pattern: self.pattern.clone(),
            sources: sources.to_vec(),
            open: self.open,
            retain: self.retain,
            grace: self.grace,
        };
        let files = Box::new(CallFiles::new(config).map_err(|e| PyOSError::new_err(e.to_string()))?);
        let (name, shared) = (format!("calls:{}", self.name), Arc::clone(shared));
        Ok(Sink::Calls(CallSink { name, files, view: CallView::default(), shared, life: Life::default() }))
    }
}

impl CallSink {
    /// Publishes what it counts, tells what became of files.
    pub fn publish(&mut self) {
        self.files.flush();
        let (files, errors) = self.files.take_news();
        errors.into_iter().for_each(|e| self.shared.damage(e));
        if !files.is_empty() {
            self.shared.tell(files.into_iter().map(Told::File));
        }
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = (self.files.counters(), self.files.stats());
    }

    /// What happened to calls, at packet time `now`.
    pub fn hear(&mut self, news: &[News], now: u64) {
        for news in news {
            match news {
                News::Began(b) => self.files.begin(b.call, named(b), None),
                News::Ended(call) => self.files.ended(*call, now),
            }
        }
    }
}

/// What a call's file is named after.
pub fn named(b: &Began) -> Named<'_> {
    Named { ts: b.ts, from: &b.users[0], to: &b.users[1], id: &b.id }
}

/// The record of a file that is complete.
pub fn record<'py>(py: Python<'py>, f: &Finished) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("type", "file")?;
    d.set_item("ts", seconds(f.times.1))?;
    d.set_item("call_id", text(&f.id))?;
    d.set_item("file", &f.name)?;
    d.set_item("start", seconds(f.times.0.min(f.times.1)))?;
    d.set_item("end", seconds(f.times.1))?;
    d.set_item("packets", f.packets)?;
    d.set_item("bytes", f.bytes)?;
    Ok(d)
}

/// Counters of files.
pub fn stats_dict<'py>(py: Python<'py>, s: &FileStats) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("active", s.active)?;
    d.set_item("open", s.open.0)?;
    d.set_item("most_open", s.open.1)?;
    d.set_item("finished", s.finished)?;
    d.set_item("failed", s.failed)?;
    d.set_item("removed_for_size", s.removed.0)?;
    d.set_item("removed_for_age", s.removed.1)?;
    Ok(d)
}
