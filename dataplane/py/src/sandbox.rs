//! The process gives up what it does not need; see `lc_io::sandbox`.

use std::path::PathBuf;

use lc_io::sandbox::{self, Enforcement, Role, Rules, Status};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

fn fault<E: std::fmt::Display>(e: E) -> PyErr {
    PyOSError::new_err(e.to_string())
}

fn dict<'py>(py: Python<'py>, s: &Status) -> PyResult<Bound<'py, PyDict>> {
    let d = PyDict::new(py);
    d.set_item("uids", s.uids.to_vec())?;
    d.set_item("gids", s.gids.to_vec())?;
    d.set_item("groups", s.groups.clone())?;
    for (name, set) in [
        ("effective", s.effective),
        ("permitted", s.permitted),
        ("inheritable", s.inheritable),
        ("bounding", s.bounding),
        ("ambient", s.ambient),
    ] {
        d.set_item(name, format!("{set:016x}"))?;
    }
    d.set_item("no_new_privs", s.no_new_privs)?;
    d.set_item("dumpable", s.dumpable)?;
    d.set_item("seccomp", s.seccomp)?;
    d.set_item("mdwe", s.mdwe)?;
    d.set_item("landlock_abi", s.landlock_abi)?;
    let landlock = match s.landlock {
        Enforcement::None => "none",
        Enforcement::Partial => "partial",
        Enforcement::Full => "full",
    };
    d.set_item("landlock", landlock)?;
    d.set_item("missing", s.missing.clone())?;
    Ok(d)
}

/// Becomes this user for good: no capability, no way to get one back. Raises OSError with one line.
#[pyfunction]
pub fn drop_privileges(uid: u32, gid: u32, groups: Vec<u32>) -> PyResult<()> {
    sandbox::drop_privileges(uid, gid, &groups).map(drop).map_err(fault)
}

/// Puts everything but these files and directories out of reach, all TCP but to the ports of `connect`, and all system
/// calls that the role ("capture", "daemon" or "relay") does not need; gives what is in force. Raises ValueError for
/// another role.
#[pyfunction]
#[pyo3(signature = (role, *, read, write, manage=vec![], connect=vec![]))]
pub fn lock<'py>(
    py: Python<'py>,
    role: &str,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    manage: Vec<PathBuf>,
    connect: Vec<u16>,
) -> PyResult<Bound<'py, PyDict>> {
    let role = match role {
        "capture" => Role::Capture,
        "daemon" => Role::Daemon,
        "relay" => Role::Relay,
        _ => return Err(PyValueError::new_err(format!("role: {role} is none of capture, daemon, relay"))),
    };
    dict(py, &sandbox::lock(role, &Rules { read, write, manage, connect }).map_err(fault)?)
}

/// What the kernel says is in force.
#[pyfunction]
pub fn sandbox_status(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    dict(py, &sandbox::status().map_err(fault)?)
}
