//! Whose media is it: endpoints that SDP named, flows between endpoints, and the rules that bind them (law 4).
//!
//! A call *claims* exact endpoints (context, address, port). A packet belongs to the calls that claim both its ends,
//! else to the newest claim on either. A claim *drains* when its call ends, moves away, or loses the port to another
//! call: from then on it takes only streams that were already its own. Packets without an owner wait with their flow:
//! an SDP that comes later adopts them.

mod claims;
mod flows;
mod guess;
mod key;
mod owners;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::frames::FrameNo;
use crate::slab::{Ref, Slab};

use claims::Endpoint;
pub use claims::How;
pub use flows::{Adopted, Flow};
pub use guess::{Guess, Taken, ENOUGH};
pub use key::{End, FlowKey, Kind};
pub use owners::{Owners, Seen};
pub use streams::{Counted, Ended};

const SECOND: u64 = 1_000_000_000;
/// Flows at once.
pub const MAX_FLOWS: usize = 500_000;
/// Endpoints at once.
pub const MAX_ENDS: usize = 2 * MAX_FLOWS;
/// RTP streams with statistics at once.
pub const MAX_STREAMS: usize = 500_000;

/// Entries that were forgotten, or found no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Flows forgotten for their age.
    pub idle_flows: u64,
    /// Flows forgotten for the limit, and packets of new ones that found no place.
    pub flows: u64,
    /// Endpoints that no call could claim.
    pub endpoints: u64,
    /// RTP packets without statistics: their stream found no place.
    pub streams: u64,
}

/// All endpoints and flows.
#[derive(Debug, Default)]
pub struct Media {
    ends: Slab<Endpoint>,
    /// Places of the endpoints.
    by_end: HashTable<u32>,
    flows: Slab<Flow>,
    /// Places of the flows, by their keys.
    by_flow: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Each flow with its last packet's time when it was put here.
    order: VecDeque<(Ref, u64)>,
    streams: usize,
    /// Frames that wait for an owner no longer: their flow was forgotten at the limit.
    pub let_go: Vec<FrameNo>,
    /// Whether RTP without signalling is looked for.
    pub guesses: bool,
    stamp: u64,
    swept: u64,
    /// Streams that ended since they were last taken.
    pub ended: Vec<Ended>,
    /// What the limits cost.
    pub evicted: Evicted,
}

impl Media {
    /// (endpoints, flows) in the tables.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.ends.len(), self.flows.len())
    }
}
