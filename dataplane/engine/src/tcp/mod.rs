//! TCP connections: which carry SIP or a WebSocket, what of them belongs to whom (law 4).
//!
//! The handshake and the close belong to every call of a connection; bare acknowledgements and keepalives to the
//! connection as a whole, so they are kept only while all its calls are selected; segments belong to the messages
//! whose bytes they carry.

mod connection;
mod reading;
mod secured;

use std::collections::VecDeque;

use hashbrown::HashMap;
use lc_wire::tcp::{Tcp, FIN, RST, SYN};

use crate::calls::{Calls, Owner};
use crate::defrag::FrameId;
use crate::half::Half;
use crate::media::{End, FlowKey};
use crate::pool::Pool;
use crate::select::Class;
use crate::slab::{Ref, Slab};
use crate::verdict::Verdicts;

use connection::{Connection, Mode};
use reading::Work;
pub use secured::Secrets;

const SECOND: u64 = 1_000_000_000;
/// Connections at once.
pub const MAX_CONNECTIONS: usize = 200_000;
/// Bytes held for all of them, with what is remembered of their segments.
pub const MAX_BYTES: usize = 100 << 20;
const IDLE_CLOSED: u64 = 30 * SECOND;

/// What may be set about connections. Times in ns of packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that hold bytes of unfinished messages, at once.
    pub buffers: usize,
    /// Bytes held for all of them, with what is remembered of their segments.
    pub bytes: usize,
    /// How long an open connection may be quiet.
    pub idle: u64,
    /// How long an unfinished message is waited for.
    pub age: u64,
    /// Between two looks for what has become too old.
    pub sweep: u64,
    /// Whether memory that is not in use is given back then.
    pub trim: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            buffers: 10_000,
            bytes: MAX_BYTES,
            idle: 600 * SECOND,
            age: 300 * SECOND,
            sweep: 60 * SECOND,
            trim: false,
        }
    }
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
    /// Connections that carry SIP, others, bytes held, memory taken, connections that hold bytes.
    levels: [usize; 5],
    swept: u64,
    cleaned: u64,
    /// What may be set.
    pub limits: Limits,
    /// Connections forgotten for the limit and for their age, holes in streams, buffers given up.
    pub evicted: [u64; 4],
    /// Segments with bytes of a selected and of another call (kept whole).
    pub shared: u64,
    /// Buffers for what comes too early.
    pub pool: Pool,
    /// Of connections of TLS.
    pub secrets: Secrets,
    /// How often memory was given back.
    pub trims: u64,
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
        let [sip, other, held, ..] = self.levels.map(|n| n as u64);
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
            let (repeated, waits, dropped) = c.halves[side].push(t.seq, t.payload, *id, at.now, &mut self.pool);
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
        let (shared, evicted, pool) = (&mut self.shared, &mut self.evicted, &mut self.pool);
        let mut work = Work { v, calls, conn, at, shared, evicted, pool, secrets: &mut self.secrets };
        work.read(c, side, false);
        if c.mode == Mode::Tls {
            work.read(c, 1 - side, false); // what waited for this side's hello
        }
        work.catch_up(c, false);
        if c.mode == Mode::Other {
            c.forget(v, &mut self.pool);
        }
        c.disclose(1, &mut self.shared, &mut self.secrets);
        self.settle(v, calls);
        self.weigh(conn);
        if self.levels[4] > self.limits.buffers {
            self.evicted[3] += 1;
            self.remove(v, calls, conn);
        }
        while self.levels[3] > self.limits.bytes && !self.order.is_empty() {
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
                    c.own_edges(v, calls, call);
                    c.disclose(0, &mut self.shared, &mut self.secrets);
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
        if now.saturating_sub(self.cleaned) >= self.limits.sweep {
            self.cleaned = now;
            self.clean(v, calls, now);
            if self.limits.trim {
                self.trim();
            }
        }
        self.give_up_holes(v, calls, now);
    }

    /// Forgets connections that are quiet for too long: closed, open, or in the middle of a message.
    fn clean(&mut self, v: &mut impl Verdicts, calls: &mut Calls, now: u64) {
        let Limits { idle, age, .. } = self.limits;
        let patience = |c: &Connection| match (c.closed, c.levels[4] > 0) {
            (true, _) => IDLE_CLOSED,
            (false, true) => idle.min(age),
            (false, false) => idle,
        };
        let quiet = self.table.iter().filter(|(_, c)| now.saturating_sub(c.last) > patience(c));
        let old: Vec<Ref> = quiet.map(|(at, _)| at).collect();
        for at in old {
            self.evicted[1] += u64::from(self.table.get(at).is_some_and(|c| !c.closed));
            self.remove(v, calls, at);
        }
    }

    /// Gives memory back that a burst needed.
    fn trim(&mut self) {
        self.trims += 1;
        self.pool.trim();
        self.order.shrink_to_fit();
        self.by_ends.shrink_to_fit();
        self.table.shrink();
        let all: Vec<Ref> = self.table.iter().map(|(at, _)| at).collect();
        for at in all {
            if let Some(c) = self.table.get_mut(at) {
                c.halves.iter_mut().for_each(Half::trim);
            }
            self.weigh(at);
        }
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
        let (shared, evicted, pool) = (&mut self.shared, &mut self.evicted, &mut self.pool);
        Work { v, calls, conn, at, shared, evicted, pool, secrets: &mut self.secrets }.catch_up(c, all);
        c.disclose(0, &mut self.shared, &mut self.secrets);
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
        c.clear(v, &mut self.pool);
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
