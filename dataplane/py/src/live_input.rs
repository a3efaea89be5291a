//! The interface of a live capture, as Python describes it.

use pyo3::prelude::*;

/// The sockets of one interface, their rings made by the helper; the descriptors stay Python's. `frame_size` 0 stands
/// for TPACKET_V3.
#[pyclass(module = "lippycatd._dataplane", frozen)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub struct LiveInput {
    pub(crate) name: String,
    fds: Vec<i32>,
    block_size: usize,
    block_count: usize,
    timeout_ms: u32,
    frame_size: usize,
    snaplen: usize,
    mtu: usize,
    own: Vec<i32>,
}

#[pymethods]
impl LiveInput {
    #[new]
    #[pyo3(signature = (*, name, fds, block_size, block_count, timeout_ms, frame_size=0, snaplen=0, mtu=0, own=vec![]))]
    #[allow(clippy::too_many_arguments)] // keyword arguments: one description
    fn new(
        name: String,
        fds: Vec<i32>,
        block_size: usize,
        block_count: usize,
        timeout_ms: u32,
        frame_size: usize,
        snaplen: usize,
        mtu: usize,
        own: Vec<i32>,
    ) -> Self {
        Self { name, fds, block_size, block_count, timeout_ms, frame_size, snaplen, mtu, own }
    }
}

#[cfg(target_os = "linux")]
impl LiveInput {
    /// Maps the rings.
    pub fn rings(&self, source: u16) -> PyResult<Vec<lc_io::af_packet::Ring>> {
        use lc_io::af_packet::{Geometry, Ring, Settings, Version};
        let geometry = Geometry {
            version: if self.frame_size == 0 { Version::V3 } else { Version::V2 },
            block_size: self.block_size,
            block_count: self.block_count,
            frame_size: self.frame_size,
            retire_ms: self.timeout_ms,
        };
        let settings =
            Settings { name: self.name.clone(), source, snaplen: self.snaplen, mtu: self.mtu, own: self.own.clone() };
        let ring = |fd: &i32| {
            let ring = Ring::new(crate::sinks::file_of(*fd)?, geometry, settings.clone());
            ring.map_err(|e| pyo3::exceptions::PyValueError::new_err(e.to_string()))
        };
        self.fds.iter().map(ring).collect()
    }
}
