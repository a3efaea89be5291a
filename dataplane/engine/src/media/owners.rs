//! Whose packet it is.

use super::claims::{Claim, How};
use super::flows::FlowState;
use super::{End, FlowKey, Kind, Media, SECOND};
use crate::slab::Ref;

/// A draining claim takes packets of its streams so long after the last one, ns.
const TAIL: u64 = 5 * SECOND;
/// The same, when another call has claimed the port.
const TAIL_CONTESTED: u64 = SECOND * 3 / 10;

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

impl Media {
    /// Whose packet it is; the flow remembers it.
    #[inline]
    pub fn packet(&mut self, at: Ref, seen: Seen) -> Owners {
        let Some(f) = self.flows.get_mut(at) else { return Owners::default() };
        if f.state == FlowState::Current && f.kind == seen.kind && f.ssrcs.contains(&seen.ssrc) {
            (f.last, f.last_sequence) = (seen.now, seen.sequence);
            return f.owners;
        }
        self.judge(at, seen)
    }

    /// Whose packet it is where the flow alone does not say it.
    #[cold]
    fn judge(&mut self, at: Ref, seen: Seen) -> Owners {
        let Some(f) = self.flows.get(at) else { return Owners::default() };
        let versions = f.ends.map(|e| self.ends.get(e).map_or(0, |e| e.version));
        let versions = versions[0].wrapping_add(versions[1]);
        let current = match f.state {
            FlowState::Current => true,
            FlowState::Untold => f.versions == versions,
            FlowState::Stale | FlowState::Draining => false,
        };
        let owners = if current && f.kind == seen.kind && f.ssrcs.contains(&seen.ssrc) {
            f.owners
        } else {
            self.resolve(at, seen, versions)
        };
        if let Some(f) = self.flows.get_mut(at) {
            (f.last, f.last_sequence) = (seen.now, seen.sequence);
            if !f.ssrcs.contains(&seen.ssrc) {
                f.ssrcs[usize::from(f.next_ssrc)] = seen.ssrc;
                f.next_ssrc = (f.next_ssrc + 1) % 4;
            }
        }
        owners
    }

    fn resolve(&mut self, at: Ref, seen: Seen, versions: u32) -> Owners {
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
            f.epoch = f.epoch.wrapping_add(1);
            (f.owners, f.versions, f.kind) = (owners, versions, seen.kind);
            f.state = match (keeps, f.untold) {
                (true, _) => FlowState::Draining,
                (false, true) => FlowState::Untold,
                (false, false) => FlowState::Current,
            };
        }
        owners
    }

    /// Notes on both ends that the owners' media came there.
    pub(super) fn carried(&mut self, ends: [Ref; 2], owners: Owners) {
        for end in ends {
            if let Some(e) = self.ends.get_mut(end) {
                e.claims.iter_mut().filter(|c| owners.as_slice().contains(&c.call)).for_each(|c| c.had_media = true);
            }
        }
    }

    pub(super) fn drains(&self, ends: [Ref; 2], call: Ref) -> bool {
        let implying = ends.map(|at| self.implying(at));
        let all = ends.into_iter().chain(implying.into_iter().flatten());
        all.filter_map(|at| self.ends.get(at)).any(|e| e.claims.iter().any(|c| c.call == call && !c.active))
    }

    /// The endpoint of the port before, with claims that imply this one for RTCP.
    fn implying(&self, at: Ref) -> Option<Ref> {
        let end = self.ends.get(at)?.end;
        let before = self.end(&End { port: end.port.checked_sub(1)?, ..end })?;
        self.ends.get(before)?.claims.iter().any(|c| c.implies).then_some(before)
    }

    /// The calls that actively claim a flow: those on both ends, else the newest on either.
    pub(super) fn active(&self, ends: [Ref; 2], rtcp: bool) -> Owners {
        let of = |end: Ref| -> Vec<Claim> {
            let at = |at: Ref| self.ends.get(at).map_or(&[][..], |e| &e.claims).iter().filter(|c| c.active);
            let named: Vec<Claim> = at(end).copied().collect();
            match self.implying(end).filter(|_| named.is_empty() && rtcp) {
                Some(before) => at(before).filter(|c| c.implies).copied().collect(),
                None => named,
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
        let found = key.ends().map(|e| self.end(&e));
        let claims = |at: Option<Ref>| at.and_then(|at| self.ends.get(at)).map_or(&[][..], |e| &e.claims);
        let named = |at| claims(at).iter().filter(|c| c.active);
        let both = named(found[0]).filter(|c| named(found[1]).any(|o| o.call == c.call));
        let both: Owners = both.map(|c| c.call).collect();
        if !both.is_empty() {
            return both;
        }
        let one = found.into_iter().flat_map(|at| named(at).filter(|c| framed || c.how == How::NamedOther));
        one.max_by_key(|c| c.stamp).map(|c| c.call).into_iter().collect()
    }

    /// Whether SDP names either end of a flow, or did a moment ago.
    #[must_use]
    pub fn is_named(&self, key: FlowKey) -> bool {
        key.ends().iter().any(|e| self.end(e).and_then(|at| self.ends.get(at)).is_some_and(|e| !e.claims.is_empty()))
    }

    /// The owners of a flow's last packet.
    #[must_use]
    pub fn owners(&self, at: Ref) -> Owners {
        self.flows.get(at).map(|f| f.owners).unwrap_or_default()
    }
}
