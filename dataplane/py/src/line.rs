//! `Line`: one pipeline as Python sees it. Python describes, starts and polls; packets never come here one by one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use lc_engine::bpf::{Instruction, Program};
use lc_engine::pool::Strategy;
use lc_engine::select::{Class, Selection, VOIP};
use lc_engine::stream::Measure;
use lc_engine::tcp::Limits;
use lc_engine::trunks::Trunks;
#[cfg(target_os = "linux")]
use lc_io::af_packet::Ring;
use lc_io::files::Input;
use lc_io::merge::Merged;
use lc_io::tap::VifHandle;
use lc_proto::tls::KeyLog;
use lc_proto::users::{Backend, Patterns};
use lc_wire::LinkType;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

#[cfg(target_os = "linux")]
use crate::call_sink::CallFilesSink;
use crate::control::Change;
use crate::convert;
use crate::kpi;
use crate::live_input::LiveInput;
use crate::run::{Records, Spec, Worker};
use crate::shared::Shared;
use crate::sinks::{FileSink, Sink, VifSink};
use crate::views::Views;
#[cfg(target_os = "linux")]
use crate::wire::Rings;

type Instructions = Vec<(u16, u8, u8, u32)>;

/// One pipeline, run by threads of the core; Python only polls.
#[pyclass(module = "lippycatd._dataplane", frozen)]
pub struct Line {
    names: Vec<String>,
    shown: convert::Shown,
    trunks: Vec<String>,
    shared: Arc<Shared>,
    views: Mutex<Views>,
    /// Whether selectors, and whether filters and sinks can change while it runs.
    hot: (bool, bool),
    matcher: Backend,
    voip: bool,
    worker: Mutex<Option<Worker>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn value<E: std::fmt::Display>(e: E) -> PyErr {
    PyValueError::new_err(e.to_string())
}

fn held<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The classes that protocol names stand for.
fn classes(protocols: &[String], voip: bool) -> PyResult<u8> {
    let mut bits = 0;
    for p in protocols {
        bits |= match p.as_str() {
            "sip" => Class::Sip as u8,
            "rtp" => Class::Rtp as u8,
            "rtcp" => Class::Rtcp as u8,
            "voip" => VOIP,
            other => return Err(PyValueError::new_err(format!("unknown protocol {other}: sip, rtp, rtcp or voip"))),
        };
    }
    Ok(if bits == 0 && voip { VOIP } else { bits })
}

/// The matcher that `--gpu-backend` chooses.
fn backend(matcher: &str) -> PyResult<Backend> {
    match matcher {
        "auto" | "cpu-simd" => Ok(Backend::CpuSimd),
        "disabled" => Ok(Backend::Disabled),
        other => Err(PyValueError::new_err(format!("unknown matcher {other}: auto, cpu-simd or disabled"))),
    }
}

/// Sources of one name are told apart in the accounting.
fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        let mut candidate = name.clone();
        let mut n = 1;
        while out.contains(&candidate) {
            n += 1;
            candidate = format!("{name}#{n}");
        }
        out.push(candidate);
    }
    out
}

fn selection(
    users: &[String],
    call_ids: Vec<String>,
    protocols: &[String],
    matcher: Backend,
    voip: bool,
) -> PyResult<Selection> {
    let patterns = Patterns::compile_for(users, matcher).map_err(value)?;
    let ids = call_ids.into_iter().map(String::into_bytes);
    Ok(Selection::new(Some(patterns), ids, classes(protocols, voip)?))
}

fn programs(filters: HashMap<u16, Instructions>) -> PyResult<Vec<(LinkType, Program)>> {
    let program = |(link, code): (u16, Instructions)| {
        let code = code.into_iter().map(|(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
        Ok((LinkType(link), Program::new(code).map_err(value)?))
    };
    filters.into_iter().map(program).collect()
}

/// The rings of each worker: one of every interface.
#[cfg(target_os = "linux")]
fn rings(live: &[Py<LiveInput>], deduplicate: bool, spin: Duration) -> PyResult<Option<Rings>> {
    let mut workers: Vec<Vec<Ring>> = Vec::new();
    for (source, input) in live.iter().enumerate() {
        let rings = input.get().rings(u16::try_from(source).map_err(value)?)?;
        workers.resize_with(workers.len().max(rings.len()), Vec::new);
        rings.into_iter().zip(&mut workers).for_each(|(ring, worker)| worker.push(ring));
    }
    Ok((!workers.is_empty()).then_some(Rings { workers, deduplicate, spin }))
}

fn open(inputs: &[(String, i32)], shared: &Shared) -> PyResult<Merged> {
    let mut opened = Vec::new();
    for (source, (name, fd)) in inputs.iter().enumerate() {
        let file = crate::sinks::file_of(*fd)?;
        let source = u16::try_from(source).map_err(value)?;
        match Input::open_file(file, name, source, &shared.stop) {
            Ok(input) => opened.push(input),
            // one bad file does not keep the others from being read
            Err(error) if inputs.len() > 1 => shared.damage(error.to_string()),
            Err(error) => return Err(value(error)),
        }
    }
    Ok(Merged::new(opened))
}

#[pymethods]
impl Line {
    /// Describes a pipeline and opens its inputs. Raises ValueError with one line for what cannot be.
    #[new]
    #[pyo3(signature = (*, inputs=vec![], live=vec![], users=vec![], call_ids=vec![], protocols=vec![], voip=false, filters=None,
        matcher="auto", hold_time_ns=10_000_000_000, hold_bytes=64 << 20, loops=1, count=0, startup_delay_ns=0,
        spin_ns=0, batch=32, backpressure=true, tcp=None, tcp_buffers=None, deduplicate=false, files=vec![], vif=None,
        records=None, show_dtmf=false, sip_bytes=false, rtcp=false, jitter_buffer_ns=60_000_000, g711_plc=true,
        rtp_heuristic=false,
        metrics=false, trunks=vec![], call_files=None, rtp_snap=None, keylog=None))]
    #[allow(clippy::too_many_arguments)] // keyword arguments: one description
    fn new(
        py: Python<'_>,
        inputs: Vec<(String, i32)>,
        live: Vec<Py<LiveInput>>,
        users: Vec<String>,
        call_ids: Vec<String>,
        protocols: Vec<String>,
        voip: bool,
        filters: Option<HashMap<u16, Instructions>>,
        matcher: &str,
        hold_time_ns: u64,
        hold_bytes: usize,
        loops: u64,
        count: u64,
        startup_delay_ns: u64,
        spin_ns: u64,
        batch: usize,
        backpressure: bool,
        tcp: Option<(usize, usize, u64, u64, u64)>,
        tcp_buffers: Option<(String, usize, bool)>,
        deduplicate: bool,
        files: Vec<Py<FileSink>>,
        vif: Option<Py<VifSink>>,
        records: Option<&str>,
        show_dtmf: bool,
        sip_bytes: bool,
        rtcp: bool,
        jitter_buffer_ns: u64,
        g711_plc: bool,
        rtp_heuristic: bool,
        metrics: bool,
        trunks: Vec<(String, Vec<String>)>,
        call_files: Option<Py<CallFilesSink>>,
        rtp_snap: Option<usize>,
        keylog: Option<Vec<u8>>,
    ) -> PyResult<Self> {
        if inputs.is_empty() == live.is_empty() {
            return Err(value("a line reads files, or captures from interfaces"));
        }
        let shared = Arc::new(Shared::new(!live.is_empty()));
        let matcher = backend(matcher)?;
        let (strategy, pool_size, trim) = match tcp_buffers {
            Some((name, size, trim)) => (name.parse().map_err(value)?, size, trim),
            None => (Strategy::default(), 1000, false),
        };
        let spec = Spec {
            filters: programs(filters.unwrap_or_default())?,
            selection: selection(&users, call_ids, &protocols, matcher, voip)?,
            voip,
            records: match records {
                None => Records::None,
                Some("packet") => Records::Packet,
                Some("voip") => Records::Voip,
                Some(other) => return Err(value(format!("unknown records {other}: packet or voip"))),
            },
            rtcp,
            guesses: rtp_heuristic,
            keys: {
                let mut keys = KeyLog::default();
                keys.add(&keylog.unwrap_or_default());
                keys
            },
            measure: Measure { buffer: jitter_buffer_ns as f32 / 1e9, plc: g711_plc },
            metrics,
            trunks: Trunks::new(&trunks).map_err(value)?,
            hold: (hold_time_ns, hold_bytes),
            snap: rtp_snap,
            loops,
            count,
            startup_delay: Duration::from_nanos(startup_delay_ns),
            sources: inputs.len() + live.len(),
            inputs: open(&inputs, &shared)?,
            #[cfg(target_os = "linux")]
            live: rings(&live, deduplicate, Duration::from_nanos(spin_ns))?,
            limits: tcp.map_or(Limits { trim, ..Limits::default() }, |(buffers, bytes, idle, age, sweep)| Limits {
                buffers,
                bytes,
                idle,
                age,
                sweep,
                trim,
            }),
            pool: (strategy, pool_size),
            #[cfg(target_os = "linux")]
            backpressure,
            batch: batch.max(1),
        };
        let wires = live.iter().map(|item| item.get().name.clone());
        let names = distinct(inputs.into_iter().map(|(name, _)| name).chain(wires));
        let mut sinks: Vec<Sink> = Vec::new();
        for file in &files {
            sinks.push(file.get().open(&names, &shared)?);
        }
        if let Some(files) = call_files {
            sinks.push(files.get().open(&names, &shared)?);
        }
        if let Some(vif) = vif {
            sinks.push(vif.get().hand_over(&shared)?);
        }
        let trunks = trunks.into_iter().map(|(name, _)| name).chain(["other".to_owned()]).collect();
        let views = Mutex::new(Views::of(&sinks));
        let hot = spec.hot();
        let worker = py.detach(|| Worker::new(spec, sinks, Arc::clone(&shared)));
        let (worker, thread) = (Mutex::new(Some(worker)), Mutex::new(None));
        let shown = convert::Shown { digits: show_dtmf, bytes: sip_bytes };
        Ok(Self { names, shown, trunks, shared, views, hot, matcher, voip, worker, thread })
    }

    /// Changes the running line at one batch boundary: selectors (users, Call-IDs, protocols), programs of the filter,
    /// sinks that begin and names of sinks that end; `None` leaves a part as it is. Gives the number of the change, which
    /// `changed` reaches when it is in force. Raises ValueError with one line, and then nothing changes.
    #[pyo3(signature = (*, selection=None, filters=None, files=vec![], vif=None, remove=vec![]))]
    fn change(
        &self,
        selection: Option<(Vec<String>, Vec<String>, Vec<String>)>,
        filters: Option<HashMap<u16, Instructions>>,
        files: Vec<Py<FileSink>>,
        vif: Option<Py<VifSink>>,
        remove: Vec<String>,
    ) -> PyResult<u64> {
        let (selects, changes) = self.hot;
        if !changes || (selection.is_some() && !selects) {
            return Err(value("this line reads a file, or follows no calls: it cannot change while it runs"));
        }
        let selection =
            selection.map(|(u, c, p)| crate::line::selection(&u, c, &p, self.matcher, self.voip)).transpose()?;
        let filters = filters.map(programs).transpose()?;
        let mut add = Vec::new();
        for file in &files {
            add.push(file.get().open(&self.names, &self.shared)?);
        }
        if let Some(vif) = vif {
            add.push(vif.get().hand_over(&self.shared)?);
        }
        let mut views = held(&self.views);
        views.remove(&remove);
        views.add(&add);
        Ok(self.shared.mailbox.leave(Change { selection, filters, add, remove, ..Change::default() }))
    }

    /// Sources whose interface was deleted: each wants a new [`LiveInput`].
    fn deaf(&self) -> Vec<u16> {
        self.shared.deaf()
    }

    /// New sockets take the place of a source's, whose counters go on. Gives the number of the change. Raises
    /// ValueError with one line.
    #[cfg(target_os = "linux")]
    #[allow(clippy::needless_pass_by_value)] // taken from Python
    fn replace_input(&self, source: u16, input: Py<LiveInput>) -> PyResult<u64> {
        if !self.shared.live || usize::from(source) >= self.names.len() {
            return Err(value(format!("this line captures from no interface {source}")));
        }
        let rings = input.get().rings(source)?;
        Ok(self.shared.mailbox.leave(Change { rings: vec![rings], ..Change::default() }))
    }

    /// The number of the last change that is in force.
    fn changed(&self) -> u64 {
        self.shared.mailbox.done()
    }

    /// The interface's frames go to this device from now on. Raises ValueError where the line has no interface.
    fn replace_vif(&self, fd: i32) -> PyResult<()> {
        let device = crate::sinks::file_of(fd)?;
        self.vif()?.replace(device);
        Ok(())
    }

    /// Another limit for the interface: packets a second (0 for none), and how many at once.
    fn set_rate(&self, rate_limit: u64, rate_burst: u64) -> PyResult<()> {
        self.vif()?.set_rate(rate_limit, rate_burst);
        Ok(())
    }

    /// Counts up as long as the worker lives, while nothing comes too.
    fn iterations(&self) -> u64 {
        self.shared.stop.beats()
    }

    /// Starts the worker. Raises RuntimeError the second time.
    fn start(&self) -> PyResult<()> {
        let Some(worker) = held(&self.worker).take() else {
            return Err(PyRuntimeError::new_err("the line was started before"));
        };
        let thread = lc_io::thread::spawn("lc-line", move || worker.run())?;
        *held(&self.thread) = Some(thread);
        Ok(())
    }

    /// Asks to read nothing more and to write what was taken; `stop` ends that early.
    fn drain(&self) {
        self.shared.drain();
    }

    /// Asks to end: what is on its way is accounted for.
    fn stop(&self) {
        self.shared.stop.set();
        if self.shared.live {
            return; // what was captured is still written: no sink of a live line waits
        }
        held(&self.views).stop();
    }

    /// Up to `max_records` records; waits up to `timeout_ms` for the first.
    fn poll<'py>(&self, py: Python<'py>, max_records: usize, timeout_ms: u64) -> PyResult<Bound<'py, PyList>> {
        let told = py.detach(|| self.shared.take(max_records, Duration::from_millis(timeout_ms)));
        let list = PyList::empty(py);
        for t in &told {
            list.append(convert::told(py, t, &self.names, self.shown)?)?;
        }
        Ok(list)
    }

    /// Whether the worker has ended. Raises RuntimeError when it failed.
    fn finished(&self, py: Python<'_>) -> PyResult<bool> {
        let ended = held(&self.thread).as_ref().is_some_and(JoinHandle::is_finished);
        if ended {
            let thread = held(&self.thread).take();
            if thread.is_some_and(|t| py.detach(|| t.join()).is_err()) {
                self.shared.finish();
                return Err(PyRuntimeError::new_err("the line's worker failed: this is a fault of lippycatd"));
            }
        }
        Ok(self.shared.is_finished() && held(&self.thread).is_none())
    }

    /// (pass, passes, bytes done, bytes in all or 0).
    fn progress(&self) -> (u64, u64, u64, u64) {
        let [pass, passes, done, total] = self.shared.progress();
        (pass, passes, done, total)
    }

    /// All counters, of one batch boundary.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let snapshot = self.shared.snapshot();
        let mut accounts = snapshot.accounts;
        accounts.resize_with(self.names.len(), Default::default);
        let d = convert::accounts(py, &accounts, &self.names)?;
        convert::follow(py, &d, &snapshot.follow)?;
        d.set_item("kpi", kpi::counted(py, &snapshot.follow.kpi, &self.trunks)?)?;
        if self.shared.live {
            d.set_item("batches", snapshot.batches)?;
            d.set_item("backpressure_level", snapshot.strain)?;
            let evictions = d.get_item("evictions")?;
            if let Some(evictions) = evictions {
                evictions.set_item("records.queue", self.shared.records_lost())?;
            }
            d.set_item("captures", convert::captures(py, &accounts, &self.names)?)?;
        }
        let (sinks, vifs, queues) = (PyDict::new(py), PyDict::new(py), PyDict::new(py));
        let call_files = PyDict::new(py);
        queues.set_item("records", self.shared.waiting())?;
        let figures = held(&self.views).figures();
        for (name, figures) in figures {
            queues.set_item(&name, figures.counters().queued)?;
            sinks.set_item(&name, figures.counters_dict(py)?)?;
            if let Some(files) = figures.files_dict(py)? {
                call_files.set_item(&name, files)?;
            }
            if let Some(vif) = figures.vif_dict(py)? {
                vifs.set_item(name.trim_start_matches("vif:"), vif)?;
            }
        }
        d.set_item("sinks", sinks)?;
        d.set_item("vif", vifs)?;
        d.set_item("call_files", call_files)?;
        d.set_item("iterations", PyDict::from_sequence(&[("line", self.shared.stop.beats())].into_pyobject(py)?)?)?;
        let workers = PyDict::new(py);
        workers.set_item("line", snapshot.busy)?;
        for (n, (busy, depth)) in snapshot.readers.iter().enumerate() {
            workers.set_item(format!("reader{n}"), busy)?;
            queues.set_item(format!("reader{n}"), depth)?;
        }
        d.set_item("workers", workers)?;
        d.set_item("queues", queues)?;
        Ok(d)
    }

    /// Reports since the last call: (level, one line). An error means that something was damaged, lost or left out.
    fn messages(&self) -> Vec<(&'static str, String)> {
        self.shared.messages()
    }
}

impl Line {
    /// The interface that is on the line.
    fn vif(&self) -> PyResult<VifHandle> {
        held(&self.views).vif().ok_or_else(|| value("this line has no interface"))
    }
}
