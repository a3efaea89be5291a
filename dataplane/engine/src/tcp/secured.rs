//! SIP over TLS where a key log has the secrets: records in, messages out.
//!
//! A record cannot be read without those before it, so a connection is kept whole, or not at all: all its frames belong
//! to each of its calls.

use lc_proto::sip::{Framer, Framing};
use lc_proto::tls::{self, KeyLog, Refusal, Session, Step};

use super::connection::{Connection, Mode};
use super::reading::Work;
use crate::calls::Owner;
use crate::defrag::FrameId;
use crate::half::MAX_BUFFER;
use crate::record::Transport;
use crate::select::Class;
use crate::verdict::Verdicts;

/// Bytes of one direction that wait for their keys.
const MAX_WAITING: usize = 64 << 10;
/// Plain bytes without SIP after which a connection is given up.
const MAX_SKIPPED: usize = 16 << 10;
/// Frames of one message.
const MAX_FRAMES: usize = 4096;

/// What one direction carried that is not read yet.
#[derive(Debug, Default)]
struct Plain {
    bytes: Vec<u8>,
    framer: Framer,
    frames: Vec<FrameId>,
    /// Nothing more can be read.
    dead: bool,
}

/// The inside of a connection.
#[derive(Debug, Default)]
pub(super) struct Secured {
    session: Session,
    plain: [Plain; 2],
    /// Segments with data, and those of them that were counted as shared.
    segments: u64,
    shared: u64,
    disclosed: bool,
}

/// Key log, counters and what is to be written of TLS.
#[derive(Debug, Default)]
pub struct Secrets {
    /// The secrets.
    pub log: KeyLog,
    /// Connections that were not read on, by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Lines of key logs: the secrets of connections that were selected since they were last taken.
    pub disclosed: Vec<String>,
}

impl Secured {
    pub(super) fn heap(&self) -> usize {
        let plain: usize = self.plain.iter().map(|p| p.bytes.capacity() + p.frames.capacity() * 24).sum();
        std::mem::size_of::<Self>() + self.session.heap() + plain
    }
}

impl Connection {
    /// From now on it is one of TLS: bare acknowledgements are as good as all else.
    fn secure(&mut self, v: &mut impl Verdicts, now: u64) {
        self.mode = Mode::Tls;
        self.tls = Some(Box::default());
        for frame in self.bare.take().collect::<Vec<_>>() {
            self.edges.push(frame, now, v.horizon());
        }
    }

    /// Bytes are missing in a direction: its records cannot be read on.
    pub(super) fn deafen(&mut self, side: usize) {
        if let Some(s) = &mut self.tls {
            s.plain[side] = Plain { dead: true, ..Plain::default() };
        }
    }

    /// Counts what was kept of others, and gives the secrets out, once it carries something selected.
    pub(super) fn disclose(&mut self, segments: u64, shared: &mut u64, secrets: &mut Secrets) {
        let Some(s) = &mut self.tls else { return };
        s.segments += segments;
        if self.selected == 0 {
            return;
        }
        if self.members > self.selected {
            *shared += s.segments - s.shared;
            s.shared = s.segments;
        }
        if !s.disclosed {
            s.disclosed = true;
            secrets.disclosed.extend(s.session.random().map(|r| secrets.log.text(r)).filter(|t| !t.is_empty()));
        }
    }
}

impl<V: Verdicts> Work<'_, V> {
    /// Whether an unknown stream turns out to be one of TLS; none: it may.
    pub(super) fn secures(&mut self, c: &mut Connection, side: usize) -> Option<bool> {
        let half = &c.halves[side];
        if c.mode != Mode::Unknown || self.secrets.log.is_useless() {
            return Some(false);
        }
        match tls::begins(half.pending()) {
            Some(true) => {
                c.secure(self.v, self.at.now);
                Some(true)
            }
            None if half.at_start => None,
            _ => Some(false),
        }
    }

    /// One record.
    pub(super) fn tls(&mut self, c: &mut Connection, side: usize) -> bool {
        let half = &c.halves[side];
        let pending = half.pending().len();
        let Some(s) = c.tls.as_mut() else { return false };
        if s.plain[side].dead {
            self.consume(c, side, pending, Owner::Connection);
            return false;
        }
        let why = match s.session.record(side, half.pending(), &self.secrets.log) {
            Step::NeedMore => return false,
            Step::Waits if pending <= MAX_WAITING => return false,
            Step::Waits => Refusal::NoKeys,
            Step::Refused(why) => why,
            Step::Record(len, plain) => {
                let carriers = if plain.is_empty() { Vec::new() } else { half.carriers(len) };
                let p = &mut s.plain[side];
                p.frames.extend(carriers.iter().filter(|id| p.frames.last() != Some(id)).copied().collect::<Vec<_>>());
                p.bytes.extend(plain);
                self.consume(c, side, len, Owner::Connection);
                return self.plain(c, side, &carriers);
            }
        };
        self.secrets.refused[why as usize] += 1;
        if c.members == 0 {
            c.mode = Mode::Other; // nothing of it is anybody's
            return false;
        }
        c.deafen(side);
        self.consume(c, side, pending, Owner::Connection);
        false
    }

    /// Messages in what was decrypted; `carriers` are the frames of the last record.
    fn plain(&mut self, c: &mut Connection, side: usize, carriers: &[FrameId]) -> bool {
        while let Some(p) = c.tls.as_mut().map(|s| &mut s.plain[side]).filter(|p| !p.bytes.is_empty()) {
            let len = match p.framer.frame(&p.bytes, false) {
                Framing::NeedMore if p.bytes.len() <= MAX_BUFFER && p.frames.len() <= MAX_FRAMES => break,
                Framing::NeedMore => {
                    self.evicted[3] += 1;
                    p.bytes.len()
                }
                Framing::Keepalive { len } => len,
                Framing::Skip { len } => {
                    c.skipped += len;
                    len
                }
                Framing::Message { len } => {
                    let (bytes, frames) = (p.bytes[..len].to_vec(), p.frames.clone());
                    self.secret_message(c, side, &bytes, &frames);
                    len
                }
            };
            let Some(p) = c.tls.as_mut().map(|s| &mut s.plain[side]) else { break };
            p.bytes.drain(..len);
            p.framer = Framer::default();
            p.frames = carriers.to_vec();
        }
        if c.members == 0 && c.skipped > MAX_SKIPPED {
            c.mode = Mode::Other;
            return false;
        }
        if let Some(p) = c.tls.as_mut().map(|s| &mut s.plain[side]).filter(|p| p.bytes.is_empty()) {
            p.frames.clear();
        }
        true
    }

    fn secret_message(&mut self, c: &mut Connection, side: usize, bytes: &[u8], frames: &[FrameId]) {
        let owner = self.message(c, side, bytes, frames, Transport::Tls);
        for id in frames {
            match owner {
                Owner::Call(call) => self.calls.give(self.v, id.frame, call, Class::Sip, self.at.now),
                Owner::Selected => self.v.select(id.frame),
                Owner::None | Owner::Connection => {}
            }
        }
    }
}
