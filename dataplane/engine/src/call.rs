//! One call: a Call-ID with its dialogs, its media claims and its frames that wait for a decision.

use std::num::NonZeroU64;

use lc_proto::sip::Message;

use crate::frames::Waiting;
use crate::media::End;
use crate::record::{Ends, Record, Transport};
use crate::reports::Reports;
use crate::session::Session;
use crate::slab::Ref;
use crate::state::State;
use crate::transactions::Transactions;

const IDLE_OTHER: u64 = 600_000_000_000;

/// One endpoint that the call's SDP named or implied.
#[derive(Clone, Copy, Debug)]
pub struct MediaClaim {
    /// The endpoint.
    pub end: End,
    /// Its place in the table.
    pub at: Ref,
    /// Who named it: a hash of the tag.
    pub side: u64,
    /// Which m= line.
    pub line: u8,
    /// The offer's transaction, while it is not answered.
    pub offered: Option<NonZeroU64>,
    /// The offer that moves away from it, while it is not answered.
    pub leaving: Option<NonZeroU64>,
    /// Implied RTCP.
    pub implied: bool,
    /// `a=rtcp-mux` stood beside it.
    pub mux: bool,
    /// SRTP (RFC 3711): the profile says so.
    pub secure: bool,
}

/// A payload type of the call's SDP: what the side that names it wants to receive (RFC 3264 §5.1).
#[derive(Clone, Debug)]
pub struct Codec {
    /// Who named it: a hash of the tag.
    pub side: u64,
    /// Encoding name.
    pub name: Box<str>,
    /// Timestamp units a second; 0: not understood.
    pub rate: u32,
    /// RTP payload type.
    pub payload_type: u8,
    /// Which m= line.
    pub line: u8,
    /// `annexb=no` (RFC 3555): G.729 without silence suppression.
    pub no_annexb: bool,
}

/// One entry of the call table. What every packet touches stands first, together.
#[derive(Debug)]
#[repr(C)]
pub struct Call {
    /// Frames.
    pub packets: u64,
    /// Packet time of its last frame, ns.
    pub last: u64,
    /// Whether it was asked for.
    pub selected: bool,
    /// Place of its trunk.
    pub trunk: u8,
    /// Its frames, while it is not selected.
    pub waiting: Option<Box<Waiting>>,
    /// Call-ID, as written.
    pub id: Box<[u8]>,
    /// Records of it, while it is not selected.
    pub records: Vec<Record>,
    /// TCP connections that carried it.
    pub connections: Vec<Ref>,
    /// Its media endpoints.
    pub claims: Vec<MediaClaim>,
    /// Payload types its SDP named.
    pub codecs: Vec<Codec>,
    /// What RTCP said of its sources.
    pub reports: Option<Box<Reports>>,
    /// Sides (hashes of their tags) that media came to; 0: none.
    pub reached: [u64; 2],
    /// SSRCs of its ended streams.
    pub ssrcs: Vec<u32>,
    /// User parts of From and To in its first message.
    pub users: [Box<[u8]>; 2],
    /// Source and number of its first frame.
    pub first: (u16, u64),
    /// Addresses of its first message.
    pub ends: Ends,
    /// How that travelled.
    pub transport: Transport,
    /// The INVITE and what came of it.
    pub session: Session,
    /// What else was asked.
    pub transactions: Transactions,
    /// Codecs of its ended streams: bits of [`crate::kpi::CODECS`].
    pub heard: u32,
    /// Packet time of its entry among the timers, ns.
    pub timer: u64,
    seen: [u32; 12],
    next_seen: u8,
}

impl Call {
    /// A new entry, from its first message.
    #[must_use]
    pub fn new(message: &Message<'_>, first: (u16, u64), (ends, transport): (Ends, Transport), now: u64) -> Self {
        Self {
            id: message.call_id.into(),
            selected: false,
            trunk: u8::MAX,
            waiting: None,
            records: Vec::new(),
            connections: Vec::new(),
            claims: Vec::new(),
            codecs: Vec::new(),
            reports: None,
            reached: [0; 2],
            ssrcs: Vec::new(),
            users: [message.from.user.into(), message.to.user.into()],
            first,
            packets: 0,
            last: now,
            ends,
            transport,
            session: Session::default(),
            transactions: Transactions::default(),
            heard: 0,
            timer: u64::MAX,
            seen: [0; 12],
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
        self.next_seen = (self.next_seen + 1) % 12;
        false
    }

    /// Bytes of its names.
    #[must_use]
    pub fn names(&self) -> usize {
        2 * self.id.len() + self.users[0].len() + self.users[1].len()
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
        self.leaves().min(self.transactions.deadline())
    }

    /// When it leaves the table if nothing more comes, or a BYE has waited long enough.
    #[must_use]
    pub fn leaves(&self) -> u64 {
        match self.session.state() {
            State::Transaction => self.last.saturating_add(IDLE_OTHER),
            _ => self.session.deadline(self.last),
        }
    }
}
