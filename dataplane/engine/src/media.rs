//! Whose media is it: endpoints that SDP named, flows between endpoints, and the rules that bind them (law 4).
//!
//! A call *claims* exact endpoints (context, address, port). A packet belongs to the calls that claim both its ends,
//! else to the newest claim on either. A claim *drains* when its call ends, moves away, or loses the port to another
//! call: from then on it takes only streams that were already its own. Packets without an owner wait with their flow:
//! an SDP that comes later adopts them.

use std::hash::{Hash, Hasher};

use std::collections::VecDeque;

use hashbrown::HashMap;
use lc_wire::{Addr, Context};

use crate::frames::{FrameNo, Waiting};
use crate::rtp_stats::{Arrival, Clock, RtpStats};
use crate::slab::{Ref, Slab};

const SECOND: u64 = 1_000_000_000;
/// A draining claim takes packets of its streams so long after the last one, ns.
const TAIL: u64 = 5 * SECOND;
/// The same, when another call has claimed the port.
const TAIL_CONTESTED: u64 = SECOND * 3 / 10;
/// Two calls that claim a port within this time before its media share it (a B2BUA without media), ns.
const SHARE: u64 = 10 * SECOND;
/// A flow is adopted when its last packet is no older, ns.
const ADOPT: u64 = 5 * SECOND;
/// Flows without an owner are forgotten after, ns.
const IDLE_ORPHAN: u64 = 30 * SECOND;
/// Flows with an owner are forgotten after, ns.
const IDLE_OWNED: u64 = 600 * SECOND;
/// Flows at once.
pub const MAX_FLOWS: usize = 500_000;
/// Endpoints at once.
pub const MAX_ENDS: usize = 2 * MAX_FLOWS;
/// RTP streams with statistics at once.
pub const MAX_STREAMS: usize = 500_000;
const MAX_CLAIMS: usize = 8;
const MAX_FLOWS_OF_END: usize = 64;
const MAX_STREAMS_OF_FLOW: usize = 32;
/// Flows looked at to find one to forget at the limit.
const MAX_LOOKS: usize = 16;

/// An exact endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct End {
    /// VLANs around it.
    pub context: Context,
    /// Address.
    pub addr: Addr,
    /// UDP port.
    pub port: u16,
}

/// One direction between two endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowKey {
    /// VLANs around it.
    pub context: Context,
    /// Sender.
    pub src: Addr,
    /// Receiver.
    pub dst: Addr,
    /// Sender's port.
    pub sport: u16,
    /// Receiver's port.
    pub dport: u16,
}

impl Hash for FlowKey {
    /// Few words: this is done once a media packet.
    #[inline]
    fn hash<H: Hasher>(&self, h: &mut H) {
        h.write_u128(self.src.0);
        h.write_u128(self.dst.0);
        h.write_u64(self.context ^ (u64::from(self.sport) << 48 | u64::from(self.dport) << 32));
    }
}

impl FlowKey {
    fn ends(self) -> [End; 2] {
        let end = |addr, port| End { context: self.context, addr, port };
        [end(self.src, self.sport), end(self.dst, self.dport)]
    }
}

/// The calls a frame belongs to; a few at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Owners {
    len: u8,
    refs: [Ref; 4],
}

impl Default for Owners {
    fn default() -> Self {
        Self { refs: [Ref { slot: 0, serial: 0 }; 4], len: 0 }
    }
}

impl Owners {
    /// Adds a call unless it is in or there is no place.
    pub fn add(&mut self, call: Ref) {
        if !self.as_slice().contains(&call) && usize::from(self.len) < self.refs.len() {
            self.refs[usize::from(self.len)] = call;
            self.len += 1;
        }
    }

    /// The calls.
    #[must_use]
    pub fn as_slice(&self) -> &[Ref] {
        &self.refs[..usize::from(self.len)]
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl FromIterator<Ref> for Owners {
    fn from_iter<I: IntoIterator<Item = Ref>>(calls: I) -> Self {
        let mut owners = Self::default();
        calls.into_iter().for_each(|c| owners.add(c));
        owners
    }
}

/// How an endpoint came to be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// SDP names it.
    Named,
    /// SDP names the same for media that is not RTP (T.38, MSRP).
    NamedOther,
    /// The RTCP port that RFC 3550 §11 implies: RTP's plus one.
    ImpliedRtcp,
}

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// RTP.
    Rtp,
    /// RTCP.
    Rtcp,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    call: Ref,
    how: How,
    active: bool,
    had_media: bool,
    stamp: u64,
    since: u64,
}

#[derive(Debug)]
struct Endpoint {
    end: End,
    version: u32,
    claims: Vec<Claim>,
    /// The newest of its flows.
    flows: Vec<Ref>,
    /// How many flows refer to it.
    links: u32,
}

/// One direction between two endpoints with what was learned of it. What every packet touches stands first, on one
/// cache line.
#[derive(Debug)]
#[repr(C)]
pub struct Flow {
    ends: [Ref; 2],
    versions: [u32; 2],
    last: u64,
    ssrcs: [u32; 4],
    last_sequence: u16,
    kind: Kind,
    draining: bool,
    next_ssrc: u8,
    /// Calls it belongs to.
    pub owners: Owners,
    /// Its endpoints.
    pub key: FlowKey,
    waiting: Option<Box<Waiting>>,
    /// Statistics of its streams.
    pub streams: Vec<RtpStats>,
    last_stream: usize,
}

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

/// Frames that found their owner late.
#[derive(Debug)]
pub struct Adopted {
    /// The flow.
    pub flow: Ref,
    /// Its kind.
    pub kind: Kind,
    /// Its new owners.
    pub owners: Owners,
    /// Its frames so far.
    pub frames: Vec<FrameNo>,
    /// How many had been forgotten.
    pub forgotten: u32,
}

/// One packet of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// RTP or RTCP.
    pub kind: Kind,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number (0 for RTCP).
    pub sequence: u16,
    /// Packet time, ns.
    pub now: u64,
}

/// All endpoints and flows.
#[derive(Debug, Default)]
pub struct Media {
    ends: Slab<Endpoint>,
    by_end: HashMap<End, Ref>,
    flows: Slab<Flow>,
    by_flow: HashMap<FlowKey, Ref>,
    /// Each flow with its last packet's time when it was put here.
    order: VecDeque<(Ref, u64)>,
    streams: usize,
    /// Frames that wait for an owner no longer: their flow was forgotten at the limit.
    pub let_go: Vec<FrameNo>,
    stamp: u64,
    swept: u64,
    /// Streams that ended since they were last taken.
    pub ended: Vec<Ended>,
    /// Flows, streams and endpoints not followed for the limits, and flows forgotten for their age.
    pub evicted: [u64; 2],
}

impl Media {
    /// (endpoints, flows) in the tables.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.ends.len(), self.flows.len())
    }

    fn endpoint(&mut self, end: End) -> Ref {
        if let Some(at) = self.by_end.get(&end) {
            return *at;
        }
        let at = self.ends.insert(Endpoint { end, version: 0, claims: Vec::new(), flows: Vec::new(), links: 0 });
        self.by_end.insert(end, at);
        at
    }

    /// A call claims an endpoint; `mine` are the endpoints it claims already. None at the limit.
    pub fn claim(&mut self, end: End, call: Ref, how: How, mine: &[Ref], now: u64) -> Option<Ref> {
        if self.ends.len() >= MAX_ENDS && !self.by_end.contains_key(&end) {
            self.evicted[0] += 1;
            return None;
        }
        let at = self.endpoint(end);
        self.stamp += 1;
        let claim = Claim { call, how, active: true, had_media: false, stamp: self.stamp, since: now };
        let others: Vec<Claim> = self.ends.get(at).map(|e| e.claims.clone()).unwrap_or_default();
        let drained: Vec<Ref> = others
            .iter()
            .filter(|c| c.call != call && c.active && (c.how == How::ImpliedRtcp) == (how == How::ImpliedRtcp))
            .filter(|c| (c.had_media || now.saturating_sub(c.since) > SHARE) && !self.share(c.call, mine, at))
            .map(|c| c.call)
            .collect();
        let e = self.ends.get_mut(at)?;
        e.version = e.version.wrapping_add(1);
        e.claims.iter_mut().filter(|c| drained.contains(&c.call)).for_each(|c| c.active = false);
        if let Some(c) = e.claims.iter_mut().find(|c| c.call == call) {
            let named = how != How::ImpliedRtcp || c.how == How::ImpliedRtcp || !c.active;
            *c = Claim { had_media: c.had_media, how: if named { how } else { c.how }, ..claim };
        } else {
            if e.claims.len() >= MAX_CLAIMS {
                e.claims.remove(0);
            }
            e.claims.push(claim);
        }
        Some(at)
    }

    /// Whether `call` actively claims one of `mine` other than `but`.
    fn share(&self, call: Ref, mine: &[Ref], but: Ref) -> bool {
        mine.iter()
            .filter(|m| **m != but)
            .filter_map(|m| self.ends.get(*m))
            .any(|e| e.claims.iter().any(|c| c.call == call && c.active && c.how != How::ImpliedRtcp))
    }

    /// From now on the claim takes only streams that are already its own.
    pub fn drain(&mut self, at: Ref, call: Ref) {
        if let Some(e) = self.ends.get_mut(at) {
            e.version = e.version.wrapping_add(1);
            e.claims.iter_mut().filter(|c| c.call == call).for_each(|c| c.active = false);
        }
    }

    /// The claim ends.
    pub fn unclaim(&mut self, at: Ref, call: Ref) {
        if let Some(e) = self.ends.get_mut(at) {
            e.version = e.version.wrapping_add(1);
            e.claims.retain(|c| c.call != call);
            self.tidy(at);
        }
    }

    /// Ends a claim that only the RTP port implies.
    pub fn unclaim_implied(&mut self, end: End, call: Ref) {
        if let Some(at) = self.by_end.get(&end).copied() {
            if let Some(e) = self.ends.get_mut(at) {
                e.version = e.version.wrapping_add(1);
                e.claims.retain(|c| c.call != call || c.how != How::ImpliedRtcp);
            }
            self.tidy(at);
        }
    }

    fn tidy(&mut self, at: Ref) {
        if self.ends.get(at).is_some_and(|e| e.claims.is_empty() && e.links == 0) {
            if let Some(e) = self.ends.remove(at) {
                self.by_end.remove(&e.end);
            }
        }
    }

    /// The flow of a packet (made when it is new; `None` at the limit).
    #[inline]
    pub fn flow(&mut self, key: FlowKey, now: u64) -> Option<Ref> {
        if let Some(at) = self.by_flow.get(&key) {
            return Some(*at);
        }
        if self.flows.len() >= MAX_FLOWS {
            self.evicted[0] += 1;
            self.evict()?;
        }
        let ends = key.ends().map(|e| self.endpoint(e));
        let at = self.flows.insert(Flow {
            key,
            ends,
            versions: [u32::MAX; 2],
            kind: Kind::Rtp,
            draining: false,
            owners: Owners::default(),
            last: now,
            last_sequence: 0,
            ssrcs: [0; 4],
            next_ssrc: 0,
            waiting: None,
            streams: Vec::new(),
            last_stream: 0,
        });
        self.by_flow.insert(key, at);
        if self.order.len() > 2 * self.flows.len() + 64 {
            let flows = &self.flows;
            self.order.retain(|(flow, _)| flows.get(*flow).is_some());
        }
        self.order.push_back((at, now));
        for end in ends {
            if let Some(e) = self.ends.get_mut(end) {
                if e.flows.len() >= MAX_FLOWS_OF_END {
                    e.flows.remove(0);
                }
                e.flows.push(at);
                e.links += 1;
            }
        }
        Some(at)
    }

    /// Forgets a flow without an owner that was quiet for long, of the few that are next in turn.
    fn evict(&mut self) -> Option<()> {
        for _ in 0..MAX_LOOKS {
            let (at, last) = self.order.pop_front()?;
            match self.flows.get(at) {
                None => {}
                Some(f) if f.last > last || !f.owners.is_empty() => self.order.push_back((at, f.last)),
                Some(_) => {
                    let frames = self.remove(at);
                    self.let_go.extend(frames);
                    return Some(());
                }
            }
        }
        None
    }

    /// Whose packet it is; the flow remembers it.
    #[inline]
    pub fn packet(&mut self, at: Ref, seen: Seen) -> Owners {
        let Some(f) = self.flows.get(at) else { return Owners::default() };
        let versions = f.ends.map(|e| self.ends.get(e).map_or(0, |e| e.version));
        let known = f.ssrcs.contains(&seen.ssrc);
        let owners = if f.versions == versions && f.kind == seen.kind && !f.draining && known {
            f.owners
        } else {
            self.resolve(at, seen, versions)
        };
        if let Some(f) = self.flows.get_mut(at) {
            f.last = seen.now;
            f.last_sequence = seen.sequence;
            if !f.ssrcs.contains(&seen.ssrc) {
                f.ssrcs[usize::from(f.next_ssrc)] = seen.ssrc;
                f.next_ssrc = (f.next_ssrc + 1) % 4;
            }
        }
        owners
    }

    fn resolve(&mut self, at: Ref, seen: Seen, versions: [u32; 2]) -> Owners {
        let Some(f) = self.flows.get(at) else { return Owners::default() };
        let rtcp = seen.kind == Kind::Rtcp;
        let active = self.active(f.ends, rtcp);
        let known = f.ssrcs.contains(&seen.ssrc) && !f.owners.is_empty();
        let quiet = seen.now.saturating_sub(f.last);
        let near = rtcp || (seen.sequence.wrapping_sub(f.last_sequence) as i16).unsigned_abs() < 64;
        let drains = known && f.owners.as_slice().iter().any(|c| self.drains(f.ends, *c));
        let keeps = drains && if active.is_empty() { quiet <= TAIL } else { quiet <= TAIL_CONTESTED && near };
        let owners = if keeps { f.owners } else { active };
        let changed = owners != f.owners;
        let ends = f.ends;
        self.carried(ends, owners);
        if changed {
            self.end_streams(at);
        }
        if let Some(f) = self.flows.get_mut(at) {
            if changed {
                f.ssrcs = [seen.ssrc; 4];
            }
            (f.owners, f.versions, f.kind, f.draining) = (owners, versions, seen.kind, keeps);
        }
        owners
    }

    /// Notes on both ends that the owners' media came there.
    fn carried(&mut self, ends: [Ref; 2], owners: Owners) {
        for end in ends {
            if let Some(e) = self.ends.get_mut(end) {
                e.claims.iter_mut().filter(|c| owners.as_slice().contains(&c.call)).for_each(|c| c.had_media = true);
            }
        }
    }

    fn drains(&self, ends: [Ref; 2], call: Ref) -> bool {
        let claims = ends.map(|e| self.ends.get(e).map_or(&[][..], |e| &e.claims));
        claims.into_iter().flatten().any(|c| c.call == call && !c.active)
    }

    /// The calls that actively claim a flow: those on both ends, else the newest on either.
    fn active(&self, ends: [Ref; 2], rtcp: bool) -> Owners {
        let of = |end: Ref| -> Vec<Claim> {
            let all = self.ends.get(end).map_or(&[][..], |e| &e.claims).iter().filter(|c| c.active);
            let named: Vec<Claim> = all.clone().filter(|c| c.how != How::ImpliedRtcp).copied().collect();
            match named.is_empty() && rtcp {
                true => all.copied().collect(),
                false => named,
            }
        };
        let (s, d) = (of(ends[0]), of(ends[1]));
        let both: Owners = s.iter().filter(|c| d.iter().any(|o| o.call == c.call)).map(|c| c.call).collect();
        if !both.is_empty() {
            return both;
        }
        let newest = |claims: &[Claim]| claims.iter().map(|c| c.stamp).max();
        match (newest(&s), newest(&d)) {
            (None, None) => Owners::default(),
            (a, b) => (if a > b { s } else { d }).iter().map(|c| c.call).collect(),
        }
    }

    /// Whose datagram it is when it is neither RTP nor RTCP: `framed` when its content names a protocol that shares
    /// media ports (STUN, DTLS, ZRTP; RFC 7983), else only between two endpoints of one call or where SDP said so.
    #[must_use]
    pub fn other(&self, key: FlowKey, framed: bool) -> Owners {
        let found = key.ends().map(|e| self.by_end.get(&e).copied());
        let claims = |at: Option<Ref>| at.and_then(|at| self.ends.get(at)).map_or(&[][..], |e| &e.claims);
        let named = |at| claims(at).iter().filter(|c| c.active && c.how != How::ImpliedRtcp);
        let both = named(found[0]).filter(|c| named(found[1]).any(|o| o.call == c.call));
        let both: Owners = both.map(|c| c.call).collect();
        if !both.is_empty() {
            return both;
        }
        let one = found.into_iter().flat_map(|at| named(at).filter(|c| framed || c.how == How::NamedOther));
        one.max_by_key(|c| c.stamp).map(|c| c.call).into_iter().collect()
    }

    /// The owners of a flow's last packet.
    #[must_use]
    pub fn owners(&self, at: Ref) -> Owners {
        self.flows.get(at).map(|f| f.owners).unwrap_or_default()
    }

    /// A frame without an owner waits with its flow.
    pub fn wait(&mut self, at: Ref, frame: FrameNo, now: u64, horizon: u64) {
        if let Some(f) = self.flows.get_mut(at) {
            f.waiting.get_or_insert_default().push(frame, now, horizon);
        }
    }

    /// Flows that touch newly claimed endpoints and now have an owner, with the frames that waited.
    pub fn adopt(&mut self, claimed: &[Ref], now: u64) -> Vec<Adopted> {
        let mut out = Vec::new();
        let flows: Vec<Ref> = claimed.iter().filter_map(|e| self.ends.get(*e)).flat_map(|e| e.flows.clone()).collect();
        for at in flows {
            let Some(f) = self.flows.get(at) else { continue };
            if !f.owners.is_empty() || f.waiting.is_none() || now.saturating_sub(f.last) > ADOPT {
                continue;
            }
            let kind = f.kind;
            let owners = self.active(f.ends, kind == Kind::Rtcp);
            let Some(f) = self.flows.get_mut(at).filter(|_| !owners.is_empty()) else { continue };
            let mut waiting = f.waiting.take().unwrap_or_default();
            let frames = waiting.take().collect();
            (f.owners, f.versions) = (owners, [u32::MAX; 2]);
            let ends = f.ends;
            self.carried(ends, owners);
            out.push(Adopted { flow: at, kind, owners, frames, forgotten: waiting.forgotten });
        }
        out
    }

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
                    self.evicted[0] += 1;
                    return;
                }
            }
        }
        f.streams[f.last_stream].arrive(a, clock);
    }

    fn end_streams(&mut self, at: Ref) {
        if let Some(f) = self.flows.get_mut(at) {
            let (key, owners) = (f.key, f.owners);
            let streams = std::mem::take(&mut f.streams);
            self.streams -= streams.len();
            self.ended.extend(streams.into_iter().map(|stats| Ended { key, owners, stats }));
        }
    }

    /// A call is over for good: its claims end, its flows forget it; their streams have ended.
    pub fn leave(&mut self, call: Ref, claimed: &[Ref]) {
        for at in claimed {
            let flows = self.ends.get(*at).map(|e| e.flows.clone()).unwrap_or_default();
            for flow in flows {
                if self.flows.get(flow).is_some_and(|f| f.owners.as_slice().contains(&call)) {
                    self.end_streams(flow);
                    if let Some(f) = self.flows.get_mut(flow) {
                        f.owners = f.owners.as_slice().iter().filter(|c| **c != call).copied().collect();
                        f.versions = [u32::MAX; 2];
                    }
                }
            }
            self.unclaim(*at, call);
        }
    }

    /// Forgets idle flows, at most once in ten seconds of packet time; gives the frames that waited in vain.
    pub fn sweep(&mut self, now: u64) -> Vec<FrameNo> {
        if now.saturating_sub(self.swept) < 10 * SECOND {
            return Vec::new();
        }
        self.swept = now;
        let idle = |f: &Flow| if f.owners.is_empty() { IDLE_ORPHAN } else { IDLE_OWNED };
        let old: Vec<Ref> =
            self.flows.iter().filter(|(_, f)| now.saturating_sub(f.last) > idle(f)).map(|(at, _)| at).collect();
        self.evicted[1] += old.len() as u64;
        old.into_iter().flat_map(|at| self.remove(at)).collect()
    }

    fn remove(&mut self, at: Ref) -> Vec<FrameNo> {
        self.end_streams(at);
        let Some(mut f) = self.flows.remove(at) else { return Vec::new() };
        self.by_flow.remove(&f.key);
        for end in f.ends {
            if let Some(e) = self.ends.get_mut(end) {
                e.flows.retain(|r| *r != at);
                e.links -= 1;
            }
            self.tidy(end);
        }
        f.waiting.as_mut().map(|w| w.take().collect()).unwrap_or_default()
    }

    /// Everything ends: all streams are in `ended` afterwards.
    pub fn finish(&mut self) -> Vec<FrameNo> {
        let all: Vec<Ref> = self.flows.iter().map(|(at, _)| at).collect();
        all.into_iter().flat_map(|at| self.remove(at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: Ref = Ref { slot: 1, serial: 1 };
    const Y: Ref = Ref { slot: 2, serial: 2 };
    const MS: u64 = 1_000_000;

    fn end(host: u8, port: u16) -> End {
        End { context: 0, addr: Addr::v4([10, 0, 0, host]), port }
    }

    fn key(a: End, b: End) -> FlowKey {
        FlowKey { context: 0, src: a.addr, dst: b.addr, sport: a.port, dport: b.port }
    }

    fn claim(m: &mut Media, end: End, call: Ref, now: u64) -> Ref {
        m.claim(end, call, How::Named, &[], now).unwrap()
    }

    fn rtp(m: &mut Media, a: End, b: End, ssrc: u32, sequence: u16, now: u64) -> Vec<Ref> {
        let flow = m.flow(key(a, b), now).unwrap();
        m.packet(flow, Seen { kind: Kind::Rtp, ssrc, sequence, now }).as_slice().to_vec()
    }

    #[test]
    fn a_port_is_never_enough() {
        let mut m = Media::default();
        m.claim(end(1, 4000), X, How::Named, &[], 0);
        assert_eq!(rtp(&mut m, end(1, 4000), end(2, 5000), 7, 1, 0), [X]);
        assert_eq!(rtp(&mut m, end(3, 4000), end(2, 5000), 7, 1, 0), []);
        assert_eq!(rtp(&mut m, end(2, 5000), end(1, 4002), 7, 1, 0), []);
    }

    #[test]
    fn the_next_owner_of_a_port_is_not_confused_with_the_last() {
        let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
        let (ea, eb) = (claim(&mut m, a, X, 0), claim(&mut m, b, X, 0));
        assert_eq!(rtp(&mut m, a, b, 7, 1, 20 * MS), [X]);
        m.drain(ea, X);
        m.drain(eb, X);
        assert_eq!(rtp(&mut m, a, b, 7, 2, 40 * MS), [X]); // the tail of its own stream
        assert_eq!(rtp(&mut m, a, b, 8, 900, 60 * MS), []); // another stream
        m.claim(a, Y, How::Named, &[], 300 * MS);
        assert_eq!(rtp(&mut m, a, b, 7, 3, 700 * MS), [Y]); // even with the same SSRC
    }

    #[test]
    fn a_claim_without_bye_gives_way_to_a_newer_one() {
        let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
        m.claim(a, X, How::Named, &[], 0);
        m.claim(b, X, How::Named, &[], 0);
        rtp(&mut m, a, b, 7, 1, 20 * MS);
        let ea = claim(&mut m, a, Y, 5000 * MS);
        m.claim(b, Y, How::Named, &[ea], 5200 * MS);
        assert_eq!(rtp(&mut m, a, b, 9, 1, 5300 * MS), [Y]);
    }

    #[test]
    fn two_legs_share_endpoints_that_both_name_before_media() {
        let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
        let ea = claim(&mut m, a, X, 0);
        m.claim(a, Y, How::Named, &[], 10 * MS);
        m.claim(b, Y, How::Named, &[ea], 100 * MS);
        assert_eq!(rtp(&mut m, b, a, 7, 1, 105 * MS), [Y]); // media overtakes the second answer
        m.claim(b, X, How::Named, &[ea], 110 * MS);
        assert_eq!(rtp(&mut m, b, a, 7, 2, 125 * MS), [Y, X]);
    }

    #[test]
    fn an_implied_rtcp_port_gives_way_to_a_named_one() {
        let (a, odd, b, mut m) = (end(1, 4000), end(1, 4001), end(2, 5001), Media::default());
        m.claim(a, X, How::Named, &[], 0);
        m.claim(odd, X, How::ImpliedRtcp, &[], 0);
        let flow = m.flow(key(odd, b), 0).unwrap();
        let rtcp = Seen { kind: Kind::Rtcp, ssrc: 1, sequence: 0, now: 0 };
        assert_eq!(m.packet(flow, rtcp).as_slice(), [X]);
        m.claim(odd, Y, How::Named, &[], 5);
        assert_eq!(m.packet(flow, rtcp).as_slice(), [Y]);
    }

    #[test]
    fn media_before_sdp_is_adopted() {
        let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
        let flow = m.flow(key(a, b), 0).unwrap();
        assert_eq!(rtp(&mut m, a, b, 7, 1, 0), []);
        m.wait(flow, 33, 0, u64::MAX);
        let eb = claim(&mut m, b, X, 150 * MS);
        let adopted = m.adopt(&[eb], 150 * MS);
        assert_eq!((adopted[0].frames.as_slice(), adopted[0].owners.as_slice()), (&[33][..], &[X][..]));
        assert_eq!(rtp(&mut m, a, b, 7, 2, 160 * MS), [X]);
    }

    #[test]
    fn idle_flows_and_unclaimed_endpoints_are_forgotten() {
        let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
        let flow = m.flow(key(a, b), 0).unwrap();
        m.wait(flow, 5, 0, u64::MAX);
        assert_eq!(m.sweep(IDLE_ORPHAN + SECOND), [5]);
        assert_eq!(m.sizes(), (0, 0));
    }
}
