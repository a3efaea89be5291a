//! The Python module `lippycatd._dataplane`: the only crate that knows Python.
use pyo3::prelude::*;

/// The Rust core of lippycatd.
#[pymodule]
fn _dataplane(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
