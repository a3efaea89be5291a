//! Which call claims an endpoint, and since when it does no longer.

use std::hash::BuildHasher;

use smallvec::SmallVec;

use super::flows::FlowState;
use super::{End, Media, MAX_ENDS, SECOND};
use crate::slab::Ref;

/// Two calls that claim a port within this time before its media share it (a B2BUA without media), ns.
const SHARE: u64 = 10 * SECOND;
const MAX_CLAIMS: usize = 8;

/// How an endpoint came to be claimed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// SDP names it.
    Named,
    /// SDP names the same for media that is not RTP (T.38, MSRP).
    NamedOther,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) call: Ref,
    pub(super) how: How,
    /// The port after it is claimed with it, for RTCP (RFC 3550 §11): no endpoint for it is made before a packet comes.
    pub(super) implies: bool,
    pub(super) active: bool,
    pub(super) had_media: bool,
    pub(super) stamp: u64,
    pub(super) since: u64,
}

#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) end: End,
    pub(super) version: u32,
    pub(super) claims: SmallVec<[Claim; 1]>,
    /// The newest of its flows.
    pub(super) flows: SmallVec<[Ref; 2]>,
    /// How many flows refer to it.
    pub(super) links: u32,
}

impl Media {
    pub(super) fn endpoint(&mut self, end: End) -> Ref {
        if let Some(at) = self.end(&end) {
            return at;
        }
        let at =
            self.ends.insert(Endpoint { end, version: 0, claims: SmallVec::new(), flows: SmallVec::new(), links: 0 });
        let (ends, hasher) = (&self.ends, &self.hasher);
        let rehash = |slot: &u32| ends.place(*slot).map_or(0, |(_, e)| hasher.hash_one(e.end));
        self.by_end.insert_unique(hasher.hash_one(end), at.slot, rehash);
        at
    }

    /// Where an endpoint is in the table.
    pub(super) fn end(&self, end: &End) -> Option<Ref> {
        let is = |slot: &u32| self.ends.place(*slot).is_some_and(|(_, e)| e.end == *end);
        let slot = self.by_end.find(self.hasher.hash_one(end), is)?;
        self.ends.place(*slot).map(|(at, _)| at)
    }

    /// Whether an endpoint has this place.
    #[must_use]
    pub fn is_at(&self, end: &End, at: Ref) -> bool {
        self.ends.get(at).is_some_and(|e| e.end == *end)
    }

    /// The endpoint of the next port, where one of an endpoint's claims implies it for RTCP and packets came there.
    pub(super) fn rtcp_end(&self, at: Ref) -> Option<Ref> {
        let e = self.ends.get(at).filter(|e| e.claims.iter().any(|c| c.implies))?;
        self.end(&End { port: e.end.port.checked_add(1)?, ..e.end })
    }

    /// A call claims an endpoint, `implies` the next port with it; `mine` are the endpoints it claims already. None at the limit.
    pub fn claim(&mut self, end: End, call: Ref, (how, implies): (How, bool), mine: &[Ref], now: u64) -> Option<Ref> {
        if self.ends.len() >= MAX_ENDS && self.end(&end).is_none() {
            self.evicted.endpoints += 1;
            return None;
        }
        let at = self.endpoint(end);
        self.stamp += 1;
        let claim = Claim { call, how, implies, active: true, had_media: false, stamp: self.stamp, since: now };
        let others = self.ends.get(at).map(|e| e.claims.clone()).unwrap_or_default();
        let drained: Vec<Ref> = others
            .iter()
            .filter(|c| c.call != call && c.active)
            .filter(|c| (c.had_media || now.saturating_sub(c.since) > SHARE) && !self.share(c.call, mine, at))
            .map(|c| c.call)
            .collect();
        let e = self.ends.get_mut(at)?;
        e.claims.iter_mut().filter(|c| drained.contains(&c.call)).for_each(|c| c.active = false);
        if let Some(c) = e.claims.iter_mut().find(|c| c.call == call) {
            *c = Claim { had_media: c.had_media, implies: implies || c.implies && c.active, ..claim };
        } else {
            if e.claims.len() >= MAX_CLAIMS {
                e.claims.remove(0);
            }
            e.claims.push(claim);
        }
        self.changed(at);
        Some(at)
    }

    /// An endpoint's claims change: its flows, and those of the port that they imply, are told.
    fn changed(&mut self, at: Ref) {
        for at in [Some(at), self.rtcp_end(at)].into_iter().flatten() {
            let Some(e) = self.ends.get_mut(at) else { continue };
            e.version = e.version.wrapping_add(1);
            for flow in &e.flows {
                if let Some(f) = self.flows.get_mut(*flow) {
                    f.state = FlowState::Stale;
                }
            }
        }
    }

    /// Whether `call` actively claims one of `mine` other than `but`.
    pub(super) fn share(&self, call: Ref, mine: &[Ref], but: Ref) -> bool {
        mine.iter()
            .filter(|m| **m != but)
            .filter_map(|m| self.ends.get(*m))
            .any(|e| e.claims.iter().any(|c| c.call == call && c.active))
    }

    /// From now on the claim takes only streams that are already its own.
    pub fn drain(&mut self, at: Ref, call: Ref) {
        self.changed(at);
        if let Some(e) = self.ends.get_mut(at) {
            e.claims.iter_mut().filter(|c| c.call == call).for_each(|c| c.active = false);
        }
    }

    /// The claim ends.
    pub fn unclaim(&mut self, at: Ref, call: Ref) {
        self.changed(at);
        if let Some(e) = self.ends.get_mut(at) {
            e.claims.retain(|c| c.call != call);
            self.tidy(at);
        }
    }

    /// The claim takes no RTCP on the next port any more: it comes on the same one (RFC 5761).
    pub fn unimply(&mut self, at: Ref, call: Ref) {
        self.changed(at);
        if let Some(e) = self.ends.get_mut(at) {
            e.claims.iter_mut().filter(|c| c.call == call).for_each(|c| c.implies = false);
        }
    }

    pub(super) fn tidy(&mut self, at: Ref) {
        if self.ends.get(at).is_some_and(|e| e.claims.is_empty() && e.links == 0) {
            let hash = self.ends.get(at).map_or(0, |e| self.hasher.hash_one(e.end));
            if let Ok(entry) = self.by_end.find_entry(hash, |slot| *slot == at.slot) {
                entry.remove();
            }
            self.ends.remove(at);
        }
    }
}
