//! Reading a connection: messages out of its streams, their bytes to their owners.

use lc_proto::sip::{self, Framer, Framing};
use lc_proto::websocket;

use super::connection::{Connection, Mode, Parts};
use super::secured::Secrets;
use super::Place;
use crate::calls::{Arrived, Calls, Owner};
use crate::defrag::FrameId;
use crate::half::MAX_BUFFER;
use crate::pool::Pool;
use crate::record::{Ends, Transport};
use crate::slab::Ref;
use crate::verdict::Verdicts;

/// Bytes without SIP after which a connection seen from its middle is given up.
const MAX_SKIPPED: usize = 16 << 10;

/// One turn of reading a connection's streams.
pub(super) struct Work<'a, V: Verdicts> {
    pub(super) v: &'a mut V,
    pub(super) calls: &'a mut Calls,
    pub(super) conn: Ref,
    pub(super) at: Place<'a>,
    pub(super) shared: &'a mut u64,
    pub(super) evicted: &'a mut [u64; 4],
    pub(super) pool: &'a mut Pool,
    pub(super) secrets: &'a mut Secrets,
}

impl<V: Verdicts> Work<'_, V> {
    /// Consumes all that is complete.
    pub(super) fn read(&mut self, c: &mut Connection, side: usize, at_end: bool) {
        while c.mode != Mode::Other && c.halves[side].pending().len() > c.parts[side].read {
            let more = match c.mode {
                Mode::Tls => self.tls(c, side),
                Mode::WebSocket if c.upgraded[side] => self.websocket(c, side),
                _ => self.sip(c, side, at_end),
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
        match self.secures(c, side) {
            Some(true) => return true,
            None if !at_end => return false,
            _ => {}
        }
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

    /// One WebSocket frame (RFC 6455 §5.2); a whole message is one SIP message (RFC 7118 §5). Its first parts stay
    /// pending until the last one says whose they all are.
    fn websocket(&mut self, c: &mut Connection, side: usize) -> bool {
        let half = &c.halves[side];
        let parts = &mut c.parts[side];
        let buf = half.pending().get(parts.read..).unwrap_or_default();
        let f = match websocket::frame(buf) {
            websocket::Framing::NeedMore => return false,
            websocket::Framing::Frame(f) => f,
            websocket::Framing::Refused(why) => {
                *self.calls.stats.refused.entry(why.as_str()).or_default() += 1;
                c.mode = Mode::Other;
                return false;
            }
        };
        let len = parts.read + f.header_len + f.payload_len;
        if f.is_data() {
            let start = parts.payload.len();
            parts.payload.extend_from_slice(&buf[f.header_len..f.header_len + f.payload_len]);
            websocket::unmask(&mut parts.payload[start..], f.mask);
        }
        let between = !f.is_data() && parts.read > 0; // a control frame between the parts goes with them
        if between || (f.is_data() && !f.fin) {
            parts.read = len;
            return true;
        }
        let whole = std::mem::take(&mut parts.payload);
        let owner = if whole.iter().all(|b| matches!(b, b'\r' | b'\n')) {
            Owner::Connection
        } else {
            let frames = half.carriers(len);
            self.message(c, side, &whole, &frames, Transport::Ws)
        };
        self.consume(c, side, len, owner);
        true
    }

    pub(super) fn message(
        &mut self,
        c: &mut Connection,
        side: usize,
        bytes: &[u8],
        frames: &[FrameId],
        transport: Transport,
    ) -> Owner {
        let (src, dst) = if side == 0 { c.key } else { (c.key.1, c.key.0) };
        let ends = Ends { src: src.addr, sport: src.port, dst: dst.addr, dport: dst.port };
        let arrived = Arrived {
            context: src.context,
            ends,
            transport,
            frames,
            sent: c.halves[side].sent(frames.first().map_or(self.at.now, |f| f.ts)),
            now: self.at.now,
            source: self.at.source,
        };
        let owner = self.calls.sip(self.v, bytes, arrived);
        if let Owner::Call(call) = owner {
            if self.calls.joins(call, self.conn) {
                c.members += 1;
                c.carries(self.calls, call);
                if self.calls.is_selected(call) && !self.calls.fresh.contains(&call) {
                    c.selected += 1;
                    c.own_edges(self.v, self.calls, call);
                }
            }
            c.flush(self.v, self.calls);
        }
        owner
    }

    pub(super) fn consume(&mut self, c: &mut Connection, side: usize, len: usize, owner: Owner) {
        c.framers[side] = Framer::default();
        c.parts[side] = Parts::default();
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
    pub(super) fn catch_up(&mut self, c: &mut Connection, all: bool) {
        for side in 0..2 {
            while c.mode != Mode::Other && c.halves[side].gives_up(self.at.now, all) {
                self.evicted[2] += 1;
                self.broken(c, side);
                c.deafen(side);
                c.halves[side].skip_hole(self.at.now, self.pool).iter().for_each(|s| self.v.unblock(s.id.frame));
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
        let unread = if c.mode == Mode::Tls { Owner::Connection } else { Owner::None };
        let owner = if readable { self.message(c, side, &bytes, &frames, Transport::Tcp) } else { unread };
        self.consume(c, side, len, owner);
    }
}
