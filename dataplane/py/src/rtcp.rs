//! Reports of RTCP as Python dictionaries, with the names that Homer's agents give them.

use lc_engine::record::RtcpRecord;
use lc_proto::rtcp::{self, Blocks, Body, SenderInfo, VoipMetrics, Xr};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::convert::{ends, head, text};

/// A record of the reports in a datagram; `report` is None where there are none in it.
pub fn reports<'py>(py: Python<'py>, r: &RtcpRecord, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let d = head(py, "rtcp", r.ts, names.get(usize::from(r.source)), r.frame)?;
    ends(&d, &r.ends)?;
    d.set_item("call_id", text(&r.call_id))?;
    d.set_item("report", report(py, &r.bytes)?)?;
    Ok(d)
}

/// One object for the datagram: the first SR or RR, and what SDES and XR add to it.
fn report<'py>(py: Python<'py>, datagram: &[u8]) -> PyResult<Option<Bound<'py, PyDict>>> {
    let mut found: Option<Bound<'py, PyDict>> = None;
    for body in rtcp::packets(datagram).map_while(Result::ok) {
        match (&body, &found) {
            (Body::Sender(ssrc, info, blocks), None) => {
                let d = first(py, 200, *ssrc, *blocks)?;
                d.set_item("sender_information", sender(py, info)?)?;
                found = Some(d);
            }
            (Body::Receiver(ssrc, blocks), None) => found = Some(first(py, 201, *ssrc, *blocks)?),
            (Body::Description(chunks, count), Some(d)) => {
                let list = PyList::empty(py);
                for (ssrc, name) in rtcp::cnames(chunks, *count) {
                    if list.is_empty() {
                        d.set_item("sdes_ssrc", ssrc)?;
                    }
                    let one = PyDict::new(py);
                    one.set_item("type", 1)?;
                    one.set_item("text", text(name))?;
                    list.append(one)?;
                }
                d.set_item("sdes_report_count", list.len())?;
                d.set_item("sdes_information", list)?;
            }
            (Body::Extended(..), _) => {
                let voip = body.extended().find_map(|xr| if let Xr::Voip(m) = xr { Some(m) } else { None });
                if let Some(m) = voip {
                    let d = found.get_or_insert_with(|| PyDict::new(py));
                    d.set_item("report_blocks_xr", extended(py, &m)?)?;
                    if !d.contains("type")? {
                        d.set_item("type", 207)?;
                        d.set_item("ssrc", m.ssrc)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn first<'py>(py: Python<'py>, kind: u8, ssrc: u32, blocks: Blocks<'_>) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    let list = PyList::empty(py);
    for block in blocks {
        let b = PyDict::new(py);
        b.set_item("source_ssrc", block.ssrc)?;
        b.set_item("fraction_lost", block.fraction)?;
        b.set_item("packets_lost", block.lost)?;
        b.set_item("highest_seq_no", block.highest)?;
        b.set_item("ia_jitter", block.jitter)?;
        b.set_item("lsr", block.lsr)?;
        b.set_item("dlsr", block.dlsr)?;
        list.append(b)?;
    }
    d.set_item("type", kind)?;
    d.set_item("ssrc", ssrc)?;
    d.set_item("report_count", list.len())?;
    d.set_item("report_blocks", list)?;
    Ok(d)
}

fn sender<'py>(py: Python<'py>, info: &SenderInfo) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    // both halves as they stand in the packet, whatever the second one's name says
    d.set_item("ntp_timestamp_sec", info.ntp >> 32)?;
    d.set_item("ntp_timestamp_usec", info.ntp & 0xffff_ffff)?;
    d.set_item("rtp_timestamp", info.timestamp)?;
    d.set_item("packets", info.packets)?;
    d.set_item("octets", info.octets)?;
    Ok(d)
}

fn extended<'py>(py: Python<'py>, m: &VoipMetrics) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("type", 7)?;
    d.set_item("id", m.ssrc)?;
    d.set_item("fraction_lost", m.loss)?;
    d.set_item("fraction_discard", m.discard)?;
    d.set_item("burst_density", m.densities[0])?;
    d.set_item("gap_density", m.densities[1])?;
    d.set_item("burst_duration", m.durations[0])?;
    d.set_item("gap_duration", m.durations[1])?;
    d.set_item("round_trip_delay", m.round_trip)?;
    d.set_item("end_system_delay", m.end_system)?;
    Ok(d)
}
