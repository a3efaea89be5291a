//! Figures of trunks, transactions and streams as Python dictionaries.

use lc_engine::kpi::{Histogram, Kpi, Trunk, CODECS, CODES, METHODS};
use lc_engine::transactions::Outcome;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Statuses that a ratio counts: there from the start, so that a rate sees their first increase.
const ALWAYS: [u16; 11] = [200, 300, 408, 480, 486, 487, 500, 503, 504, 600, 603];

/// Causes of Q.850 that come every day: normal clearing, busy, no answer, rejected, normal, congestion, failure.
const DAILY: [usize; 9] = [16, 17, 18, 19, 21, 31, 34, 38, 41];

fn histogram<'py>(py: Python<'py>, h: &Histogram) -> PyResult<Bound<'py, PyDict>> {
    let (below, count) = h.cumulative();
    let (d, buckets) = (PyDict::new(py), PyDict::new(py));
    for (bound, n) in below {
        buckets.set_item(bound, n)?;
    }
    d.set_item("buckets", buckets)?;
    d.set_item("count", count)?;
    d.set_item("sum", h.sum)?;
    Ok(d)
}

fn trunk<'py>(py: Python<'py>, t: &Trunk) -> PyResult<Bound<'py, PyDict>> {
    let (d, results, ratios, times) = (PyDict::new(py), PyDict::new(py), PyDict::new(py), PyDict::new(py));
    let counts = [
        ("attempts", t.attempts),
        ("completed", t.completed),
        ("active", t.active),
        ("peak", t.peak),
        ("registering", t.registering),
        ("registered", t.registered[0]),
        ("register_failed", t.registered[1]),
    ];
    for (name, n) in counts {
        d.set_item(name, n)?;
    }
    for (code, n) in CODES.iter().zip(t.results).filter(|(code, n)| *n > 0 || ALWAYS.contains(*code)) {
        results.set_item(code, n)?;
    }
    for (name, (n, of)) in t.ratios() {
        let ratio = PyDict::new(py);
        ratio.set_item("n", n)?;
        ratio.set_item("of", of)?;
        ratios.set_item(name, ratio)?;
    }
    let all = [
        ("srd_answered", &t.srd[0]),
        ("srd_failed", &t.srd[1]),
        ("pdd", &t.pdd),
        ("setup", &t.setup),
        ("sdd", &t.sdd),
        ("sdt", &t.sdt),
        ("rrd", &t.rrd),
        ("mos", &t.mos),
        ("jitter", &t.jitter),
    ];
    for (name, h) in all {
        times.set_item(name, histogram(py, h)?)?;
    }
    d.set_item("results", results)?;
    d.set_item("ratios", ratios)?;
    d.set_item("histograms", times)?;
    Ok(d)
}

fn named<'py, 'a>(py: Python<'py>, all: impl Iterator<Item = (&'a str, u64)>) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    for (name, n) in all.filter(|(_, n)| *n > 0) {
        d.set_item(name, n)?;
    }
    Ok(d)
}

/// All of it; `names` are those of the trunks.
pub fn counted<'py>(py: Python<'py>, k: &Kpi, names: &[String]) -> PyResult<Bound<'py, PyDict>> {
    let (d, trunks, transactions, responses, causes) =
        (PyDict::new(py), PyDict::new(py), PyDict::new(py), PyDict::new(py), PyDict::new(py));
    for (name, t) in names.iter().zip(&k.trunks) {
        trunks.set_item(name, trunk(py, t)?)?;
    }
    for ((method, counts), h) in METHODS.iter().zip(&k.transactions).zip(&k.responses) {
        if counts.iter().any(|n| *n > 0) {
            let outcomes = Outcome::ALL.iter().zip(counts).map(|(o, n)| (o.as_str(), *n));
            transactions.set_item(method, named(py, outcomes)?)?;
            responses.set_item(method, histogram(py, h)?)?;
        }
    }
    for (cause, n) in k.causes.iter().enumerate().filter(|(cause, n)| **n > 0 || DAILY.contains(cause)) {
        causes.set_item(cause, n)?;
    }
    let hung_up = PyDict::new(py);
    for (by, n) in ["caller", "callee", "unknown"].iter().zip(k.hung_up) {
        hung_up.set_item(by, n)?;
    }
    d.set_item("trunks", trunks)?;
    d.set_item("transactions", transactions)?;
    d.set_item("responses", responses)?;
    d.set_item("causes", causes)?;
    d.set_item("hung_up", hung_up)?;
    d.set_item("streams", named(py, CODECS.into_iter().zip(k.streams))?)?;
    d.set_item("calls", named(py, CODECS.into_iter().zip(k.calls))?)?;
    Ok(d)
}
