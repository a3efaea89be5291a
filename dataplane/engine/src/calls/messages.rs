//! SIP messages: which call they belong to, whether they select it, what they claim.

use std::cmp::Reverse;
use std::hash::BuildHasher;

use lc_proto::sdp;
use lc_proto::sip::{self, Message, StartLine};

use super::tell::record;
use super::{Arrived, Calls, Owner};
use crate::call::Call;
use crate::media::{Adopted, Kind};
use crate::offers::{self, print, Said};
use crate::record::Record;
use crate::select::Class;
use crate::slab::Ref;
use crate::state::Now;
use crate::transactions::{is_of_call, Moved, Seen};
use crate::verdict::Verdicts;

/// Call-IDs and users of all calls, bytes.
const MAX_NAME_BYTES: usize = 128 << 20;

/// Methods that have a counter of their own (RFC 3261, 3262, 3265, 3311, 3428, 3515, 3903, 6086); others are "other".
const METHODS: [&[u8]; 14] = [
    b"INVITE",
    b"ACK",
    b"BYE",
    b"CANCEL",
    b"REGISTER",
    b"OPTIONS",
    b"PRACK",
    b"UPDATE",
    b"INFO",
    b"MESSAGE",
    b"SUBSCRIBE",
    b"NOTIFY",
    b"REFER",
    b"PUBLISH",
];

impl Calls {
    /// One SIP message in a datagram or a stream; whose it is. Frames are given by the caller.
    pub fn sip(&mut self, v: &mut impl Verdicts, bytes: &[u8], at: Arrived<'_>) -> Owner {
        let m = match sip::parse(bytes) {
            Ok(m) => m,
            Err(why) => {
                *self.stats.refused.entry(why.as_str()).or_default() += 1;
                return Owner::None;
            }
        };
        self.count(&m);
        if m.call_id.is_empty() {
            let named = self.selection.names(&m) && self.selection.admits(Class::Sip);
            if named && self.records {
                self.out.push(Record::Sip(Box::new(record(bytes, at, false))));
            }
            return if named { Owner::Selected } else { Owner::None };
        }
        let times = Now { sent: at.sent, line: at.now };
        let call = self.find(&m, at, v);
        let Some(c) = self.table.get_mut(call) else { return Owner::None };
        c.last = at.now;
        let start = match m.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { reason, .. } => reason,
        };
        let cseq = m.cseq.unwrap_or(0).to_be_bytes();
        let status = status_of(&m).to_be_bytes();
        let again = c.again(print(&[start, &status, &cseq, m.cseq_method, m.branch, m.from.tag, m.to.tag]));
        let was = c.session.is_active();
        let changed = c.session.message(&m, again, times);
        let first = (at.source, at.frames.first().map_or(0, |f| f.number));
        let seen = Seen { first, ends: at.ends, transport: at.transport, now: times, again };
        let moved = match is_of_call(&m) {
            true => Moved::default(),
            false => c.more().transactions.message(&m, seen),
        };
        self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
        self.decide(v, call, &m, times.sent);
        self.announce(call, times.sent);
        self.offers(v, call, &m, at, changed.over);
        self.changed(call, was, changed);
        self.moved(call, moved);
        if self.records && self.selection.admits(Class::Sip) {
            self.tell(call, Record::Sip(Box::new(record(bytes, at, again))));
        }
        Owner::Call(call)
    }

    pub(super) fn count(&mut self, m: &Message<'_>) {
        let key = match m.start {
            StartLine::Request { method, .. } => {
                let known = METHODS.contains(&method);
                (true, 0, if known { method.into() } else { Box::from(&b"other"[..]) })
            }
            StartLine::Response { status, .. } => (false, status, Box::default()),
        };
        *self.stats.messages.entry(key).or_default() += 1;
    }

    /// The call with this Call-ID.
    pub(super) fn by_id(&self, id: &[u8]) -> Option<Ref> {
        let is = |slot: &u32| self.table.place(*slot).is_some_and(|(_, c)| c.id() == id);
        let slot = self.by_id.find(self.hasher.hash_one(id), is)?;
        self.table.place(*slot).map(|(at, _)| at)
    }

    pub(super) fn find(&mut self, m: &Message<'_>, at: Arrived<'_>, v: &mut impl Verdicts) -> Ref {
        if let Some(call) = self.by_id(m.call_id) {
            return call;
        }
        while self.table.len() >= self.limit || self.name_bytes > MAX_NAME_BYTES {
            let Some(call) = self.due(u64::MAX) else { break };
            self.stats.evicted[0] += 1;
            self.end(v, call);
        }
        let first = (at.source, at.frames.first().map_or(0, |f| f.number));
        let mut new = Call::new(m, first, (at.ends, at.transport), at.now);
        new.trunk = self.trunks.of(m, &at.ends);
        let call = self.table.insert(new);
        let (table, hasher) = (&self.table, &self.hasher);
        let rehash = |slot: &u32| table.place(*slot).map_or(0, |(_, c)| hasher.hash_one(c.id()));
        self.by_id.insert_unique(hasher.hash_one(m.call_id), call.slot, rehash);
        if let Some(c) = self.table.get_mut(call) {
            self.name_bytes += c.names();
            self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
        }
        call
    }

    /// Selects the call when this message names what was asked for.
    pub(super) fn decide(&mut self, v: &mut impl Verdicts, call: Ref, m: &Message<'_>, ts: u64) {
        let known = self.known.as_ref().map(|k| k.get(u64::from(call.serial)));
        if !self.is_selected(call) && known.unwrap_or_else(|| self.selection.names(m)) {
            self.choose(v, call, ts);
        }
    }

    /// The call is selected from now on, with what waits of it.
    pub(super) fn choose(&mut self, v: &mut impl Verdicts, call: Ref, ts: u64) {
        let Some(c) = self.table.get_mut(call) else { return };
        c.selected = true;
        self.announce(call, ts);
        let Some(c) = self.table.get_mut(call) else { return };
        self.chosen.set(u64::from(call.serial));
        if let Some(mut waiting) = c.waiting.take() {
            for frame in waiting.take() {
                v.select(frame);
                if c.announced {
                    v.own(frame, call.serial);
                }
            }
            v.missed(u64::from(waiting.forgotten));
        }
        self.record_bytes -= c.records_weight();
        self.out.extend(c.rest_mut().map(|r| std::mem::take(&mut r.records)).into_iter().flatten());
        self.fresh.push(call);
    }

    pub(super) fn offers(&mut self, v: &mut impl Verdicts, call: Ref, m: &Message<'_>, at: Arrived<'_>, over: bool) {
        let Some(c) = self.table.get_mut(call) else { return };
        let mut claimed = Vec::new();
        if let StartLine::Response { status: 200.., .. } = m.start {
            let accepted = status_of(m) < 300;
            offers::settle(&mut self.media, c, call, offers::transaction(m), accepted);
        }
        if let Some(session) = sdp::find(m.content_type, m.body) {
            if status_of(m) < 300 {
                c.session.described(m, &session);
                let said = Said::new(call, at.context, at.now, m, &session);
                claimed = offers::apply(&mut self.media, c, &said);
            }
        }
        if over {
            self.drain(call);
        } else if !claimed.is_empty() {
            for adopted in self.media.adopt(&claimed, at.now) {
                self.adopt(v, adopted, at.now);
            }
        }
    }

    pub(super) fn drain(&mut self, call: Ref) {
        let claims: Vec<Ref> =
            self.table.get(call).map(|c| c.claims.iter().map(|k| k.at).collect()).unwrap_or_default();
        claims.into_iter().for_each(|at| self.media.drain(at, call));
    }

    pub(super) fn adopt(&mut self, v: &mut impl Verdicts, adopted: Adopted, now: u64) {
        let class = if adopted.kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp };
        let selected = adopted.owners.as_slice().iter().any(|c| self.is_selected(*c));
        if selected {
            v.missed(u64::from(adopted.forgotten));
        }
        for frame in adopted.frames {
            for call in adopted.owners.as_slice() {
                self.give(v, frame, *call, class, now);
            }
            v.release(frame);
        }
    }
}

fn status_of(m: &Message<'_>) -> u16 {
    match m.start {
        StartLine::Request { .. } => 0,
        StartLine::Response { status, .. } => status,
    }
}
