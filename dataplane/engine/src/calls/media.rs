//! Media packets: to their calls, and into the statistics of their streams.

use lc_proto::{rtcp, rtp};

use super::profile::{clock_of, clock_of_codec, codec_of};
use super::tell::ends;
use super::Calls;
use crate::defrag::FrameId;
use crate::frames::FrameNo;
use crate::media::{FlowKey, Kind, Owners, Seen, Taken};
use crate::record::{Record, RtcpRecord};
use crate::select::Class;
use crate::slab::Ref;
use crate::stream::Arrival;
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
        (id, source): (FrameId, u16),
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
            Kind::Rtcp => (rtcp::parse(payload).map_or(0, |p| p.ssrc), 0, None),
        };
        let owners = self.media.packet(flow, Seen { kind, ssrc, sequence, now });
        let class = if kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp };
        for call in owners.as_slice() {
            self.give(v, frame, *call, class, now);
        }
        if owners.is_empty() && self.selection.admits(class) && self.strain < 2 {
            self.media.wait(flow, frame, now, v.horizon());
            v.hold(frame);
        }
        if let Some(p) = packet.as_ref().filter(|_| self.media.guesses && owners.is_empty()) {
            self.guess(v, flow, p, (frame, now));
        }
        if kind == Kind::Rtcp {
            self.reports(&owners, payload, key, (id, source));
        }
        if let Some(p) = packet.filter(|_| self.measures && self.strain == 0) {
            self.measured(flow, &owners, &p, payload, (id, source));
            if !self.media.ended.is_empty() {
                self.streams(v);
            }
        }
        owners
    }

    /// A packet without an owner: frames of what is taken for RTP are selected where no selector names calls. They
    /// wait on, for an SDP that names them after all.
    #[cold]
    fn guess(&mut self, v: &mut impl Verdicts, flow: Ref, p: &rtp::Rtp, (frame, now): (FrameNo, u64)) {
        let before = self.media.taken(flow);
        let after = self.media.guess(flow, p, now);
        if after != Taken::Rtp || !self.selection.every_call() || !self.selection.admits(Class::Rtp) {
            return;
        }
        v.select(frame);
        if before != Taken::Rtp {
            self.media.waiting(flow).for_each(|frame| v.select(frame));
        }
    }

    /// A datagram of RTCP into what its calls' sources say; of SRTCP only the first eight bytes can be read.
    fn reports(&mut self, owners: &Owners, datagram: &[u8], key: FlowKey, (id, source): (FrameId, u16)) {
        let mut damage = None;
        for call in owners.as_slice() {
            let Some(c) = self.table.get_mut(*call).filter(|c| !c.claims.iter().any(|k| k.secure)) else { continue };
            damage = match self.measures {
                true => c.more().reports.get_or_insert_default().take(datagram, id.ts),
                false => rtcp::packets(datagram).find_map(Result::err),
            };
            if self.tells_rtcp && self.selection.admits(Class::Rtcp) {
                let call_id = c.id().into();
                let (ts, frame, bytes) = (id.ts, id.number, datagram.into());
                let record = RtcpRecord { ts, source, frame, ends: ends(key), call_id, bytes };
                self.tell(*call, Record::Rtcp(Box::new(record)));
            }
        }
        if let Some(damage) = damage {
            self.stats.rtcp_damaged[damage as usize] += 1;
        }
    }

    /// An RTP packet into the statistics of its stream.
    #[inline]
    fn measured(&mut self, flow: Ref, owners: &Owners, p: &rtp::Rtp, packet: &[u8], (id, source): (FrameId, u16)) {
        let payload = packet.get(p.payload_offset..).and_then(|b| b.get(..p.payload_len)).unwrap_or_default();
        let a = Arrival {
            ts: id.ts,
            sequence: p.sequence,
            timestamp: p.timestamp,
            payload_type: p.payload_type,
            marker: p.marker,
            bytes: u32::try_from(packet.len()).unwrap_or(u32::MAX),
            payload: u16::try_from(payload.len()).unwrap_or(u16::MAX),
            first: payload.first_chunk().copied(),
        };
        let Self { media, table, measure, .. } = self;
        let Some(counted) = media.stream(flow, p.ssrc, a, (source, id.number)) else { return };
        let stream = counted.stream;
        if stream.asks(p.payload_type, counted.epoch) {
            let calls = owners.as_slice().iter().filter_map(|c| table.get(*c));
            let ends = counted.ends;
            let clocks = calls.filter_map(|c| Some((c, codec_of(c, ends, p.payload_type)?)));
            let named = clocks.map(|(c, codec)| clock_of_codec(codec, c.codecs.name(codec))).next();
            let clock = named.unwrap_or_else(|| clock_of(p.payload_type));
            stream.learn(p.payload_type, counted.epoch, clock);
        }
        stream.arrive(a, *measure);
        if counted.draining && owners.as_slice().iter().filter_map(|c| table.get(*c)).all(|c| c.session.has_hung_up()) {
            stream.more.after_end += 1;
        }
    }

    /// A further frame of the packet that `media` just took: a fragment of it.
    pub fn media_again(&mut self, v: &mut impl Verdicts, key: FlowKey, kind: Kind, frame: FrameNo, now: u64) -> Owners {
        let Some(flow) = self.media.flow(key, now) else { return Owners::default() };
        let owners = self.media.owners(flow);
        let class = if kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp };
        for call in owners.as_slice() {
            self.give(v, frame, *call, class, now);
        }
        if owners.is_empty() && self.selection.admits(class) && self.strain < 2 {
            self.media.wait(flow, frame, now, v.horizon());
            v.hold(frame);
        }
        owners
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
