//! RTP streams of the flows, for their statistics.

use super::flows::FlowState;
use super::{FlowKey, Media, Owners, Taken, MAX_STREAMS};
use crate::slab::Ref;
use crate::stream::{Arrival, Stream};

const MAX_STREAMS_OF_FLOW: usize = 32;

/// A stream that ended, with its owners at that time.
#[derive(Debug)]
pub struct Ended {
    /// Endpoints.
    pub key: FlowKey,
    /// Their places, which they have for as long as a call claims them.
    pub ends: [Ref; 2],
    /// Calls; none: without signalling.
    pub owners: Owners,
    /// Whether its flow was taken for RTP.
    pub guessed: bool,
    /// The SSRC that it took over from: the flow's stream before it had ended when it began.
    pub follows: Option<u32>,
    /// Statistics.
    pub stream: Stream,
}

/// A packet's stream and what its flow says of it.
pub struct Counted<'a> {
    /// The stream.
    pub stream: &'a mut Stream,
    /// Places of its endpoints.
    pub ends: [Ref; 2],
    /// Changes when payload types may have got another meaning.
    pub epoch: u8,
    /// Its owner has left the endpoints.
    pub draining: bool,
}

impl Media {
    /// The stream of an RTP packet, made when it is new; `first` are source and number of its frame.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // a flow has 32 streams at most
    pub fn stream(&mut self, at: Ref, ssrc: u32, a: Arrival, first: (u16, u64)) -> Option<Counted<'_>> {
        let f = self.flows.get_mut(at)?;
        if f.streams.get(usize::from(f.last_stream)).is_none_or(|s| s.ssrc != ssrc) {
            match f.streams.iter().position(|s| s.ssrc == ssrc) {
                Some(i) => f.last_stream = i as u8,
                None if f.streams.len() < MAX_STREAMS_OF_FLOW && self.streams < MAX_STREAMS => {
                    self.streams += 1;
                    f.last_stream = f.streams.len() as u8;
                    f.streams.reserve_exact(1);
                    f.streams.push(Stream::new(ssrc, a, first));
                }
                None => {
                    self.evicted.streams += 1;
                    return None;
                }
            }
        }
        Some(Counted {
            ends: f.ends,
            epoch: f.epoch,
            draining: f.state == FlowState::Draining,
            stream: &mut f.streams[usize::from(f.last_stream)],
        })
    }

    pub(super) fn end_streams(&mut self, at: Ref) {
        if let Some(f) = self.flows.get_mut(at) {
            let (key, ends, owners) = (f.key, f.ends, f.owners);
            let guessed = f.guess.as_ref().is_some_and(|g| g.taken == Taken::Rtp);
            let streams = std::mem::take(&mut f.streams);
            self.streams -= streams.len();
            let spans: Vec<(u32, u64, u64)> = streams.iter().map(|s| (s.ssrc, s.more.start, s.end)).collect();
            self.ended.extend(streams.into_iter().map(|stream| {
                let before = spans.iter().filter(|(_, _, end)| *end <= stream.more.start && stream.end > *end);
                let follows = before.max_by_key(|(_, _, end)| *end).map(|(ssrc, _, _)| *ssrc);
                Ended { key, ends, owners, guessed, follows: follows.filter(|s| *s != stream.ssrc), stream }
            }));
        }
    }
}
