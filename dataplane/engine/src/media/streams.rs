//! RTP streams of the flows, for their statistics.

use super::{FlowKey, Media, Owners, MAX_STREAMS};
use crate::rtp_stats::{Arrival, Clock, RtpStats};
use crate::slab::Ref;

const MAX_STREAMS_OF_FLOW: usize = 32;

/// A stream that ended, with its owners at that time.
#[derive(Debug)]
pub struct Ended {
    /// Endpoints.
    pub key: FlowKey,
    /// Calls.
    pub owners: Owners,
    /// Statistics.
    pub stats: RtpStats,
}

impl Media {
    /// Counts an RTP packet in its stream's statistics.
    pub fn count(&mut self, at: Ref, ssrc: u32, a: Arrival, clock: Clock) {
        let Some(f) = self.flows.get_mut(at) else { return };
        if f.streams.get(f.last_stream).is_none_or(|s| s.ssrc != ssrc) {
            match f.streams.iter().position(|s| s.ssrc == ssrc) {
                Some(i) => f.last_stream = i,
                None if f.streams.len() < MAX_STREAMS_OF_FLOW && self.streams < MAX_STREAMS => {
                    self.streams += 1;
                    f.last_stream = f.streams.len();
                    f.streams.push(RtpStats::new(ssrc, a, clock));
                    return;
                }
                None => {
                    self.evicted.streams += 1;
                    return;
                }
            }
        }
        f.streams[f.last_stream].arrive(a, clock);
    }

    pub(super) fn end_streams(&mut self, at: Ref) {
        if let Some(f) = self.flows.get_mut(at) {
            let (key, owners) = (f.key, f.owners);
            let streams = std::mem::take(&mut f.streams);
            self.streams -= streams.len();
            self.ended.extend(streams.into_iter().map(|stats| Ended { key, owners, stats }));
        }
    }
}
