//! Files, rings, TAP devices, schedules and the sandbox: the edges of the packet's way.
//!
//! [`files`] and [`merge`] read captures, `af_packet` captures live, [`pcap_out`] writes them, `call_files`
//! one for each call, [`tap`] puts frames on a virtual
//! interface, [`sandbox`] takes from the process what it does not need. Every timestamp is in nanoseconds since 1970-01-01 UTC.
//! Each sink counts with [`counters`], in one snapshot that is always closed.

#[cfg(target_os = "linux")]
pub mod af_packet;
#[cfg(target_os = "linux")]
pub mod call_files;
pub mod clock;
#[cfg(unix)]
pub mod collect;
pub mod counters;
pub mod files;
pub mod interrupt;
pub mod memory;
pub mod merge;
pub mod pcap_out;
pub mod sandbox;
pub mod tap;
pub mod thread;
