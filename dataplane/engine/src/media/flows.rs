//! Flows: one direction between two endpoints each, found by its key, forgotten when it is quiet.

use std::hash::BuildHasher;

use super::{FlowKey, Guess, Kind, Media, Owners, MAX_FLOWS, SECOND};
use crate::frames::{FrameNo, Waiting};
use crate::slab::Ref;
use crate::stream::Stream;

/// A flow is adopted when its last packet is no older, ns.
const ADOPT: u64 = 5 * SECOND;
/// Flows without an owner are forgotten after, ns.
pub(super) const IDLE_ORPHAN: u64 = 30 * SECOND;
/// Flows with an owner are forgotten after, ns.
const IDLE_OWNED: u64 = 600 * SECOND;
const MAX_FLOWS_OF_END: usize = 64;
/// Flows looked at to find one to forget at the limit.
const MAX_LOOKS: usize = 16;

/// One direction between two endpoints with what was learned of it. What every packet touches stands first, on two
/// cache lines.
#[derive(Debug)]
#[repr(C)]
pub struct Flow {
    /// Its endpoints.
    pub key: FlowKey,
    pub(super) last: u64,
    pub(super) ssrcs: [u32; 4],
    /// Calls it belongs to.
    pub owners: Owners,
    pub(super) last_sequence: u16,
    pub(super) kind: Kind,
    pub(super) state: FlowState,
    pub(super) waiting: Option<Box<Waiting>>,
    pub(super) ends: [Ref; 2],
    /// The versions of its ends, added up: each only grows.
    pub(super) versions: u32,
    pub(super) next_ssrc: u8,
    /// Counts what may have changed the meaning of payload types.
    pub(super) epoch: u8,
    /// An endpoint dropped it from its list.
    pub(super) untold: bool,
    /// Which of its streams the last packet was of.
    pub(super) last_stream: u8,
    /// Statistics of its streams.
    pub streams: Vec<Stream>,
    /// What its packets look like, while it has no owner and RTP without signalling is looked for.
    pub(super) guess: Option<Box<Guess>>,
}

/// Whether a flow's owners are known to be as the claims of its endpoints say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum FlowState {
    /// A claim changed since: they are to be found again.
    Stale,
    /// They are.
    Current,
    /// They were; an endpoint has too many flows to tell this one when its claims change.
    Untold,
    /// An owner's claim drains: each packet is judged.
    Draining,
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

impl Media {
    /// The flow of a packet (made when it is new; `None` at the limit).
    #[inline]
    pub fn flow(&mut self, key: FlowKey, now: u64) -> Option<Ref> {
        let hash = self.hasher.hash_one(key);
        let found = self.by_flow.find(hash, |slot| self.flows.place(*slot).is_some_and(|(_, f)| f.key == key));
        if let Some((at, _)) = found.and_then(|slot| self.flows.place(*slot)) {
            return Some(at);
        }
        self.begin(key, hash, now)
    }

    #[cold]
    fn begin(&mut self, key: FlowKey, hash: u64, now: u64) -> Option<Ref> {
        if self.flows.len() >= MAX_FLOWS {
            self.evicted.flows += 1;
            self.evict()?;
        }
        let ends = key.ends().map(|e| self.endpoint(e));
        let at = self.flows.insert(Flow {
            key,
            ends,
            versions: 0,
            kind: Kind::Rtp,
            state: FlowState::Stale,
            owners: Owners::default(),
            last: now,
            last_sequence: 0,
            ssrcs: [0; 4],
            next_ssrc: 0,
            epoch: 0,
            untold: false,
            waiting: None,
            streams: Vec::new(),
            last_stream: 0,
            guess: None,
        });
        let (flows, hasher) = (&self.flows, &self.hasher);
        let rehash = |slot: &u32| flows.place(*slot).map_or(0, |(_, f)| hasher.hash_one(f.key));
        self.by_flow.insert_unique(hash, at.slot, rehash);
        if self.order.len() > 2 * self.flows.len() + 64 {
            let flows = &self.flows;
            self.order.retain(|(flow, _)| flows.get(*flow).is_some());
        }
        self.order.push_back((at, now));
        for end in ends {
            if let Some(e) = self.ends.get_mut(end) {
                let untold = (e.flows.len() >= MAX_FLOWS_OF_END).then(|| e.flows.remove(0));
                e.flows.push(at);
                e.links += 1;
                if let Some(f) = untold.and_then(|f| self.flows.get_mut(f)) {
                    f.untold = true;
                    f.state = FlowState::Stale;
                }
            }
        }
        Some(at)
    }

    /// Forgets a flow without an owner that was quiet for long, of the few that are next in turn.
    pub(super) fn evict(&mut self) -> Option<()> {
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

    /// A frame without an owner waits with its flow.
    pub fn wait(&mut self, at: Ref, frame: FrameNo, now: u64, horizon: u64) {
        if let Some(f) = self.flows.get_mut(at) {
            f.waiting.get_or_insert_default().push(frame, now, horizon);
        }
    }

    /// Flows that touch newly claimed endpoints and now have an owner, with the frames that waited.
    pub fn adopt(&mut self, claimed: &[Ref], now: u64) -> Vec<Adopted> {
        let mut out = Vec::new();
        let all = claimed.iter().flat_map(|at| [Some(*at), self.rtcp_end(*at)]).flatten();
        let flows: Vec<Ref> = all.filter_map(|e| self.ends.get(e)).flat_map(|e| e.flows.iter().copied()).collect();
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
            (f.owners, f.state) = (owners, FlowState::Stale);
            let ends = f.ends;
            self.carried(ends, owners);
            out.push(Adopted { flow: at, kind, owners, frames, forgotten: waiting.forgotten });
        }
        out
    }

    /// A call is over for good: its claims end, its flows forget it; their streams have ended.
    pub fn leave(&mut self, call: Ref, claimed: &[Ref]) {
        for at in claimed {
            let all = [Some(*at), self.rtcp_end(*at)].into_iter().flatten();
            let flows: Vec<Ref> = all.filter_map(|e| self.ends.get(e)).flat_map(|e| e.flows.iter().copied()).collect();
            for flow in flows {
                if self.flows.get(flow).is_some_and(|f| f.owners.as_slice().contains(&call)) {
                    self.end_streams(flow);
                    if let Some(f) = self.flows.get_mut(flow) {
                        f.owners = f.owners.as_slice().iter().filter(|c| **c != call).copied().collect();
                        f.state = FlowState::Stale;
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
        self.evicted.idle_flows += old.len() as u64;
        old.into_iter().flat_map(|at| self.remove(at)).collect()
    }

    pub(super) fn remove(&mut self, at: Ref) -> Vec<FrameNo> {
        self.end_streams(at);
        let Some(f) = self.flows.get(at) else { return Vec::new() };
        if let Ok(entry) = self.by_flow.find_entry(self.hasher.hash_one(f.key), |slot| *slot == at.slot) {
            entry.remove();
        }
        let Some(mut f) = self.flows.remove(at) else { return Vec::new() };
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
