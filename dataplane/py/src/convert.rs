//! Records and counters as Python dictionaries, with the names of docs/reference.

use std::borrow::Cow;

use lc_engine::record::{CallRecord, Ends, Record, SipRecord, TransactionRecord};
use lc_engine::state::State;
use lc_proto::sdp;
use lc_proto::sip::{self, StartLine};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::shared::{Account, Follow, PacketRecord, Told, LEFT_OUT};
use crate::{rtcp, streams};

/// Decimal seconds with nine digits: nothing is rounded.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

pub fn text(b: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(b)
}

/// Text, or None where there is none.
pub fn some(b: &[u8]) -> Option<Cow<'_, str>> {
    (!b.is_empty()).then(|| text(b))
}

pub fn head<'py>(
    py: Python<'py>,
    kind: &str,
    ts: u64,
    source: Option<&String>,
    frame: u64,
) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("type", kind)?;
    d.set_item("ts", seconds(ts))?;
    d.set_item("source", source)?;
    d.set_item("frame", frame)?;
    Ok(d)
}

pub fn ends(d: &Bound<'_, PyDict>, e: &Ends) -> PyResult<()> {
    d.set_item("src", e.src.to_string())?;
    d.set_item("sport", e.sport)?;
    d.set_item("dst", e.dst.to_string())?;
    d.set_item("dport", e.dport)
}

/// What records hold beside what they always do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// DTMF digits.
    pub digits: bool,
    /// `raw`: the bytes of SIP messages.
    pub bytes: bool,
}

/// One record.
pub fn told<'py>(py: Python<'py>, told: &Told, names: &[String], shown: Shown) -> PyResult<Bound<'py, PyDict>> {
    match told {
        Told::Packet(p) => packet(py, p, names),
        #[cfg(target_os = "linux")]
        Told::File(f) => crate::call_sink::record(py, f),
        Told::Record(Record::Sip(r)) => {
            let d = message(py, r, names)?;
            if shown.bytes {
                d.set_item("raw", PyBytes::new(py, &r.bytes))?;
            }
            Ok(d)
        }
        Told::Record(Record::Rtcp(r)) => rtcp::reports(py, r, names),
        Told::Record(Record::Stream(r)) => streams::stream(py, r, names, shown.digits),
        Told::Record(Record::Call(r)) => call(py, r, names),
        Told::Record(Record::Transaction(r)) => transaction(py, r, names),
    }
}

fn packet<'py>(py: Python<'py>, p: &PacketRecord, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let d = head(py, "packet", p.ts, names.get(usize::from(p.source)), p.number)?;
    d.set_item("length", p.orig_len)?;
    d.set_item("link", p.link)?;
    d.set_item("raw", PyBytes::new(py, &p.data))?;
    Ok(d)
}

fn message<'py>(py: Python<'py>, r: &SipRecord, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let last = r.frames.last().map_or(0, |f| f.number);
    let d = head(py, "sip", r.ts, names.get(usize::from(r.source)), last)?;
    if r.frames.len() > 1 {
        d.set_item("frames", r.frames.iter().map(|f| f.number).collect::<Vec<_>>())?;
    }
    ends(&d, &r.ends)?;
    d.set_item("transport", r.transport.as_str())?;
    let Ok(m) = sip::parse(&r.bytes) else { return Ok(d) };
    match m.start {
        StartLine::Request { method, uri } => {
            d.set_item("method", text(method))?;
            d.set_item("request_uri", text(uri))?;
        }
        StartLine::Response { status, reason } => {
            d.set_item("status", status)?;
            d.set_item("reason", text(reason))?;
        }
    }
    d.set_item("call_id", some(m.call_id))?;
    for (name, who) in [("from", &m.from), ("to", &m.to)] {
        d.set_item(format!("{name}_user"), some(who.user))?;
        d.set_item(format!("{name}_host"), some(who.host))?;
        d.set_item(format!("{name}_tag"), some(who.tag))?;
    }
    d.set_item("cseq", m.cseq)?;
    d.set_item("cseq_method", some(m.cseq_method))?;
    d.set_item("branch", some(m.branch))?;
    d.set_item("user_agent", some(m.user_agent))?;
    d.set_item("content_type", some(m.content_type))?;
    d.set_item("content_length", m.content_length)?;
    d.set_item("retransmission", r.retransmission)?;
    d.set_item("problems", m.problems.iter().map(|p| p.as_str()).collect::<Vec<_>>())?;
    d.set_item("sdp", session(py, sdp::find(m.content_type, m.body))?)?;
    Ok(d)
}

fn session(py: Python<'_>, session: Option<sdp::Session>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for m in session.into_iter().flat_map(|s| s.media) {
        let d = PyDict::new(py);
        d.set_item("media", &*m.kind)?;
        d.set_item("ip", m.addr.map(|a| a.to_string()))?;
        d.set_item("port", m.port)?;
        d.set_item("proto", &*m.proto)?;
        d.set_item("formats", m.formats.iter().map(|f| f.to_string()).collect::<Vec<_>>())?;
        d.set_item("direction", m.direction.as_str())?;
        list.append(d)?;
    }
    Ok(list)
}

/// A figure in ms with six digits.
pub fn ms(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[allow(clippy::cast_precision_loss)] // ns of a call's life: far below 2^52
pub fn ns_to_ms(ns: u64) -> f64 {
    ms(ns as f64 / 1e6)
}

fn call<'py>(py: Python<'py>, r: &CallRecord, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let at = r.times[3].or(r.times[2]).or(r.times[0]).unwrap_or(0);
    let d = head(py, "call", at, names.get(usize::from(r.source)), r.frame)?;
    d.set_item("call_id", text(&r.call_id))?;
    d.set_item("from_user", some(&r.from_user))?;
    d.set_item("to_user", some(&r.to_user))?;
    ends(&d, &r.ends)?;
    d.set_item("transport", r.transport.as_str())?;
    d.set_item("trunk", &*r.trunk)?;
    d.set_item("state", r.state)?;
    for (name, time) in ["start", "ring", "answer", "end"].iter().zip(r.times) {
        d.set_item(name, time.map(seconds))?;
    }
    for (name, time) in [("pdd", r.pdd), ("srd", r.srd), ("setup", r.setup), ("duration", r.duration)] {
        d.set_item(format!("{name}_ms"), time.map(ns_to_ms))?;
    }
    d.set_item("final", r.status)?;
    d.set_item("cause", r.cause)?;
    d.set_item("hung_up_by", r.hung_up_by)?;
    d.set_item("challenged", r.challenged)?;
    d.set_item("dialogs", r.dialogs)?;
    d.set_item("holds", r.holds)?;
    d.set_item("transferred_to_uri", some(&r.transferred_to))?;
    d.set_item("replaces_call_id", some(&r.replaces))?;
    d.set_item("messages", r.messages)?;
    d.set_item("retransmissions", r.retransmissions)?;
    d.set_item("one_way", r.one_way)?;
    d.set_item("streams", r.streams.iter().map(|s| format!("0x{s:08x}")).collect::<Vec<_>>())?;
    d.set_item("packets", r.packets)?;
    d.set_item("file", r.file.as_deref())?;
    Ok(d)
}

fn transaction<'py>(py: Python<'py>, r: &TransactionRecord, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let t = &r.transaction;
    let at = t.end.get().or(t.start.get()).unwrap_or(0);
    let d = head(py, "transaction", at, names.get(usize::from(t.first.0)), t.first.1)?;
    d.set_item("method", text(&t.method))?;
    d.set_item("call_id", text(&r.call_id))?;
    d.set_item("from_user", some(&t.users[0]))?;
    d.set_item("to_user", some(&t.users[1]))?;
    ends(&d, &t.ends)?;
    d.set_item("transport", t.transport.as_str())?;
    d.set_item("trunk", &*r.trunk)?;
    d.set_item("state", t.outcome.as_str())?;
    d.set_item("start", t.start.get().map(seconds))?;
    d.set_item("end", t.end.get().map(seconds))?;
    d.set_item("response_ms", t.response().map(ns_to_ms))?;
    d.set_item("final", (t.status != 0).then_some(t.status))?;
    d.set_item("retransmissions", t.retransmissions)?;
    Ok(d)
}

fn account<'py>(py: Python<'py>, a: &Account) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("in", a.read + a.pending + a.kernel + a.left_out.iter().sum::<u64>())?;
    d.set_item("selected", a.selected)?;
    d.set_item("filtered", a.filtered)?;
    d.set_item("held", a.held + a.pending)?;
    let dropped = PyDict::new(py);
    let reasons = [("decode.link_type", a.link_type), ("line.count", a.count), ("kernel.ring_full", a.kernel)];
    for (name, n) in reasons.into_iter().chain(LEFT_OUT.into_iter().zip(a.left_out)) {
        if n > 0 {
            dropped.set_item(name, n)?;
        }
    }
    d.set_item("dropped", dropped)?;
    Ok(d)
}

/// The accounting of the line: totals and by source.
pub fn accounts<'py>(py: Python<'py>, accounts: &[Account], names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let mut total = Account::default();
    let sources = PyDict::new(py);
    for (a, name) in accounts.iter().zip(names) {
        total.read += a.read;
        total.selected += a.selected;
        total.filtered += a.filtered;
        total.held += a.held;
        total.link_type += a.link_type;
        total.count += a.count;
        total.kernel += a.kernel;
        total.pending += a.pending;
        total.left_out.iter_mut().zip(a.left_out).for_each(|(sum, n)| *sum += n);
        sources.set_item(name, account(py, a)?)?;
    }
    let d = account(py, &total)?;
    d.set_item("sources", sources)?;
    Ok(d)
}

/// What only a live capture counts, by source.
pub fn captures<'py>(py: Python<'py>, accounts: &[Account], names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    for (a, name) in accounts.iter().zip(names) {
        let c = PyDict::new(py);
        c.set_item("freezes", a.freezes)?;
        c.set_item("downs", a.downs)?;
        d.set_item(name, c)?;
    }
    Ok(d)
}

/// The follower's counters, into the same dictionary.
pub fn follow(py: Python<'_>, d: &Bound<'_, PyDict>, f: &Follow) -> PyResult<()> {
    let messages = PyDict::new(py);
    for ((request, status, method), n) in &f.calls.messages {
        let name = if *request { format!("request.{}", text(method)) } else { format!("response.{status}") };
        messages.set_item(name, n)?;
    }
    d.set_item("sip_messages", messages)?;
    let calls = PyDict::new(py);
    calls.set_item("active", f.kpi.active())?;
    let total = PyDict::new(py);
    for (state, n) in State::ALL.iter().zip(f.calls.ended).skip(1) {
        total.set_item(state.as_str(), n)?;
    }
    calls.set_item("total", total)?;
    d.set_item("calls", calls)?;
    d.set_item("streams_active", f.streams)?;
    let tables = PyDict::new(py);
    for (name, n) in ["calls", "endpoints", "flows", "connections", "datagrams"].iter().zip(f.tables) {
        tables.set_item(name, n)?;
    }
    tables.set_item("tcp_buffers", f.buffers.0)?;
    tables.set_item("tcp_buffers_free", f.buffers.1)?;
    d.set_item("tables", tables)?;
    d.set_item("evictions", pairs(py, &f.evictions)?)?;
    d.set_item("refusals", pairs(py, &f.refusals)?)?;
    let reassembly = PyDict::new(py);
    let streams = PyDict::new(py);
    streams.set_item("sip", f.reassembly.0)?;
    streams.set_item("other", f.reassembly.1)?;
    reassembly.set_item("streams", streams)?;
    reassembly.set_item("bytes", f.reassembly.2)?;
    d.set_item("reassembly", reassembly)?;
    d.set_item("hold_missed", f.missed)?;
    d.set_item("memory_trims", f.trims)?;
    d.set_item("shared_segments", f.shared)
}

fn pairs<'py>(py: Python<'py>, list: &[(&'static str, &'static str, u64)]) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    for (a, b, n) in list {
        d.set_item(format!("{a}.{b}"), n)?;
    }
    Ok(d)
}
