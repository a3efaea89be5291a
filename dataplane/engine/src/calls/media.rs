//! Media packets: to their calls, and into the statistics of their streams.

use lc_proto::rtp;

use super::profile::clock_of;
use super::Calls;
use crate::defrag::FrameId;
use crate::frames::FrameNo;
use crate::media::{FlowKey, Kind, Owners, Seen};
use crate::rtp_stats::{Arrival, Clock};
use crate::select::Class;
use crate::verdict::Verdicts;

impl Calls {
    /// An RTP or RTCP packet; its owners.
    #[inline]
    pub fn media(
        &mut self,
        v: &mut impl Verdicts,
        key: FlowKey,
        kind: Kind,
        payload: &[u8],
        id: FrameId,
        now: u64,
    ) -> Owners {
        let frame = id.frame;
        let found = self.media.flow(key, now);
        std::mem::take(&mut self.media.let_go).into_iter().for_each(|frame| v.release(frame));
        let Some(flow) = found else { return Owners::default() };
        let (ssrc, sequence, packet) = match kind {
            Kind::Rtp => match rtp::parse(payload) {
                Some(p) => (p.ssrc, p.sequence, Some(p)),
                None => return Owners::default(),
            },
            Kind::Rtcp => (lc_proto::rtcp::parse(payload).map_or(0, |p| p.ssrc), 0, None),
        };
        let owners = self.media.packet(flow, Seen { kind, ssrc, sequence, now });
        let class = if kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp };
        for call in owners.as_slice() {
            self.give(v, frame, *call, class, now);
        }
        if owners.is_empty() && self.selection.admits(class) {
            self.media.wait(flow, frame, now, v.horizon());
            v.hold(frame);
        }
        if let Some(p) = packet.filter(|_| self.records) {
            let clock = self.clock(&owners, p.payload_type);
            let a = Arrival {
                ts: id.ts,
                sequence,
                timestamp: p.timestamp,
                payload_type: p.payload_type,
                bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                first: payload.get(p.payload_offset).copied(),
            };
            self.media.count(flow, ssrc, a, clock);
            if !self.media.ended.is_empty() {
                self.streams(v);
            }
        }
        owners
    }

    /// A further frame of the packet that `media` just took: a fragment of it.
    pub fn media_again(&mut self, v: &mut impl Verdicts, key: FlowKey, kind: Kind, frame: FrameNo, now: u64) -> Owners {
        let Some(flow) = self.media.flow(key, now) else { return Owners::default() };
        let owners = self.media.owners(flow);
        let class = if kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp };
        for call in owners.as_slice() {
            self.give(v, frame, *call, class, now);
        }
        if owners.is_empty() && self.selection.admits(class) {
            self.media.wait(flow, frame, now, v.horizon());
            v.hold(frame);
        }
        owners
    }

    /// Clock of a payload type: as SDP maps it, else RFC 3551's table, else 8000 Hz.
    pub(super) fn clock(&self, owners: &Owners, payload_type: u8) -> Clock {
        let calls = owners.as_slice().iter().filter_map(|c| self.table.get(*c));
        let named = calls.flat_map(|c| &c.codecs).find(|c| c.payload_type == payload_type);
        match named {
            Some(c) => {
                let events = c.name.eq_ignore_ascii_case("telephone-event");
                let noise = c.name.eq_ignore_ascii_case("CN");
                // G.722's RTP clock is 8000 Hz whatever is said (RFC 3551 §4.5.2)
                let rate = if c.name.eq_ignore_ascii_case("G722") { 8000 } else { c.rate };
                Clock { rate, timed: !events && !noise, events }
            }
            None => clock_of(payload_type),
        }
    }

    /// Another datagram on a media port.
    pub fn other(&mut self, v: &mut impl Verdicts, key: FlowKey, framed: bool, frame: FrameNo, now: u64) -> Owners {
        let owners = self.media.other(key, framed);
        for call in owners.as_slice() {
            self.give(v, frame, *call, Class::Rtp, now);
        }
        owners
    }
}
