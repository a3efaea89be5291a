//! One call: a Call-ID with its dialogs, its media claims and its frames that wait for a decision.

use std::num::NonZeroU32;

use lc_proto::sip::Message;
use lc_wire::Addr;
use smallvec::SmallVec;

use crate::codecs::Codecs;
use crate::frames::Waiting;
use crate::record::{Ends, Record, Transport};
use crate::reports::Reports;
use crate::session::Session;
use crate::slab::Ref;
use crate::state::State;
use crate::transactions::Transactions;

const IDLE_OTHER: u64 = 600_000_000_000;
/// Messages that are told from their retransmissions.
const SEEN: usize = 12;

/// One endpoint that the call's SDP named.
#[derive(Clone, Copy, Debug)]
pub struct MediaClaim {
    /// Its place in the table.
    pub at: Ref,
    /// Who named it: a hash of the tag.
    pub side: u32,
    /// The offer's transaction, while it is not answered.
    pub offered: Option<NonZeroU32>,
    /// The offer that moves away from it, while it is not answered.
    pub leaving: Option<NonZeroU32>,
    /// Which m= line.
    pub line: u8,
    /// The port after it is claimed with it, for RTCP.
    pub implies: bool,
    /// `a=rtcp-mux` stood beside it.
    pub mux: bool,
    /// SRTP (RFC 3711): the profile says so.
    pub secure: bool,
}

/// What few calls have.
#[derive(Debug, Default)]
pub struct Rest {
    /// Records of it, while it is not selected.
    pub records: Vec<Record>,
    /// TCP connections that carried it.
    pub connections: Vec<Ref>,
    /// What RTCP said of its sources.
    pub reports: Option<Box<Reports>>,
    /// SSRCs of its ended streams.
    pub ssrcs: Vec<u32>,
    /// What was asked beside the call.
    pub transactions: Transactions,
}

/// Call-ID and the user parts of From and To, in one piece.
#[derive(Debug)]
struct Names {
    bytes: Box<[u8]>,
    cuts: [u32; 2],
}

/// Addresses in words, so that they need no alignment of their own.
#[derive(Debug)]
struct Packed {
    addrs: [[u64; 2]; 2],
    ports: [u16; 2],
}

/// One entry of the call table. What every packet touches stands first, together.
#[derive(Debug)]
#[repr(C)]
pub struct Call {
    /// Frames.
    pub packets: u64,
    /// Packet time of its last frame, ns.
    pub last: u64,
    /// Its frames, while it is not selected.
    pub waiting: Option<Box<Waiting>>,
    /// Whether it was asked for.
    pub selected: bool,
    /// Whether that was told ([`crate::owners::News`]).
    pub announced: bool,
    /// Place of its trunk.
    pub trunk: u8,
    /// How its first message travelled.
    pub transport: Transport,
    next_seen: u8,
    /// Codecs of its ended streams: bits of [`crate::kpi::CODECS`].
    pub heard: u32,
    names: Names,
    /// Packet time of its entry among the timers, ns.
    pub timer: u64,
    seen: [u32; SEEN],
    /// Sides (hashes of their tags) that media came to; 0: none.
    pub reached: [u32; 2],
    first: u64,
    ends: Packed,
    source: u16,
    /// The INVITE and what came of it.
    pub session: Session,
    /// Its media endpoints.
    pub claims: SmallVec<[MediaClaim; 2]>,
    /// Payload types its SDP named.
    pub codecs: Codecs,
    rest: Option<Box<Rest>>,
}

impl Call {
    /// A new entry, from its first message.
    #[must_use]
    pub fn new(message: &Message<'_>, first: (u16, u64), (ends, transport): (Ends, Transport), now: u64) -> Self {
        Self {
            names: Names::new([message.call_id, message.from.user, message.to.user]),
            selected: false,
            announced: false,
            trunk: u8::MAX,
            waiting: None,
            claims: SmallVec::new(),
            codecs: Codecs::default(),
            reached: [0; 2],
            first: first.1,
            source: first.0,
            packets: 0,
            last: now,
            ends: ends.into(),
            transport,
            session: Session::default(),
            rest: None,
            heard: 0,
            timer: u64::MAX,
            seen: [0; SEEN],
            next_seen: 0,
        }
    }

    /// Whether a message with this print had come, and remembers it.
    #[allow(clippy::cast_possible_truncation)]
    pub fn again(&mut self, print: u64) -> bool {
        let print = print as u32; // half of it is told apart well enough among twelve
        if self.seen.contains(&print) {
            return true;
        }
        self.seen[usize::from(self.next_seen)] = print;
        self.next_seen = (self.next_seen + 1) % SEEN as u8;
        false
    }

    /// Call-ID, as written.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        self.names.part(0)
    }

    /// User parts of From and To in its first message.
    #[must_use]
    pub fn users(&self) -> [&[u8]; 2] {
        [self.names.part(1), self.names.part(2)]
    }

    /// Source and number of its first frame.
    #[must_use]
    pub fn first(&self) -> (u16, u64) {
        (self.source, self.first)
    }

    /// Addresses of its first message.
    #[must_use]
    pub fn ends(&self) -> Ends {
        (&self.ends).into()
    }

    /// What few calls have, if it has it.
    #[must_use]
    pub fn rest(&self) -> Option<&Rest> {
        self.rest.as_deref()
    }

    /// The same, to change what is there.
    pub fn rest_mut(&mut self) -> Option<&mut Rest> {
        self.rest.as_deref_mut()
    }

    /// The same, made where it is not there.
    pub fn more(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// Memory of its records, bytes.
    #[must_use]
    pub fn records_weight(&self) -> usize {
        self.rest().map_or(0, |r| r.records.iter().map(Record::weight).sum())
    }

    /// Bytes of its names.
    #[must_use]
    pub fn names(&self) -> usize {
        self.id().len() + self.names.bytes.len()
    }

    /// The deadline, when it has come to be before the timer: set the timer to it then.
    pub fn sooner(&mut self) -> Option<u64> {
        let deadline = self.deadline();
        (deadline < self.timer).then(|| {
            self.timer = deadline;
            deadline
        })
    }

    /// When it is to be looked at again, packet time in ns.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.leaves().min(self.rest().map_or(u64::MAX, |r| r.transactions.deadline()))
    }

    /// When it leaves the table if nothing more comes, or a BYE has waited long enough.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        match self.session.state() {
            State::Transaction => self.last.saturating_add(IDLE_OTHER),
            _ => self.session.deadline(self.last),
        }
    }

    /// Its claims on the two ends of a flow, the newest first.
    #[must_use]
    pub fn claims_on(&self, ends: [Ref; 2]) -> [Option<&MediaClaim>; 2] {
        ends.map(|end| self.claims.iter().rev().find(|c| c.at == end))
    }
}

impl Names {
    fn new(parts: [&[u8]; 3]) -> Self {
        let cut = |parts: &[&[u8]]| u32::try_from(parts.iter().map(|p| p.len()).sum::<usize>()).unwrap_or(u32::MAX);
        Self { bytes: parts.concat().into(), cuts: [cut(&parts[..1]), cut(&parts[..2])] }
    }

    fn part(&self, n: usize) -> &[u8] {
        let all = self.bytes.len();
        let cuts = [0, self.cuts[0] as usize, self.cuts[1] as usize, all];
        self.bytes.get(cuts[n]..cuts[n + 1]).unwrap_or_default()
    }
}

impl From<Ends> for Packed {
    #[allow(clippy::cast_possible_truncation)] // the two halves
    fn from(e: Ends) -> Self {
        let words = |a: Addr| [(a.0 >> 64) as u64, a.0 as u64];
        Self { addrs: [words(e.src), words(e.dst)], ports: [e.sport, e.dport] }
    }
}

impl From<&Packed> for Ends {
    fn from(p: &Packed) -> Self {
        let [src, dst] = p.addrs.map(|[high, low]| Addr(u128::from(high) << 64 | u128::from(low)));
        Self { src, dst, sport: p.ports[0], dport: p.ports[1] }
    }
}
