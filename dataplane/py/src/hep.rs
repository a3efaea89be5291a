//! HEP as a source: packets of agents become frames of a capture, which a line reads from a pipe.

use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use lc_io::clock;
use lc_io::collect::{Collector, Counts, Take};
use lc_io::interrupt::Interrupt;
use lc_proto::hep::{self, Refusal};
use lc_wire::build::udp_frame;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::sinks::file_of;

/// Nanoseconds, little endian; version 2.4, Ethernet.
const HEADER: [u8; 24] = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

/// What becomes of packets: `received = frames + Σ refused`.
#[derive(Clone, Debug, Default)]
struct Figures {
    received: u64,
    frames: u64,
    unknown: u64,
    parse: [u64; Refusal::ALL.len()],
    key: u64,
    protocol: u64,
    json: u64,
    too_long: u64,
    framing: u64,
}

struct Taker {
    key: Vec<u8>,
    figures: Arc<Mutex<Figures>>,
}

/// What became of one packet.
enum Fate {
    Frame,
    Parse(Refusal),
    Key,
    Protocol,
    Json,
    TooLong,
}

fn frame(b: &[u8], key: &[u8], out: &mut Vec<u8>) -> (Fate, u32) {
    let h = match hep::parse(b) {
        Ok(h) => h,
        Err(why) => return (Fate::Parse(why), 0),
    };
    if !key.is_empty() && !same(key, h.key) {
        return (Fate::Key, h.unknown);
    }
    match (h.protocol, h.payload.first()) {
        (hep::SIP | hep::RTP, _) => {}
        (hep::RTCP, Some(first)) if first >> 6 == 2 => {}
        (hep::RTCP, _) => return (Fate::Json, h.unknown),
        _ => return (Fate::Protocol, h.unknown),
    }
    let ts = h.ts.unwrap_or_else(clock::wall);
    let at = out.len();
    out.extend([0; 16]);
    if !udp_frame(out, (h.src, h.ports[0]), (h.dst, h.ports[1]), h.vlan, h.payload) {
        out.truncate(at);
        return (Fate::TooLong, h.unknown);
    }
    let len = (out.len() - at - 16) as u32;
    let words = [(ts / 1_000_000_000) as u32, (ts % 1_000_000_000) as u32, len, len];
    for (place, word) in out[at..at + 16].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    (Fate::Frame, h.unknown)
}

/// Whether the keys are equal; the time it takes says nothing of where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |n, (a, b)| n | (a ^ b)) == 0
}

impl Take for Taker {
    fn packet(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let (fate, unknown) = frame(bytes, &self.key, out);
        let mut f = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        f.received += 1;
        f.unknown += u64::from(unknown);
        match fate {
            Fate::Frame => f.frames += 1,
            Fate::Parse(why) => f.parse[why as usize] += 1,
            Fate::Key => f.key += 1,
            Fate::Protocol => f.protocol += 1,
            Fate::Json => f.json += 1,
            Fate::TooLong => f.too_long += 1,
        }
    }

    fn length(&mut self, stream: &[u8]) -> Result<Option<usize>, ()> {
        hep::length(stream).map_err(|_| {
            let mut f = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
            (f.received, f.framing) = (f.received + 1, f.framing + 1);
        })
    }
}

/// Sockets that agents send to, and the pipe that a line reads; the descriptors stay Python's. The thread begins with
/// `start`.
#[pyclass(module = "lippycatd._dataplane", frozen)]
pub struct HepInput {
    collector: Mutex<Option<Collector<Taker>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    figures: Arc<Mutex<Figures>>,
    counts: Arc<Mutex<Counts>>,
    stop: Interrupt,
}

#[pymethods]
impl HepInput {
    /// Writes the head of the capture. Raises OSError or ValueError with one line.
    #[new]
    #[pyo3(signature = (*, datagrams, listeners, pipe, key=vec![]))]
    #[allow(clippy::needless_pass_by_value)] // taken from Python
    fn new(datagrams: Vec<i32>, listeners: Vec<i32>, pipe: i32, key: Vec<u8>) -> PyResult<Self> {
        let owned = |fds: &[i32]| fds.iter().map(|fd| file_of(*fd).map(OwnedFd::from)).collect::<PyResult<Vec<_>>>();
        let datagrams: Vec<UdpSocket> = owned(&datagrams)?.into_iter().map(UdpSocket::from).collect();
        let listeners: Vec<TcpListener> = owned(&listeners)?.into_iter().map(TcpListener::from).collect();
        datagrams.iter().try_for_each(|s| s.set_nonblocking(true))?;
        listeners.iter().try_for_each(|s| s.set_nonblocking(true))?;
        let mut pipe: File = file_of(pipe)?;
        pipe.write_all(&HEADER)?;
        let (figures, counts, stop) = (Arc::<Mutex<Figures>>::default(), Arc::default(), Interrupt::new());
        let take = Taker { key, figures: Arc::clone(&figures) };
        let collector = Collector { datagrams, listeners, pipe, take, stop: stop.clone(), counts: Arc::clone(&counts) };
        let (collector, thread) = (Mutex::new(Some(collector)), Mutex::new(None));
        Ok(Self { collector, thread, figures, counts, stop })
    }

    /// Begins to receive.
    fn start(&self) -> PyResult<()> {
        let collector = self.collector.lock().unwrap_or_else(PoisonError::into_inner).take();
        let collector = collector.ok_or_else(|| PyValueError::new_err("it was started before"))?;
        let thread = lc_io::thread::spawn("hep", move || collector.run())?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Ends it, and with it the capture.
    fn stop(&self, py: Python<'_>) {
        self.stop.set();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.collector.lock().unwrap_or_else(PoisonError::into_inner).take());
        py.detach(|| thread.map(JoinHandle::join));
    }

    /// What came, and what became of it: `received = frames + Σ refused{reason}`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let f = self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let c = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = PyDict::new(py);
        let parse = Refusal::ALL.iter().zip(f.parse).map(|(why, n)| (why.as_str(), n));
        let others = [("key", f.key), ("protocol", f.protocol), ("rtcp_json", f.json), ("too_long", f.too_long)];
        for (name, n) in parse.chain(others).chain([("framing", f.framing)]).filter(|(_, n)| *n > 0) {
            refused.set_item(name, n)?;
        }
        let d = PyDict::new(py);
        d.set_item("received", f.received)?;
        d.set_item("frames", f.frames)?;
        d.set_item("refused", refused)?;
        d.set_item("unknown_chunks", f.unknown)?;
        d.set_item("kernel_drops", c.kernel)?;
        d.set_item("streams", c.open)?;
        d.set_item("streams_accepted", c.accepted)?;
        let closed = PyDict::new(py);
        closed.set_item("framing", c.closed[0])?;
        closed.set_item("limit", c.closed[1])?;
        closed.set_item("cut", c.cut)?;
        d.set_item("streams_closed", closed)?;
        Ok(d)
    }
}
