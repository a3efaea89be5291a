//! The Python module `lippycatd._dataplane`: the only crate that knows Python.
//!
//! Importing it starts no thread. The threads of a [`line::Line`] never attach to Python.

#[cfg(target_os = "linux")]
mod call_sink;
mod control;
mod convert;
#[cfg(unix)]
mod hep;
mod kpi;
mod levels;
mod line;
#[cfg(target_os = "linux")]
mod live;
mod live_input;
mod once;
mod out;
mod rtcp;
mod run;
mod sandbox;
mod shared;
mod sinks;
mod streams;
mod twice;
mod views;
#[cfg(target_os = "linux")]
mod wire;

use lc_proto::users::Patterns;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Checks SIP user patterns. Raises ValueError with one line that names the first that makes no sense.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // taken from Python
fn check_patterns(users: Vec<String>) -> PyResult<()> {
    Patterns::compile(&users).map(|_| ()).map_err(|e| PyValueError::new_err(e.to_string()))
}

/// The Rust core of lippycatd: reading, following, choosing and writing packets.
#[pymodule]
fn _dataplane(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<line::Line>()?;
    m.add_class::<live_input::LiveInput>()?;
    #[cfg(unix)]
    m.add_class::<hep::HepInput>()?;
    m.add_class::<sinks::FileSink>()?;
    m.add_class::<sinks::VifSink>()?;
    #[cfg(target_os = "linux")]
    {
        m.add_class::<call_sink::CallFilesSink>()?;
        m.add_function(wrap_pyfunction!(call_sink::check_name_pattern, m)?)?;
    }
    m.add_function(wrap_pyfunction!(check_patterns, m)?)?;
    m.add_function(wrap_pyfunction!(sandbox::drop_privileges, m)?)?;
    m.add_function(wrap_pyfunction!(sandbox::lock, m)?)?;
    m.add_function(wrap_pyfunction!(sandbox::sandbox_status, m)?)?;
    Ok(())
}
