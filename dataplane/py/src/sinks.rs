//! Where frames end: files and virtual interfaces, as Python describes them and as the worker drives them.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lc_engine::owners::Of;
#[cfg(target_os = "linux")]
use lc_io::call_files::FileStats;
use lc_io::counters::SinkCounters;
use lc_io::interrupt::Interrupt;
use lc_io::pcap_out::{Config as FileConfig, Format, PcapWriter, Rotation, SourceDrops};
use lc_io::tap::{Config, Kind, Report, VifHandle, VifSink as Tap, VifStats};
use lc_wire::{LinkType, Packet};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[cfg(target_os = "linux")]
use crate::call_sink::{CallSink, CallView};
use crate::shared::Shared;

fn held<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor of our own for what Python opened; Python's stays Python's.
#[cfg(unix)]
pub fn file_of(fd: i32) -> PyResult<File> {
    if fd < 0 {
        return Err(PyValueError::new_err(format!("{fd} is no file descriptor")));
    }
    // SAFETY: the descriptor is borrowed only for the duplication; a closed one gives EBADF.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(borrowed.try_clone_to_owned().map(File::from)?)
}

/// Not on this system: Python's descriptors are none of its handles.
#[cfg(not(unix))]
pub fn file_of(_: i32) -> PyResult<File> {
    Err(PyOSError::new_err("captures are read on Unix systems only; use WSL2 or a container"))
}

/// One sink of a line, owned by its worker.
pub enum Sink {
    /// A capture file.
    File { name: String, writer: Box<PcapWriter>, counters: Arc<Mutex<SinkCounters>>, shared: Arc<Shared>, life: Life },
    /// A virtual interface.
    Vif { name: String, tap: Option<Box<Tap>>, handle: VifHandle, shared: Arc<Shared>, life: Life },
    /// A file per call.
    #[cfg(target_os = "linux")]
    Calls(CallSink),
}

/// What ends with a sink: then its figures are the last ones.
pub type Life = Arc<()>;

impl Sink {
    /// Its name in the accounting.
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } | Self::Vif { name, .. } => name,
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => &calls.name,
        }
    }

    /// Gone once it has ended.
    pub fn life(&self) -> Weak<()> {
        match self {
            Self::File { life, .. } | Self::Vif { life, .. } => Arc::downgrade(life),
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => Arc::downgrade(&calls.life),
        }
    }

    /// What others read of it.
    pub fn view(&self) -> SinkView {
        match self {
            Self::File { counters, .. } => SinkView::File(Arc::clone(counters)),
            Self::Vif { handle, .. } => SinkView::Vif(handle.clone()),
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => SinkView::Calls(Arc::clone(&calls.view)),
        }
    }

    /// Takes a packet, whose first `kept` bytes are what files get of it.
    #[inline]
    pub fn offer(&mut self, p: &Packet<'_>, kept: usize, of: Of<'_>) {
        let saved = || Packet { data: &p.data[..kept], ..*p };
        match self {
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => of.owners.iter().for_each(|call| calls.files.write(*call, &saved())),
            _ if of.again => {}
            Self::File { writer, shared, .. } => {
                if let Err(error) = writer.write(&saved()) {
                    shared.damage(error.to_string());
                }
            }
            Self::Vif { tap, .. } => {
                if let Some(tap) = tap {
                    tap.offer(p);
                }
            }
        }
    }

    /// Takes a TLS key log for packets to come; an interface has no place for it.
    pub fn secrets(&mut self, text: &str) {
        if let Self::File { writer, .. } = self {
            writer.secrets(text);
        }
    }

    /// Hands over what an interface has gathered. A file keeps its block.
    pub fn hand_on(&mut self) {
        if let Self::Vif { tap: Some(tap), .. } = self {
            tap.flush();
        }
    }

    /// Publishes what it counts; hands over what an interface has gathered. A file keeps its block.
    pub fn publish(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => calls.publish(),
            Self::File { writer, counters, .. } => *held(counters) = writer.counters(),
            Self::Vif { tap, handle, shared, .. } => {
                if let Some(tap) = tap {
                    tap.flush();
                }
                for report in handle.take_reports() {
                    match report {
                        Report::Warning(text) => shared.message("warning", text),
                        Report::Error(text) => shared.damage(text),
                    }
                }
            }
        }
    }

    /// Writes out what is gathered: the source has nothing more for now.
    pub fn flush(&mut self) {
        if let Self::File { writer, shared, .. } = self {
            if let Err(error) = writer.flush() {
                shared.damage(error.to_string());
            }
        }
        self.publish();
    }

    /// A new round over the input begins.
    pub fn anchor(&mut self) {
        if let Self::Vif { tap: Some(tap), .. } = self {
            tap.anchor();
        }
    }

    /// Ends: all that was taken is written (`drain`) or counted.
    pub fn close(&mut self, drain: bool, lost: &[SourceDrops]) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Calls(calls) => {
                calls.files.close(lost);
                calls.publish();
            }
            Self::File { writer, counters, shared, .. } => {
                if let Err(error) = writer.close(lost) {
                    shared.damage(error.to_string());
                }
                *held(counters) = writer.counters();
            }
            Self::Vif { tap, .. } => {
                if let Some(tap) = tap.take() {
                    let _last = tap.close(drain); // the handle has the same figures
                }
                self.publish();
            }
        }
    }
}

/// A sink as Python's thread sees it.
pub enum SinkView {
    /// A file's counters as of the last batch.
    File(Arc<Mutex<SinkCounters>>),
    /// An interface.
    Vif(VifHandle),
    /// Files of calls.
    #[cfg(target_os = "linux")]
    Calls(CallView),
}

impl SinkView {
    /// Ends its waits.
    pub fn stop(&self) {
        if let Self::Vif(handle) = self {
            handle.stop();
        }
    }

    /// The interface behind it.
    pub fn vif(&self) -> Option<VifHandle> {
        match self {
            Self::Vif(handle) => Some(handle.clone()),
            _ => None,
        }
    }

    /// What it counts now; a removed interface is not up.
    pub fn figures(&self, removed: bool) -> Figures {
        match self {
            Self::File(counters) => Figures::File(*held(counters)),
            #[cfg(target_os = "linux")]
            Self::Calls(view) => {
                let (counters, files) = *held(view);
                Figures::Calls(counters, files)
            }
            Self::Vif(handle) => {
                let stats = handle.stats();
                Figures::Vif(Box::new(VifStats { up: stats.up && !removed, ..stats }))
            }
        }
    }
}

/// What a sink counts.
#[derive(Clone)]
pub enum Figures {
    /// A file.
    File(SinkCounters),
    /// An interface.
    Vif(Box<VifStats>),
    /// Files of calls.
    #[cfg(target_os = "linux")]
    Calls(SinkCounters, FileStats),
}

impl Figures {
    /// The accounting.
    pub fn counters(&self) -> &SinkCounters {
        match self {
            Self::File(counters) => counters,
            #[cfg(target_os = "linux")]
            Self::Calls(counters, _) => counters,
            Self::Vif(stats) => &stats.counters,
        }
    }

    /// With what the earlier sink of the same name had counted.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        match (self, before) {
            (Self::Vif(stats), Self::Vif(before)) => Self::Vif(Box::new(stats.after(before))),
            (Self::File(counters), before) => Self::File(counters.plus(before.counters())),
            (other, _) => other,
        }
    }

    /// For Python.
    pub fn counters_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        sink_dict(py, self.counters())
    }

    /// For Python, of an interface.
    pub fn vif_dict<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self {
            Self::Vif(stats) => vif_dict(py, stats).map(Some),
            _ => Ok(None),
        }
    }

    /// For Python, of files of calls.
    pub fn files_dict<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Calls(_, files) => crate::call_sink::stats_dict(py, files).map(Some),
            _ => {
                let _ = py;
                Ok(None)
            }
        }
    }
}

fn sink_dict<'py>(py: Python<'py>, c: &SinkCounters) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("offered", c.offered)?;
    d.set_item("written", c.written)?;
    d.set_item("queued", c.queued)?;
    let dropped = PyDict::new(py);
    for (reason, n) in c.dropped.iter() {
        dropped.set_item(reason, n)?;
    }
    d.set_item("dropped", dropped)?;
    Ok(d)
}

fn vif_dict<'py>(py: Python<'py>, s: &VifStats) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("injected_packets", s.counters.written)?;
    d.set_item("injected_bytes", s.injected_bytes)?;
    let errors = PyDict::new(py);
    for (reason, n) in s.errors() {
        errors.set_item(reason, n)?;
    }
    d.set_item("errors", errors)?;
    d.set_item("utilization", s.utilization)?;
    d.set_item("up", s.up)?;
    d.set_item("oversize", s.oversize)?;
    let latency = PyDict::new(py);
    latency.set_item("buckets", s.latency.cumulative().collect::<Vec<_>>())?;
    latency.set_item("sum", s.latency.sum)?;
    latency.set_item("count", s.latency.count)?;
    d.set_item("latency", latency)?;
    Ok(d)
}

/// A capture file to write: an open descriptor, or the path of a rotating set.
#[pyclass(module = "lippycatd._dataplane", frozen)]
pub struct FileSink {
    name: String,
    fd: Option<i32>,
    path: Option<String>,
    format: Format,
    rotation: Rotation,
    comment: String,
}

#[pymethods]
impl FileSink {
    #[new]
    #[pyo3(signature = (*, name, fd=None, path=None, format="pcap", rotate_size=0, rotate_seconds=0, rotate_count=0,
        comment=String::new()))]
    #[allow(clippy::too_many_arguments)] // keyword arguments: one description
    fn new(
        name: String,
        fd: Option<i32>,
        path: Option<String>,
        format: &str,
        rotate_size: u64,
        rotate_seconds: u64,
        rotate_count: u32,
        comment: String,
    ) -> PyResult<Self> {
        let format = match format {
            "pcap" => Format::Pcap,
            "pcapng" => Format::Pcapng,
            other => return Err(PyValueError::new_err(format!("unknown format {other}: pcap or pcapng"))),
        };
        if fd.is_some() == path.is_some() {
            return Err(PyValueError::new_err("a file sink has a descriptor or a path"));
        }
        let rotation = Rotation { size: rotate_size, seconds: rotate_seconds, count: rotate_count };
        Ok(Self { name, fd, path, format, rotation, comment })
    }
}

impl FileSink {
    /// Opens it for a line whose sources have these names.
    pub fn open(&self, sources: &[String], shared: &Arc<Shared>) -> PyResult<Sink> {
        let config = FileConfig {
            name: self.name.clone(),
            format: self.format,
            comment: self.comment.clone(),
            sources: sources.to_vec(),
            link: LinkType::ETHERNET,
        };
        let stop: &Interrupt = &shared.stop;
        let writer = match (&self.fd, &self.path) {
            (Some(fd), _) => PcapWriter::to_file(file_of(*fd)?, config, stop),
            (_, Some(path)) => PcapWriter::to_path(Path::new(path), self.rotation, config, stop),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a file sink has a descriptor or a path")),
        };
        let writer = Box::new(writer.map_err(|e| PyOSError::new_err(e.to_string()))?);
        let counters = Arc::new(Mutex::new(writer.counters()));
        let (name, shared) = (format!("file:{}", self.name), Arc::clone(shared));
        Ok(Sink::File { name, writer, counters, shared, life: Life::default() })
    }
}

/// A TAP or TUN device with its queue and its writing thread; without a descriptor frames are dropped as `gone` until
/// one comes (`Line.replace_vif`).
#[pyclass(module = "lippycatd._dataplane", frozen)]
pub struct VifSink {
    name: String,
    tap: Mutex<Option<Tap>>,
    handle: VifHandle,
}

#[pymethods]
impl VifSink {
    #[new]
    #[pyo3(signature = (*, name, kind, mtu, buffer_size, fd=None, replay_timing=false, replay_speed=1.0,
        rate_limit=0, rate_burst=0, blocking=true, direct=false))]
    #[allow(clippy::too_many_arguments)] // keyword arguments: one description
    fn new(
        name: String,
        kind: &str,
        mtu: u32,
        buffer_size: u64,
        fd: Option<i32>,
        replay_timing: bool,
        replay_speed: f64,
        rate_limit: u64,
        rate_burst: u64,
        blocking: bool,
        direct: bool,
    ) -> PyResult<Self> {
        let kind = match kind {
            "tap" => Kind::Tap,
            "tun" => Kind::Tun,
            other => return Err(PyValueError::new_err(format!("unknown interface type {other}: tap or tun"))),
        };
        let config = Config {
            name: name.clone(),
            kind,
            mtu,
            buffer_size,
            replay_timing,
            replay_speed,
            rate_limit,
            rate_burst,
            blocking,
            direct,
        };
        let tap = Tap::new(fd.map(file_of).transpose()?, &config).map_err(|e| PyValueError::new_err(e.to_string()))?;
        let handle = tap.handle();
        Ok(Self { name, tap: Mutex::new(Some(tap)), handle })
    }

    /// Puts frames on the interface, in order; gives how many were taken. Raises ValueError after close.
    #[pyo3(signature = (frames, timestamps_ns=None, link=1))]
    fn inject(
        &self,
        py: Python<'_>,
        frames: Vec<Vec<u8>>,
        timestamps_ns: Option<Vec<u64>>,
        link: u16,
    ) -> PyResult<usize> {
        if timestamps_ns.as_ref().is_some_and(|t| t.len() != frames.len()) {
            return Err(PyValueError::new_err("there must be one timestamp for each frame"));
        }
        py.detach(|| {
            let mut tap = held(&self.tap);
            let Some(tap) = tap.as_mut() else { return Err(PyValueError::new_err("the interface is closed")) };
            for (number, data) in (1..).zip(&frames) {
                let ts = timestamps_ns.as_ref().map_or(0, |t| t[usize::try_from(number - 1).unwrap_or(0)]);
                let orig_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                tap.offer(&Packet { ts, number, orig_len, source: 0, link: LinkType(link), data });
            }
            tap.flush();
            Ok(frames.len())
        })
    }

    /// Counters now, in one snapshot.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.handle.stats();
        let d = vif_dict(py, &stats)?;
        d.update(sink_dict(py, &stats.counters)?.as_mapping())?;
        Ok(d)
    }

    /// Ends: writes what is queued (`drain`) or drops it as `stopped`; gives the last counters.
    #[pyo3(signature = (drain=true))]
    fn close<'py>(&self, py: Python<'py>, drain: bool) -> PyResult<Bound<'py, PyDict>> {
        py.detach(|| held(&self.tap).take().map(|tap| tap.close(drain)));
        self.stats(py)
    }
}

impl VifSink {
    /// Hands the device over to a line.
    pub fn hand_over(&self, shared: &Arc<Shared>) -> PyResult<Sink> {
        let tap = held(&self.tap).take();
        let tap = tap.ok_or_else(|| PyValueError::new_err("the interface is closed, or another line has it"))?;
        let (name, handle) = (format!("vif:{}", self.name), self.handle.clone());
        let (tap, shared) = (Some(Box::new(tap)), Arc::clone(shared));
        Ok(Sink::Vif { name, tap, handle, shared, life: Life::default() })
    }
}
