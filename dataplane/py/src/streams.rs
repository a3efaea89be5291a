//! Stream records as Python dictionaries, with the names of docs/reference.

use lc_engine::record::StreamRecord;
use lc_engine::stream::gaps::Gaps;
use lc_proto::rtcp::VoipMetrics;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::convert::{ends, head, ms, ns_to_ms, seconds, some, text};

/// What is shown of a digit where digits are masked.
const MASK: char = 'x';

/// A figure with three digits.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// One stream; `digits`: whether DTMF digits are shown.
pub fn stream<'py>(py: Python<'py>, r: &StreamRecord, names: &[String], digits: bool) -> PyResult<Bound<'py, PyDict>> {
    let s = &r.stream;
    let d = head(py, "stream", s.end, names.get(usize::from(r.source)), r.frame)?;
    ends(&d, &r.ends)?;
    d.set_item("ssrc", format!("0x{:08x}", s.ssrc))?;
    d.set_item("payload_type", r.payload_type)?;
    let codec = r.types.iter().find(|(t, _)| t.payload_type == r.payload_type).map(|(_, name)| name.as_bytes());
    d.set_item("codec", codec.and_then(some))?;
    d.set_item("call_id", r.call_id.as_ref().map(|id| text(id)))?;
    d.set_item("start", seconds(s.more.start))?;
    d.set_item("end", seconds(s.end))?;
    sequence(&d, r)?;
    timing(&d, r)?;
    quality(&d, r)?;
    events(py, &d, r, digits)?;
    kind(py, &d, r)?;
    Ok(d)
}

fn sequence(d: &Bound<'_, PyDict>, r: &StreamRecord) -> PyResult<()> {
    let s = &r.stream;
    let (duplicates, reordered) = s.duplicates_and_reordered();
    let (wraps, restarts) = s.wraps_and_restarts();
    d.set_item("packets", s.packets)?;
    d.set_item("bytes", s.bytes)?;
    d.set_item("expected", s.expected())?;
    d.set_item("lost", s.lost())?;
    d.set_item("unique_lost", s.unique_lost())?;
    d.set_item("duplicates", duplicates)?;
    d.set_item("reordered", reordered)?;
    d.set_item("late", s.more.late)?;
    d.set_item("wraps", wraps)?;
    d.set_item("restarts", restarts)?;
    let gaps = s.gaps();
    d.set_item("loss_runs", gaps.runs)?;
    d.set_item("mean_loss_run", gaps.mean_run().map(rounded))?;
    d.set_item("burst_ratio", rounded(gaps.burst_ratio(s.loss())))?;
    bursts(d, &gaps)
}

/// Bursts and gaps of RFC 3611 §4.7.2: densities in percent.
#[allow(clippy::cast_precision_loss)] // packets of a stream: below 2^52
fn bursts(d: &Bound<'_, PyDict>, g: &Gaps) -> PyResult<()> {
    let percent = |lost: u64, of: u64| (of > 0).then(|| rounded(lost as f64 * 100.0 / of as f64));
    d.set_item("bursts", g.bursts)?;
    d.set_item("burst_density", percent(g.burst_losses, g.burst_packets))?;
    d.set_item("gap_density", percent(g.losses.saturating_sub(g.burst_losses), g.gap_packets))
}

fn timing(d: &Bound<'_, PyDict>, r: &StreamRecord) -> PyResult<()> {
    let s = &r.stream;
    let jitter = s.jitter_ms().map(|all| all.map(ms));
    d.set_item("jitter_ms", jitter.map(|j| j[0]))?;
    d.set_item("max_jitter_ms", jitter.map(|j| j[2]))?;
    d.set_item("mean_jitter_ms", jitter.map(|j| j[1]))?;
    d.set_item("max_delta_ms", ns_to_ms(s.max_delta))?;
    d.set_item("ptime_ms", s.ptime_ms().map(rounded))?;
    d.set_item("skew_ppm", s.skew_ppm().map(rounded))
}

fn quality(d: &Bound<'_, PyDict>, r: &StreamRecord) -> PyResult<()> {
    let rating = r.rating.as_ref().ok();
    d.set_item("mos", rating.map(|q| rounded(q.mos)))?;
    d.set_item("r_factor", rating.map(|q| rounded(q.r)))?;
    d.set_item("min_mos", rating.and_then(|q| q.intervals).map(|i| rounded(i.0)))?;
    d.set_item("mean_mos", rating.and_then(|q| q.intervals).map(|i| rounded(i.1)))?;
    d.set_item("mos_reason", r.rating.as_ref().err().map(|why| why.as_str()))?;
    d.set_item("delay_ms", rating.and_then(|q| q.delay).map(rounded))
}

/// Digits; of SRTP they cannot be seen.
fn events(py: Python<'_>, d: &Bound<'_, PyDict>, r: &StreamRecord, digits: bool) -> PyResult<()> {
    let s = &r.stream;
    let shown = |digit: char| if digits { digit } else { MASK };
    let text: String = s.digits().iter().map(|k| shown(k.digit)).collect();
    d.set_item("dtmf", (!r.srtp).then_some(text))?;
    d.set_item("events", s.more.events)?;
    let list = PyList::empty(py);
    for k in s.digits().iter().filter(|_| !r.srtp) {
        let one = PyDict::new(py);
        one.set_item("digit", shown(k.digit))?;
        one.set_item("start", seconds(k.ts))?;
        one.set_item("duration_ms", rounded(f64::from(k.duration) * 1000.0 / f64::from(s.rate().unwrap_or(8000))))?;
        one.set_item("ended", k.ended)?;
        list.append(one)?;
    }
    d.set_item("dtmf_events", list)?;
    d.set_item("comfort_noise", s.more.noise)?;
    d.set_item("markers", s.more.markers)
}

/// What RTCP said of the stream: shares in percent, jitter by its clock.
fn rtcp<'py>(py: Python<'py>, r: &StreamRecord) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(source) = &r.rtcp else { return Ok(None) };
    let d = PyDict::new(py);
    let percent = |share: u8| rounded(f64::from(share) * 100.0 / 256.0);
    let jitter = |units: u32| r.stream.rate().map(|hz| rounded(f64::from(units) * 1000.0 / f64::from(hz)));
    let heard = source.heard.as_ref();
    d.set_item("reports", heard.map_or(0, |h| h.reports))?;
    d.set_item("fraction_lost", heard.map(|h| percent(h.block.fraction)))?;
    d.set_item("max_fraction_lost", heard.map(|h| percent(h.max_fraction)))?;
    d.set_item("cumulative_lost", heard.map(|h| h.block.lost))?;
    d.set_item("remote_jitter_ms", heard.and_then(|h| jitter(h.block.jitter)))?;
    d.set_item("max_remote_jitter_ms", heard.and_then(|h| jitter(h.max_jitter)))?;
    let trips = &source.round_trips;
    let trip = |ns: u64| (trips.n > 0).then(|| ns_to_ms(ns));
    d.set_item("rtt_ms", trip(trips.last))?;
    d.set_item("min_rtt_ms", trip(trips.range[0]))?;
    d.set_item("max_rtt_ms", trip(trips.range[1]))?;
    d.set_item("sender_reports", source.sent)?;
    d.set_item("sent_packets", (source.sent > 0).then_some(source.packets))?;
    d.set_item("cname", source.cname.as_ref().map(|name| text(name)))?;
    d.set_item("goodbye", source.left)?;
    d.set_item("xr", source.voip.as_ref().map(|x| voip(py, x)).transpose()?)?;
    Ok(Some(d))
}

/// VoIP metrics of RFC 3611 §4.7.
fn voip<'py>(py: Python<'py>, x: &VoipMetrics) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    let percent = |share: u8| rounded(f64::from(share) * 100.0 / 256.0);
    d.set_item("loss", percent(x.loss))?;
    d.set_item("discard", percent(x.discard))?;
    d.set_item("burst_density", percent(x.densities[0]))?;
    d.set_item("gap_density", percent(x.densities[1]))?;
    d.set_item("burst_ms", x.durations[0])?;
    d.set_item("gap_ms", x.durations[1])?;
    d.set_item("rtt_ms", (x.round_trip > 0).then_some(x.round_trip))?;
    d.set_item("end_system_ms", (x.end_system > 0).then_some(x.end_system))?;
    d.set_item("r_factor", x.r_factor)?;
    d.set_item("mos_lq", x.mos[0].map(|m| f64::from(m) / 10.0))?;
    d.set_item("mos_cq", x.mos[1].map(|m| f64::from(m) / 10.0))?;
    d.set_item("jitter_buffer_ms", x.buffer[0])?;
    Ok(d)
}

/// What kind of stream it is, and where it stands among others.
fn kind(py: Python<'_>, d: &Bound<'_, PyDict>, r: &StreamRecord) -> PyResult<()> {
    let types = PyList::empty(py);
    for (t, name) in &r.types {
        let one = PyDict::new(py);
        one.set_item("payload_type", t.payload_type)?;
        one.set_item("codec", some(name.as_bytes()))?;
        one.set_item("packets", t.packets)?;
        types.append(one)?;
    }
    d.set_item("payload_types", types)?;
    d.set_item("payload_type_changes", r.stream.more.type_changes)?;
    d.set_item("follows", r.follows.map(|ssrc| format!("0x{ssrc:08x}")))?;
    d.set_item("srtp", r.srtp)?;
    d.set_item("latched", r.latched)?;
    d.set_item("after_end", r.stream.more.after_end)?;
    d.set_item("rtcp", rtcp(py, r)?)
}
