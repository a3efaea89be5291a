//! Live capture: the ring of a packet socket that was passed to us.
//!
//! The privileged side has made the socket, locked its filter and created the ring; we map it and walk it. A frame is a
//! slice of the ring until the next one is asked for, and is never copied; of a frame whose VLAN tag the kernel had
//! stripped, the twelve bytes of its addresses move, in place. TPACKET_V3 hands over blocks (high rates at little cost,
//! latency of about the retire timeout); TPACKET_V2 hands over single frames (lowest latency).
//!
//! System calls: mmap and munmap of the ring, poll, getsockopt (PACKET_STATISTICS, PACKET_VERSION, SO_ERROR),
//! getsockname, clock_gettime; sched_getaffinity and sched_setaffinity of the own thread.

mod dedup;
mod header;
mod lane;
mod live;
mod map;
mod readers;
mod ring;
mod socket;
mod strain;

pub use live::{Event, Live};
pub use readers::{Fate, Gate, Readers};
pub use ring::{Counters, Ring, Settings};
pub use socket::create_ring;
pub use strain::Strain;

/// How the ring is laid out: which header comes before each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TPACKET_V2: slots of one frame.
    V2,
    /// TPACKET_V3: blocks of many frames.
    V3,
}

/// The geometry of a ring; the privileged side says it with the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Header version.
    pub version: Version,
    /// Bytes of a block: a multiple of the page size.
    pub block_size: usize,
    /// Number of blocks.
    pub block_count: usize,
    /// Bytes of a slot (TPACKET_V2); a divisor of the block's (TPACKET_V3: not used).
    pub frame_size: usize,
    /// After how many ms a block that is not full is handed over (TPACKET_V3).
    pub retire_ms: u32,
}

impl Geometry {
    /// Bytes of the ring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.block_size * self.block_count
    }

    /// Whether there is no room for a frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Slots of the ring (TPACKET_V2), blocks of it (TPACKET_V3).
    fn parts(&self) -> usize {
        match self.version {
            Version::V2 => self.block_count * (self.block_size / self.frame_size.max(1)),
            Version::V3 => self.block_count,
        }
    }

    /// Where a slot or block begins, and its length.
    fn part(&self, n: usize) -> (usize, usize) {
        match self.version {
            Version::V2 => {
                let per_block = self.block_size / self.frame_size;
                (n / per_block * self.block_size + n % per_block * self.frame_size, self.frame_size)
            }
            Version::V3 => (n * self.block_size, self.block_size),
        }
    }

    /// Whether a ring can be like this (packet_set_ring of the kernel).
    fn is_possible(&self) -> bool {
        let slots = match self.version {
            Version::V2 => (128..=self.block_size).contains(&self.frame_size) && self.frame_size % 16 == 0,
            Version::V3 => self.block_size >= 4096,
        };
        slots && !self.is_empty() && self.block_size % 4096 == 0 && self.len() / self.block_size == self.block_count
    }
}
