//! One connection: its two directions, its own frames, the calls it carries.

use lc_proto::sip::Framer;
use lc_wire::tcp::{Tcp, ACK, FIN, RST, SYN};

use super::secured::Secured;
use crate::calls::{Calls, Owner};
use crate::frames::{FrameNo, Waiting};
use crate::half::Half;
use crate::media::End;
use crate::pool::Pool;
use crate::select::Class;
use crate::slab::Ref;
use crate::verdict::Verdicts;

/// Frames of the handshake and the close that are remembered.
const MAX_EDGES: usize = 16;
/// Calls of a connection that get its handshake when it is forgotten first.
const MAX_CALLS: usize = 64;
/// The same where files per call are written.
const MAX_OWNERS: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Unknown,
    Sip,
    WebSocket,
    Tls,
    Other,
}

/// The parts so far of a WebSocket message in several frames (RFC 6455 §5.4).
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Pending bytes of the stream that they take.
    pub(super) read: usize,
    /// What they carry.
    pub(super) payload: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: (End, End),
    pub(super) mode: Mode,
    pub(super) halves: Box<[Half; 2]>,
    /// Where reading of a message stands, per direction.
    pub(super) framers: [Framer; 2],
    /// WebSocket message in the making, per direction.
    pub(super) parts: [Parts; 2],
    pub(super) upgraded: [bool; 2],
    pub(super) edges: Waiting,
    pub(super) bare: Waiting,
    /// Its handshake and close, where files per call ask for them.
    pub(super) known: Vec<FrameNo>,
    pub(super) calls: Vec<Ref>,
    pub(super) members: u32,
    pub(super) selected: u32,
    pub(super) skipped: usize,
    pub(super) last: u64,
    pub(super) closed: bool,
    /// Which side's SYN waits for the last part of the handshake.
    pub(super) opener: Option<usize>,
    /// The inside of a connection of TLS.
    pub(super) tls: Option<Box<Secured>>,
    /// Its part in the levels of the table.
    pub(super) levels: [usize; 5],
}

impl Connection {
    pub(super) fn new(key: (End, End), now: u64) -> Self {
        Self {
            key,
            mode: Mode::Unknown,
            halves: Box::default(),
            framers: [Framer::default(); 2],
            parts: [Parts::default(), Parts::default()],
            upgraded: [false; 2],
            edges: Waiting::default(),
            bare: Waiting::default(),
            known: Vec::new(),
            calls: Vec::new(),
            members: 0,
            selected: 0,
            skipped: 0,
            last: now,
            closed: false,
            opener: None,
            tls: None,
            levels: [0; 5],
        }
    }

    /// Whether a segment is part of the handshake or the close.
    pub(super) fn flags(&mut self, side: usize, t: &Tcp<'_>) -> bool {
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
    pub(super) fn connection_frame(
        &mut self,
        v: &mut impl Verdicts,
        calls: &Calls,
        frame: FrameNo,
        edge: bool,
        now: u64,
    ) {
        let edge = edge || self.mode == Mode::Tls; // one record cannot be read without the others
        if edge && calls.news.is_some() {
            self.edge(frame);
        }
        if !calls.selection().admits(Class::Sip) {
            return;
        }
        let shared = self.members > self.selected;
        if self.selected > 0 && (edge || !shared) {
            v.select(frame);
            self.own(v, calls, frame, edge);
        } else if edge || self.selected == 0 {
            (if edge { &mut self.edges } else { &mut self.bare }).push(frame, now, v.horizon());
            v.hold(frame);
        }
    }

    pub(super) fn flush(&mut self, v: &mut impl Verdicts, calls: &Calls) {
        if self.selected == 0 || !calls.selection().admits(Class::Sip) {
            return;
        }
        v.missed(u64::from(std::mem::take(&mut self.edges.forgotten)));
        self.edges.take().for_each(|f| v.select(f));
        let exclusive = self.members == self.selected;
        for frame in self.bare.take() {
            if exclusive {
                v.select(frame);
                self.own(v, calls, frame, false);
            } else {
                v.release(frame);
            }
        }
    }

    /// Remembers a frame of the handshake, or of the close.
    fn edge(&mut self, frame: FrameNo) {
        if self.known.len() < MAX_EDGES {
            self.known.push(frame);
        }
    }

    /// A call that it carries was selected: the handshake is its own too.
    pub(super) fn own_edges(&self, v: &mut impl Verdicts, calls: &Calls, call: Ref) {
        if calls.is_announced(call) && calls.selection().admits(Class::Sip) {
            self.known.iter().for_each(|frame| v.own(*frame, call.serial));
        }
    }

    /// Notes a call that it carries. At the limit those that are over make room; the first ones stay.
    pub(super) fn carries(&mut self, calls: &Calls, call: Ref) {
        let limit = if calls.news.is_some() { MAX_OWNERS } else { MAX_CALLS };
        if self.calls.len() >= limit {
            self.calls.retain(|c| calls.is_known(*c));
        }
        if self.calls.len() < limit {
            self.calls.push(call);
        }
    }

    /// Whose a frame of the connection itself is: the handshake and the close all its calls', what lies between that
    /// of its only call.
    fn own(&self, v: &mut impl Verdicts, calls: &Calls, frame: FrameNo, edge: bool) {
        if edge || self.members == 1 {
            self.calls.iter().filter(|c| calls.is_announced(**c)).for_each(|c| v.own(frame, c.serial));
        }
    }

    pub(super) fn give(&mut self, v: &mut impl Verdicts, calls: &mut Calls, frame: FrameNo, owner: Owner, now: u64) {
        match owner {
            Owner::None => {}
            Owner::Selected => v.select(frame),
            Owner::Call(call) => calls.give(v, frame, call, Class::Sip, now),
            Owner::Connection => self.connection_frame(v, calls, frame, false, now),
        }
    }

    /// Its part in [`Connections::levels`].
    pub(super) fn weigh(&self) -> [usize; 5] {
        let sip = matches!(self.mode, Mode::Sip | Mode::WebSocket | Mode::Tls);
        let held: usize = self.halves.iter().map(Half::held).sum();
        let parts: usize = self.parts.iter().map(|p| p.payload.capacity()).sum();
        let memory =
            parts + self.tls.as_ref().map_or(0, |s| s.heap()) + self.halves.iter().map(Half::weight).sum::<usize>();
        [usize::from(sip), usize::from(!sip), held, memory, usize::from(held > 0)]
    }

    /// It carries nothing that is followed.
    pub(super) fn forget(&mut self, v: &mut impl Verdicts, pool: &mut Pool) {
        for frame in self.edges.take().chain(self.bare.take()) {
            v.release(frame);
        }
        self.clear(v, pool);
        *self.halves = <[Half; 2]>::default();
        self.tls = None;
    }

    pub(super) fn clear(&mut self, v: &mut impl Verdicts, pool: &mut Pool) {
        for half in self.halves.iter_mut() {
            for s in half.clear(pool) {
                v.unblock(s.id.frame);
            }
        }
    }
}
