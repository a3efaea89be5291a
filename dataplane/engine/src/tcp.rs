//! TCP connections: which carry SIP or a WebSocket, what of them belongs to whom (law 4).
//!
//! The handshake and the close belong to every call of a connection; bare acknowledgements and keepalives to the
//! connection as a whole, so they are kept only while all its calls are selected; segments belong to the messages
//! whose bytes they carry.

use std::collections::VecDeque;

use hashbrown::HashMap;
use lc_proto::sip::{self, Framer, Framing};
use lc_proto::websocket;
use lc_wire::tcp::{Tcp, ACK, FIN, RST, SYN};

use crate::calls::{Arrived, Calls, Owner};
use crate::defrag::FrameId;
use crate::frames::{FrameNo, Waiting};
use crate::half::{Half, MAX_BUFFER};
use crate::media::{End, FlowKey};
use crate::record::{Ends, Transport};
use crate::select::Class;
use crate::slab::{Ref, Slab};
use crate::verdict::Verdicts;

const SECOND: u64 = 1_000_000_000;
/// Connections at once.
pub const MAX_CONNECTIONS: usize = 200_000;
/// Bytes held for all of them, with what is remembered of their segments.
pub const MAX_BYTES: usize = 100 << 20;
/// Bytes without SIP after which a connection seen from its middle is given up.
const MAX_SKIPPED: usize = 16 << 10;
/// Calls of a connection that get its handshake when it is forgotten first.
const MAX_CALLS: usize = 64;
const IDLE_OPEN: u64 = 600 * SECOND;
const IDLE_CLOSED: u64 = 30 * SECOND;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Unknown,
    Sip,
    WebSocket,
    Other,
}

#[derive(Debug)]
struct Connection {
    key: (End, End),
    mode: Mode,
    halves: Box<[Half; 2]>,
    /// Where reading of a message stands, per direction.
    framers: [Framer; 2],
    /// WebSocket message in the making, per direction.
    fragments: [Vec<u8>; 2],
    upgraded: [bool; 2],
    edges: Waiting,
    bare: Waiting,
    calls: Vec<Ref>,
    members: u32,
    selected: u32,
    skipped: usize,
    last: u64,
    closed: bool,
    /// Which side's SYN waits for the last part of the handshake.
    opener: Option<usize>,
    /// Its part in the levels of the table.
    levels: [usize; 4],
}

/// Where a segment was seen.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Endpoints and VLANs.
    pub key: FlowKey,
    /// Frames that carry it: one, or the fragments of its packet.
    pub frames: &'a [FrameId],
    /// Packet time, ns.
    pub now: u64,
    /// Source of the last frame.
    pub source: u16,
}

/// The connections.
#[derive(Debug, Default)]
pub struct Connections {
    table: Slab<Connection>,
    by_ends: HashMap<(End, End), Ref>,
    /// Each connection with its last packet's time when it was put here: the next one to go stands first.
    order: VecDeque<(Ref, u64)>,
    /// Connections that carry SIP, others, bytes held, memory taken.
    levels: [usize; 4],
    swept: u64,
    /// Connections forgotten for the limit and for their age, holes in streams, buffers given up.
    pub evicted: [u64; 4],
    /// Segments with bytes of a selected and of another call (kept whole).
    pub shared: u64,
}

impl Connections {
    /// Connections in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// (connections that carry SIP, others, bytes held).
    #[must_use]
    pub fn levels(&self) -> (u64, u64, u64) {
        let [sip, other, held, _] = self.levels.map(|n| n as u64);
        (sip, other, held)
    }

    /// Brings the levels up to date with a connection that changed.
    fn weigh(&mut self, conn: Ref) {
        if let Some(c) = self.table.get_mut(conn) {
            let (old, new) = (c.levels, c.weigh());
            c.levels = new;
            for (level, (old, new)) in self.levels.iter_mut().zip(old.into_iter().zip(new)) {
                *level = *level + new - old;
            }
        }
    }

    /// Forgets the connection that was quiet for longest.
    fn evict(&mut self, v: &mut impl Verdicts, calls: &mut Calls) {
        while let Some((conn, last)) = self.order.pop_front() {
            match self.table.get(conn).map(|c| c.last) {
                None => {}
                Some(now) if now > last => self.order.push_back((conn, now)),
                Some(_) => {
                    self.evicted[0] += 1;
                    self.remove(v, calls, conn);
                    return;
                }
            }
        }
    }

    /// Takes one segment.
    pub fn segment(&mut self, v: &mut impl Verdicts, calls: &mut Calls, at: Place<'_>, t: &Tcp<'_>) {
        let k = at.key;
        let a = End { context: k.context, addr: k.src, port: k.sport };
        let b = End { context: k.context, addr: k.dst, port: k.dport };
        let up = (a.addr, a.port) <= (b.addr, b.port);
        let key = if up { (a, b) } else { (b, a) };
        let side = usize::from(!up);
        let mut found = self.by_ends.get(&key).copied();
        if t.flags & SYN != 0 {
            if let Some(old) = found.filter(|f| self.is_over(*f, side, t.seq)) {
                self.remove(v, calls, old);
                found = None;
            }
        }
        let conn = found.unwrap_or_else(|| self.open(v, calls, key, at.now));
        let Some(c) = self.table.get_mut(conn) else { return };
        c.last = at.now;
        if c.mode == Mode::Other {
            c.closed |= t.flags & (RST | FIN) != 0;
            return;
        }
        let edge = c.flags(side, t);
        if t.payload.is_empty() || edge {
            for f in at.frames {
                c.connection_frame(v, calls, f.frame, edge, at.now);
            }
        }
        if !t.payload.is_empty() {
            self.data(v, calls, conn, side, at, t);
        }
    }

    /// Whether a SYN with this number opens a new connection between the same endpoints.
    fn is_over(&self, conn: Ref, side: usize, seq: u32) -> bool {
        self.table.get(conn).is_some_and(|c| match c.halves[side].isn {
            Some(isn) => isn != seq,
            None => c.closed || !c.halves[1 - side].at_start,
        })
    }

    fn open(&mut self, v: &mut impl Verdicts, calls: &mut Calls, key: (End, End), now: u64) -> Ref {
        if self.table.len() >= MAX_CONNECTIONS {
            self.evict(v, calls);
        }
        let at = self.table.insert(Connection::new(key, now));
        self.by_ends.insert(key, at);
        if self.order.len() > 2 * self.table.len() + 64 {
            let table = &self.table;
            self.order.retain(|(conn, _)| table.get(*conn).is_some());
        }
        self.order.push_back((at, now));
        self.weigh(at);
        at
    }

    fn data(&mut self, v: &mut impl Verdicts, calls: &mut Calls, conn: Ref, side: usize, at: Place<'_>, t: &Tcp<'_>) {
        let Some(c) = self.table.get_mut(conn) else { return };
        for id in at.frames {
            v.block(id.frame);
            let (repeated, waits, dropped) = c.halves[side].push(t.seq, t.payload, *id, at.now);
            let owners = dedup(repeated);
            for owner in &owners {
                c.give(v, calls, id.frame, *owner, at.now);
            }
            self.evicted[3] += dropped.len() as u64;
            dropped.iter().for_each(|d| v.unblock(d.id.frame));
            if !waits {
                v.unblock(id.frame); // all of it was known
            }
        }
        let mut work = Work { v, calls, conn, at, shared: &mut self.shared, evicted: &mut self.evicted };
        work.read(c, side, false);
        work.catch_up(c, false);
        if c.mode == Mode::Other {
            c.forget(v);
        }
        self.settle(v, calls);
        self.weigh(conn);
        while self.levels[3] > MAX_BYTES && !self.order.is_empty() {
            self.evict(v, calls);
        }
    }

    /// Calls that were selected since: their connections' own frames go with them.
    pub fn settle(&mut self, v: &mut impl Verdicts, calls: &mut Calls) {
        for call in std::mem::take(&mut calls.fresh) {
            for conn in calls.connections(call) {
                if let Some(c) = self.table.get_mut(conn) {
                    c.selected += 1;
                    c.flush(v, calls);
                }
            }
        }
    }

    /// Packet time moved on.
    pub fn tick(&mut self, v: &mut impl Verdicts, calls: &mut Calls, now: u64) {
        if now.saturating_sub(self.swept) < SECOND {
            return;
        }
        self.swept = now;
        let idle = |c: &Connection| if c.closed { IDLE_CLOSED } else { IDLE_OPEN };
        let old: Vec<Ref> =
            self.table.iter().filter(|(_, c)| now.saturating_sub(c.last) > idle(c)).map(|(at, _)| at).collect();
        for at in old {
            self.evicted[1] += u64::from(self.table.get(at).is_some_and(|c| !c.closed));
            self.remove(v, calls, at);
        }
        self.give_up_holes(v, calls, now);
    }

    fn give_up_holes(&mut self, v: &mut impl Verdicts, calls: &mut Calls, now: u64) {
        let waiting: Vec<Ref> = self
            .table
            .iter()
            .filter(|(_, c)| c.halves.iter().any(|h| h.gives_up(now, false)))
            .map(|(at, _)| at)
            .collect();
        for conn in waiting {
            self.catch_up(v, calls, conn, now, false);
        }
        self.settle(v, calls);
    }

    fn catch_up(&mut self, v: &mut impl Verdicts, calls: &mut Calls, conn: Ref, now: u64, all: bool) {
        let Some(c) = self.table.get_mut(conn) else { return };
        let (a, b) = c.key;
        let key = FlowKey { context: a.context, src: a.addr, dst: b.addr, sport: a.port, dport: b.port };
        let at = Place { key, frames: &[], now, source: 0 };
        Work { v, calls, conn, at, shared: &mut self.shared, evicted: &mut self.evicted }.catch_up(c, all);
        self.weigh(conn);
    }

    /// A connection is forgotten: its calls get its handshake, in case they are selected later.
    fn remove(&mut self, v: &mut impl Verdicts, calls: &mut Calls, conn: Ref) {
        let now = self.table.get(conn).map_or(0, |c| c.last);
        self.catch_up(v, calls, conn, now, true);
        self.settle(v, calls);
        let Some(mut c) = self.table.remove(conn) else { return };
        for (level, part) in self.levels.iter_mut().zip(c.levels) {
            *level -= part;
        }
        if self.by_ends.get(&c.key) == Some(&conn) {
            self.by_ends.remove(&c.key);
        }
        let undecided: Vec<Ref> = c.calls.iter().filter(|k| !calls.is_selected(**k)).copied().collect();
        let exclusive = c.members == 1;
        for frame in c.edges.take().collect::<Vec<_>>() {
            undecided.iter().for_each(|call| calls.give(v, frame, *call, Class::Sip, now));
            v.release(frame);
        }
        for frame in c.bare.take().collect::<Vec<_>>() {
            undecided.iter().filter(|_| exclusive).for_each(|call| calls.give(v, frame, *call, Class::Sip, now));
            v.release(frame);
        }
        c.clear(v);
    }

    /// The input ended.
    pub fn finish(&mut self, v: &mut impl Verdicts, calls: &mut Calls) {
        let all: Vec<Ref> = self.table.iter().map(|(at, _)| at).collect();
        for conn in all {
            self.remove(v, calls, conn);
        }
    }
}

fn dedup(mut owners: Vec<Owner>) -> Vec<Owner> {
    let mut seen = Vec::new();
    owners.retain(|o| {
        let new = !seen.contains(o);
        seen.push(*o);
        new
    });
    owners
}

impl Connection {
    fn new(key: (End, End), now: u64) -> Self {
        Self {
            key,
            mode: Mode::Unknown,
            halves: Box::default(),
            framers: [Framer::default(); 2],
            fragments: [Vec::new(), Vec::new()],
            upgraded: [false; 2],
            edges: Waiting::default(),
            bare: Waiting::default(),
            calls: Vec::new(),
            members: 0,
            selected: 0,
            skipped: 0,
            last: now,
            closed: false,
            opener: None,
            levels: [0; 4],
        }
    }

    /// Whether a segment is part of the handshake or the close.
    fn flags(&mut self, side: usize, t: &Tcp<'_>) -> bool {
        if t.flags & ACK != 0 {
            self.halves[1 - side].acknowledged(t.ack);
        }
        if t.flags & SYN != 0 {
            self.halves[side].syn(t.seq);
            if t.flags & ACK != 0 {
                self.opener = Some(1 - side);
            }
            return true;
        }
        if t.flags & (FIN | RST) != 0 {
            self.halves[side].fin = true;
            self.closed |= t.flags & RST != 0 || self.halves[1 - side].fin;
            return true;
        }
        let last_of_handshake = self.opener == Some(side);
        if last_of_handshake {
            self.opener = None;
        }
        (last_of_handshake || self.closed) && t.payload.is_empty()
    }

    /// A frame of the connection itself: handshake and close (`edge`), or a bare acknowledgement.
    fn connection_frame(&mut self, v: &mut impl Verdicts, calls: &Calls, frame: FrameNo, edge: bool, now: u64) {
        if !calls.selection().admits(Class::Sip) {
            return;
        }
        let shared = self.members > self.selected;
        if self.selected > 0 && (edge || !shared) {
            v.select(frame);
        } else if edge || self.selected == 0 {
            (if edge { &mut self.edges } else { &mut self.bare }).push(frame, now, v.horizon());
            v.hold(frame);
        }
    }

    fn flush(&mut self, v: &mut impl Verdicts, calls: &Calls) {
        if self.selected == 0 || !calls.selection().admits(Class::Sip) {
            return;
        }
        v.missed(u64::from(std::mem::take(&mut self.edges.forgotten)));
        self.edges.take().for_each(|f| v.select(f));
        let exclusive = self.members == self.selected;
        for frame in self.bare.take() {
            if exclusive {
                v.select(frame);
            } else {
                v.release(frame);
            }
        }
    }

    fn give(&mut self, v: &mut impl Verdicts, calls: &mut Calls, frame: FrameNo, owner: Owner, now: u64) {
        match owner {
            Owner::None => {}
            Owner::Selected => v.select(frame),
            Owner::Call(call) => calls.give(v, frame, call, Class::Sip, now),
            Owner::Connection => self.connection_frame(v, calls, frame, false, now),
        }
    }

    /// Its part in [`Connections::levels`].
    fn weigh(&self) -> [usize; 4] {
        let sip = matches!(self.mode, Mode::Sip | Mode::WebSocket);
        let held = self.halves.iter().map(Half::held).sum();
        let parts: usize = self.fragments.iter().map(Vec::capacity).sum();
        [usize::from(sip), usize::from(!sip), held, parts + self.halves.iter().map(Half::weight).sum::<usize>()]
    }

    /// It carries nothing that is followed.
    fn forget(&mut self, v: &mut impl Verdicts) {
        for frame in self.edges.take().chain(self.bare.take()) {
            v.release(frame);
        }
        self.clear(v);
        *self.halves = <[Half; 2]>::default();
    }

    fn clear(&mut self, v: &mut impl Verdicts) {
        for half in self.halves.iter_mut() {
            for s in half.clear() {
                v.unblock(s.id.frame);
            }
        }
    }
}

/// One turn of reading a connection's streams.
struct Work<'a, V: Verdicts> {
    v: &'a mut V,
    calls: &'a mut Calls,
    conn: Ref,
    at: Place<'a>,
    shared: &'a mut u64,
    evicted: &'a mut [u64; 4],
}

impl<V: Verdicts> Work<'_, V> {
    /// Consumes all that is complete.
    fn read(&mut self, c: &mut Connection, side: usize, at_end: bool) {
        while c.mode != Mode::Other && !c.halves[side].pending().is_empty() {
            let more = if c.mode == Mode::WebSocket && c.upgraded[side] {
                self.websocket(c, side)
            } else {
                self.sip(c, side, at_end)
            };
            if !more {
                break;
            }
        }
        if c.halves[side].pending().len() > MAX_BUFFER {
            self.evicted[3] += 1;
            let len = c.halves[side].pending().len();
            self.consume(c, side, len, Owner::None);
        }
    }

    fn sip(&mut self, c: &mut Connection, side: usize, at_end: bool) -> bool {
        let half = &c.halves[side];
        match c.framers[side].frame(half.pending(), at_end) {
            Framing::NeedMore => false,
            Framing::Keepalive { len } => {
                self.consume(c, side, len, Owner::Connection);
                true
            }
            Framing::Message { len } => {
                c.mode = if c.mode == Mode::Unknown { Mode::Sip } else { c.mode };
                let bytes = half.pending()[..len].to_vec();
                let frames = half.carriers(len);
                let owner = self.message(c, side, &bytes, &frames, Transport::Tcp);
                self.consume(c, side, len, owner);
                true
            }
            Framing::Skip { len } => self.skip(c, side, len),
        }
    }

    /// Bytes that are no SIP.
    fn skip(&mut self, c: &mut Connection, side: usize, len: usize) -> bool {
        let half = &c.halves[side];
        if matches!(c.mode, Mode::Unknown | Mode::WebSocket) && !c.upgraded[side] {
            if let Some(head) = websocket::upgrade_len(half.pending()) {
                c.upgraded[side] = true;
                c.mode = Mode::WebSocket;
                self.consume(c, side, head, Owner::Connection);
                return true;
            }
            if half.at_start && websocket::may_upgrade(half.pending()) && half.pending().len() < MAX_SKIPPED {
                return false;
            }
        }
        if c.mode == Mode::Unknown {
            c.skipped += len;
            if half.at_start || c.skipped > MAX_SKIPPED {
                c.mode = Mode::Other;
                return false;
            }
        }
        self.consume(c, side, len, Owner::None);
        true
    }

    /// One WebSocket frame (RFC 6455 §5.2); a whole message is one SIP message (RFC 7118 §5).
    fn websocket(&mut self, c: &mut Connection, side: usize) -> bool {
        let half = &c.halves[side];
        let buf = half.pending();
        let f = match websocket::frame(buf) {
            websocket::Framing::NeedMore => return false,
            websocket::Framing::Frame(f) => f,
            websocket::Framing::Refused(why) => {
                *self.calls.stats.refused.entry(why.as_str()).or_default() += 1;
                c.mode = Mode::Other;
                return false;
            }
        };
        let len = f.header_len + f.payload_len;
        if !f.is_data() {
            self.consume(c, side, len, Owner::Connection);
            return true;
        }
        let mut payload = buf[f.header_len..len].to_vec();
        websocket::unmask(&mut payload, f.mask);
        let frames = half.carriers(len);
        let mut whole = std::mem::take(&mut c.fragments[side]);
        whole.extend(payload);
        if !f.fin {
            if whole.len() <= MAX_BUFFER {
                c.fragments[side] = whole;
            }
            self.consume(c, side, len, Owner::Connection);
            return true;
        }
        let owner = match whole.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            true => Owner::Connection,
            false => self.message(c, side, &whole, &frames, Transport::Ws),
        };
        self.consume(c, side, len, owner);
        true
    }

    fn message(
        &mut self,
        c: &mut Connection,
        side: usize,
        bytes: &[u8],
        frames: &[FrameId],
        transport: Transport,
    ) -> Owner {
        let (src, dst) = if side == 0 { c.key } else { (c.key.1, c.key.0) };
        let ends = Ends { src: src.addr, sport: src.port, dst: dst.addr, dport: dst.port };
        let arrived =
            Arrived { context: src.context, ends, transport, frames, ts: self.at.now, source: self.at.source };
        let owner = self.calls.sip(self.v, bytes, arrived);
        if let Owner::Call(call) = owner {
            if self.calls.joins(call, self.conn) {
                c.members += 1;
                if c.calls.len() < MAX_CALLS {
                    c.calls.push(call);
                }
                if self.calls.is_selected(call) && !self.calls.fresh.contains(&call) {
                    c.selected += 1;
                }
            }
            c.flush(self.v, self.calls);
        }
        owner
    }

    fn consume(&mut self, c: &mut Connection, side: usize, len: usize, owner: Owner) {
        c.framers[side] = Framer::default();
        let selected = match owner {
            Owner::Call(call) => Some(self.calls.is_selected(call)),
            Owner::Selected => Some(true),
            Owner::None | Owner::Connection => None,
        };
        for (segment, done) in c.halves[side].consume(len, owner, selected) {
            c.give(self.v, self.calls, segment.id.frame, owner, self.at.now);
            if done {
                *self.shared += u64::from(segment.mixed == [true; 2]);
                self.v.unblock(segment.id.frame);
            }
        }
    }

    /// Goes past holes that will not be filled; what stands before one is read as far as it makes sense.
    fn catch_up(&mut self, c: &mut Connection, all: bool) {
        for side in 0..2 {
            while c.mode != Mode::Other && c.halves[side].gives_up(self.at.now, all) {
                self.evicted[2] += 1;
                self.broken(c, side);
                c.halves[side].skip_hole(self.at.now).iter().for_each(|s| self.v.unblock(s.id.frame));
                self.read(c, side, false);
            }
            if all && !c.halves[side].pending().is_empty() {
                self.read(c, side, true);
                self.broken(c, side);
            }
        }
    }

    /// A message whose rest is missing: its head may still say whose it is.
    fn broken(&mut self, c: &mut Connection, side: usize) {
        let len = c.halves[side].pending().len();
        if len == 0 || c.mode == Mode::Other {
            return;
        }
        let bytes = c.halves[side].pending().to_vec();
        let frames = c.halves[side].carriers(len);
        let readable = c.mode == Mode::Sip && sip::starts(&bytes);
        let owner = if readable { self.message(c, side, &bytes, &frames, Transport::Tcp) } else { Owner::None };
        self.consume(c, side, len, owner);
    }
}
