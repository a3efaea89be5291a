//! The call table: messages in, frames to their calls, decisions out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::HashMap;
use lc_proto::sip::{self, Message, StartLine};
use lc_proto::{rtp, sdp};
use lc_wire::Context;

use crate::call::{Call, State};
use crate::defrag::FrameId;
use crate::frames::{Bitmap, FrameNo};
use crate::media::{Adopted, Ended, FlowKey, Kind, Media, Owners, Seen};
use crate::offers::{self, print, Said};
use crate::record::{CallRecord, Ends, Record, SipRecord, StreamRecord, Transport};
use crate::rtp_stats::{Arrival, Clock};
use crate::select::{Class, Selection};
use crate::slab::{Ref, Slab};
use crate::verdict::Verdicts;

/// Calls at once.
pub const MAX_CALLS: usize = 500_000;
/// Records of an undecided call.
const MAX_RECORDS: usize = 512;
/// Messages in the records of all undecided calls, bytes.
const MAX_RECORD_BYTES: usize = 64 << 20;
/// Call-IDs and users of all calls, bytes.
const MAX_NAME_BYTES: usize = 128 << 20;
/// Connections of a call that get what is theirs when it is selected.
const MAX_CONNECTIONS: usize = 64;

/// Whose bytes they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Nobody's.
    None,
    /// Selected by itself: no call to go with.
    Selected,
    /// A call's.
    Call(Ref),
    /// The connection's: keepalives, upgrade requests.
    Connection,
}

/// Where and when a message came.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// VLANs.
    pub context: Context,
    /// Addresses and ports.
    pub ends: Ends,
    /// How.
    pub transport: Transport,
    /// Frames that carried it.
    pub frames: &'a [FrameId],
    /// Capture time of the last of them, ns.
    pub ts: u64,
    /// Source of the last of them.
    pub source: u16,
}

/// Counters of the table, readable at any batch boundary.
#[derive(Clone, Debug, Default)]
pub struct CallStats {
    /// Messages by method or status.
    pub messages: HashMap<(bool, u16, Box<[u8]>), u64>,
    /// Calls by the state they ended in; [`State::ALL`].
    pub ended: [u64; 8],
    /// Calls evicted for the limit, calls forgotten for their age.
    pub evicted: [u64; 2],
    /// Payloads that looked like SIP and were none, by reason.
    pub refused: HashMap<&'static str, u64>,
    /// Records of undecided calls that found no place.
    pub records_lost: u64,
}

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

/// The calls with their media.
#[derive(Debug)]
pub struct Calls {
    table: Slab<Call>,
    by_id: HashMap<Box<[u8]>, Ref>,
    timers: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Endpoints and flows.
    pub media: Media,
    selection: Selection,
    known: Option<Bitmap>,
    chosen: Bitmap,
    records: bool,
    /// Records to be taken.
    pub out: Vec<Record>,
    /// Calls selected since they were last taken.
    pub fresh: Vec<Ref>,
    /// Counters.
    pub stats: CallStats,
    limit: usize,
    record_bytes: usize,
    name_bytes: usize,
}

impl Calls {
    /// `records`: whether records are wanted; `known`: serials of calls that an earlier pass selected.
    #[must_use]
    pub fn new(selection: Selection, records: bool, known: Option<Bitmap>) -> Self {
        Self {
            table: Slab::default(),
            by_id: HashMap::new(),
            timers: BinaryHeap::new(),
            media: Media::default(),
            selection,
            known,
            chosen: Bitmap::default(),
            records,
            out: Vec::new(),
            fresh: Vec::new(),
            stats: CallStats::default(),
            limit: MAX_CALLS,
            record_bytes: 0,
            name_bytes: 0,
        }
    }

    /// The same with another limit of calls at once, at least 1.
    #[must_use]
    pub fn limited(self, limit: usize) -> Self {
        Self { limit: limit.max(1), ..self }
    }

    /// The selectors.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Calls in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Serials of the calls that were selected; for a later pass.
    #[must_use]
    pub fn into_chosen(self) -> (Selection, Bitmap) {
        (self.selection, self.chosen)
    }

    /// Whether a call is selected.
    #[must_use]
    pub fn is_selected(&self, call: Ref) -> bool {
        self.table.get(call).is_some_and(|c| c.selected)
    }

    /// Notes that a connection carried a call; true the first time.
    pub fn joins(&mut self, call: Ref, connection: Ref) -> bool {
        let Some(c) = self.table.get_mut(call) else { return false };
        let new = !c.connections.contains(&connection);
        if new {
            if c.connections.len() >= MAX_CONNECTIONS {
                c.connections.remove(0);
            }
            c.connections.push(connection);
        }
        new
    }

    /// The connections of a call.
    #[must_use]
    pub fn connections(&self, call: Ref) -> Vec<Ref> {
        self.table.get(call).map(|c| c.connections.clone()).unwrap_or_default()
    }

    /// A frame belongs to a call.
    #[inline]
    pub fn give(&mut self, v: &mut impl Verdicts, frame: FrameNo, call: Ref, class: Class, now: u64) {
        let Some(c) = self.table.get_mut(call) else { return };
        c.packets += 1;
        c.last = now;
        if !self.selection.admits(class) {
            return;
        }
        if c.selected {
            v.select(frame);
        } else {
            c.waiting.push(frame, now, v.horizon());
            v.hold(frame);
        }
    }

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
        let (now, sent) = (at.ts, at.frames.first().map_or(at.ts, |f| f.ts));
        let call = self.find(&m, at, v);
        let Some(c) = self.table.get_mut(call) else { return Owner::None };
        c.last = now;
        let start = match m.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { reason, .. } => reason,
        };
        let cseq = m.cseq.unwrap_or(0).to_be_bytes();
        let status = status_of(&m).to_be_bytes();
        let again = c.again(print(&[start, &status, &cseq, m.cseq_method, m.branch, m.from.tag, m.to.tag]));
        let over = c.message(&m, again, sent);
        self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
        self.decide(v, call, &m);
        self.offers(v, call, &m, at, over);
        if self.records && self.selection.admits(Class::Sip) {
            self.tell(call, Record::Sip(Box::new(record(bytes, at, again))));
        }
        Owner::Call(call)
    }

    fn count(&mut self, m: &Message<'_>) {
        let key = match m.start {
            StartLine::Request { method, .. } => {
                let known = METHODS.contains(&method);
                (true, 0, if known { method.into() } else { Box::from(&b"other"[..]) })
            }
            StartLine::Response { status, .. } => (false, status, Box::default()),
        };
        *self.stats.messages.entry(key).or_default() += 1;
    }

    fn find(&mut self, m: &Message<'_>, at: Arrived<'_>, v: &mut impl Verdicts) -> Ref {
        if let Some(call) = self.by_id.get(m.call_id) {
            return *call;
        }
        while self.table.len() >= self.limit || self.name_bytes > MAX_NAME_BYTES {
            let Some(call) = self.due(u64::MAX) else { break };
            self.stats.evicted[0] += 1;
            self.end(v, call);
        }
        let first = (at.source, at.frames.first().map_or(0, |f| f.number));
        let call = self.table.insert(Call::new(m, first, at.ts));
        self.by_id.insert(m.call_id.into(), call);
        if let Some(c) = self.table.get_mut(call) {
            self.name_bytes += c.names();
            self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
        }
        call
    }

    /// The call whose deadline comes first, if that is not after `now`; it has no timer then.
    fn due(&mut self, now: u64) -> Option<Ref> {
        while let Some(Reverse((timer, slot, serial))) = self.timers.peek().copied().filter(|t| t.0 .0 <= now) {
            self.timers.pop();
            let call = Ref { slot, serial };
            let Some(c) = self.table.get_mut(call).filter(|c| c.timer == timer) else { continue };
            c.timer = u64::MAX;
            if c.deadline() <= timer {
                return Some(call);
            }
            self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, slot, serial))));
        }
        None
    }

    /// Selects the call when this message names what was asked for.
    fn decide(&mut self, v: &mut impl Verdicts, call: Ref, m: &Message<'_>) {
        let known = self.known.as_ref().map(|k| k.get(u64::from(call.serial)));
        let Some(c) = self.table.get_mut(call).filter(|c| !c.selected) else { return };
        if !known.unwrap_or_else(|| self.selection.names(m)) {
            return;
        }
        c.selected = true;
        self.chosen.set(u64::from(call.serial));
        for frame in c.waiting.take() {
            v.select(frame);
        }
        v.missed(u64::from(c.waiting.forgotten));
        self.record_bytes -= c.records.iter().map(Record::weight).sum::<usize>();
        self.out.append(&mut c.records);
        self.fresh.push(call);
    }

    fn offers(&mut self, v: &mut impl Verdicts, call: Ref, m: &Message<'_>, at: Arrived<'_>, over: bool) {
        let Some(c) = self.table.get_mut(call) else { return };
        let mut claimed = Vec::new();
        if let StartLine::Response { status: 200.., .. } = m.start {
            let accepted = status_of(m) < 300;
            offers::settle(&mut self.media, c, call, offers::transaction(m), accepted);
        }
        if let Some(session) = sdp::find(m.content_type, m.body) {
            if status_of(m) < 300 {
                let said = Said::new(call, at.context, at.ts, m, &session);
                claimed = offers::apply(&mut self.media, c, &said);
            }
        }
        if over {
            self.drain(call);
        } else if !claimed.is_empty() {
            for adopted in self.media.adopt(&claimed, at.ts) {
                self.adopt(v, adopted, at.ts);
            }
        }
    }

    fn drain(&mut self, call: Ref) {
        let claims: Vec<Ref> =
            self.table.get(call).map(|c| c.claims.iter().map(|k| k.at).collect()).unwrap_or_default();
        claims.into_iter().for_each(|at| self.media.drain(at, call));
    }

    fn adopt(&mut self, v: &mut impl Verdicts, adopted: Adopted, now: u64) {
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

    fn tell(&mut self, call: Ref, record: Record) {
        let Some(c) = self.table.get_mut(call) else { return };
        if c.selected {
            self.out.push(record);
        } else if self.known.is_some() {
            // an earlier pass decided: never wanted
        } else if c.records.len() < MAX_RECORDS && self.record_bytes < MAX_RECORD_BYTES {
            self.record_bytes += record.weight();
            c.records.push(record);
        } else {
            self.stats.records_lost += 1;
        }
    }

    /// An RTP or RTCP packet; its owners.
    #[inline]
    pub fn media(
        &mut self,
        v: &mut impl Verdicts,
        key: FlowKey,
        kind: Kind,
        payload: &[u8],
        frame: FrameNo,
        now: u64,
    ) -> Owners {
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
                ts: now,
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
    fn clock(&self, owners: &Owners, payload_type: u8) -> Clock {
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
            None => rtp_profile(payload_type),
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

    /// Packet time moved on: calls end, idle flows are forgotten.
    pub fn tick(&mut self, v: &mut impl Verdicts, now: u64) {
        while let Some(call) = self.due(now) {
            let Some(c) = self.table.get_mut(call) else { continue };
            if c.bye.is_some() && c.state == State::Answered {
                c.hung_up(now);
                self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
                self.drain(call);
            } else {
                self.stats.evicted[1] += u64::from(!matches!(c.state, State::Ended | State::Failed | State::Cancelled));
                self.end(v, call);
            }
        }
        for frame in self.media.sweep(now) {
            v.release(frame);
        }
        self.streams(v);
    }

    /// Streams that ended become records.
    fn streams(&mut self, _: &mut impl Verdicts) {
        for ended in std::mem::take(&mut self.media.ended) {
            if !self.records || !self.selection.admits(Class::Rtp) {
                continue;
            }
            for owner in ended.owners.as_slice() {
                let Some(c) = self.table.get_mut(*owner) else { continue };
                if c.ssrcs.len() < MAX_RECORDS {
                    c.ssrcs.push(ended.stats.ssrc);
                }
                let record = stream(c, &ended);
                self.tell(*owner, Record::Stream(Box::new(record)));
            }
        }
    }

    /// A call leaves the table.
    fn end(&mut self, v: &mut impl Verdicts, call: Ref) {
        let Some(c) = self.table.get(call) else { return };
        let claims: Vec<Ref> = c.claims.iter().map(|k| k.at).collect();
        self.media.leave(call, &claims);
        self.streams(v);
        let Some(mut c) = self.table.remove(call) else { return };
        self.by_id.remove(&c.id);
        self.name_bytes -= c.names();
        self.record_bytes -= c.records.iter().map(Record::weight).sum::<usize>();
        self.stats.ended[c.state as usize] += 1;
        if c.selected {
            if self.records && c.state != State::Transaction {
                self.out.push(Record::Call(Box::new(call_record(&c))));
            }
        } else {
            for frame in c.waiting.take() {
                v.release(frame);
            }
        }
    }

    /// The input ended: so do all calls, in the order of their places.
    pub fn finish(&mut self, v: &mut impl Verdicts) {
        let all: Vec<Ref> = self.table.iter().map(|(at, _)| at).collect();
        let mut all = all;
        all.sort_by_key(|r| r.serial);
        for call in all {
            self.end(v, call);
        }
        for frame in self.media.finish() {
            v.release(frame);
        }
        self.media.ended.clear();
        self.timers.clear();
    }
}

fn status_of(m: &Message<'_>) -> u16 {
    match m.start {
        StartLine::Request { .. } => 0,
        StartLine::Response { status, .. } => status,
    }
}

fn record(bytes: &[u8], at: Arrived<'_>, retransmission: bool) -> SipRecord {
    SipRecord {
        ts: at.ts,
        source: at.source,
        frames: at.frames.to_vec(),
        ends: at.ends,
        transport: at.transport,
        retransmission,
        bytes: bytes.into(),
    }
}

fn stream(c: &Call, ended: &Ended) -> StreamRecord {
    let key = ended.key;
    let named = c.codecs.iter().find(|k| k.payload_type == ended.stats.payload_type);
    let codec = named.map_or_else(|| rtp_name(ended.stats.payload_type).into(), |k| k.name.clone());
    StreamRecord {
        source: c.first.0,
        frame: c.first.1,
        ends: Ends { src: key.src, sport: key.sport, dst: key.dst, dport: key.dport },
        call_id: c.id.clone(),
        codec,
        stats: ended.stats.clone(),
    }
}

fn call_record(c: &Call) -> CallRecord {
    CallRecord {
        source: c.first.0,
        frame: c.first.1,
        call_id: c.id.clone(),
        from_user: c.users[0].clone(),
        to_user: c.users[1].clone(),
        state: c.state.as_str(),
        times: c.times,
        pdd: c.pdd(),
        status: c.status,
        streams: c.ssrcs.clone(),
        packets: c.packets,
    }
}

/// Clock rates of RFC 3551 §6, tables 4 and 5.
fn rtp_profile(payload_type: u8) -> Clock {
    let (rate, timed) = match payload_type {
        6 => (16_000, true),
        10 | 11 => (44_100, true),
        13 | 19 => (8_000, false),
        14 | 25..=34 => (90_000, true),
        16 => (11_025, true),
        17 => (22_050, true),
        _ => (8_000, true),
    };
    Clock { rate, timed, events: false }
}

/// Encoding names of RFC 3551 §6, tables 4 and 5.
fn rtp_name(payload_type: u8) -> &'static str {
    const NAMES: [&str; 35] = [
        "PCMU", "", "", "GSM", "G723", "DVI4", "DVI4", "LPC", "PCMA", "G722", "L16", "L16", "QCELP", "CN", "MPA",
        "G728", "DVI4", "DVI4", "G729", "CN", "", "", "", "", "", "CelB", "JPEG", "", "nv", "", "", "H261", "MPV",
        "MP2T", "H263",
    ];
    NAMES.get(usize::from(payload_type)).copied().unwrap_or("")
}
