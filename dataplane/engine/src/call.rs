//! One call: a Call-ID with its dialogs, its media claims and its frames that wait for a decision.

use lc_proto::sip::{Message, StartLine};

use crate::frames::Waiting;
use crate::media::End;
use crate::record::Record;
use crate::reports::Reports;
use crate::slab::Ref;

const SECOND: u64 = 1_000_000_000;
/// RFC 3261 §17: 64·T1, after which no retransmission of a transaction comes.
pub const LINGER: u64 = 32 * SECOND;
/// A BYE without an answer ends the media after, ns.
pub const BYE_WAIT: u64 = 2 * SECOND;
const IDLE_SETUP: u64 = 300 * SECOND;
const IDLE_OTHER: u64 = 600 * SECOND;
const IDLE_TALK: u64 = 3600 * SECOND;

/// How a call stands (RFC 3261).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// No INVITE seen: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and their like.
    Transaction,
    /// INVITE.
    Trying,
    /// 180.
    Ringing,
    /// Another 18x.
    Early,
    /// 2xx.
    Answered,
    /// BYE and its answer.
    Ended,
    /// Final status from 300 up.
    Failed,
    /// CANCEL and 487.
    Cancelled,
}

impl State {
    /// Every state, in order of the counters.
    pub const ALL: [Self; 8] = [
        Self::Transaction,
        Self::Trying,
        Self::Ringing,
        Self::Early,
        Self::Answered,
        Self::Ended,
        Self::Failed,
        Self::Cancelled,
    ];

    /// As records and metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Trying => "trying",
            Self::Ringing => "ringing",
            Self::Early => "early",
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

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
    pub offered: Option<u64>,
    /// The offer that moves away from it, while it is not answered.
    pub leaving: Option<u64>,
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
    /// How it stands.
    pub state: State,
    /// Its frames, while it is not selected.
    pub waiting: Waiting,
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
    /// SSRCs of its ended streams.
    pub ssrcs: Vec<u32>,
    /// User parts of From and To in its first message.
    pub users: [Box<[u8]>; 2],
    /// Source and number of its first frame.
    pub first: (u16, u64),
    /// First INVITE, first 18x, first 2xx, end: packet times, ns.
    pub times: [Option<u64>; 4],
    /// Final status of the INVITE.
    pub status: Option<u16>,
    /// Capture time of an unanswered BYE.
    pub bye: Option<u64>,
    /// The line's time then.
    parting: u64,
    /// Packet time of its entry among the timers, ns.
    pub timer: u64,
    invite: Option<u64>,
    dialogs: u32,
    seen: [u64; 12],
    next_seen: u8,
}

impl Call {
    /// A new entry, from its first message.
    #[must_use]
    pub fn new(message: &Message<'_>, first: (u16, u64), now: u64) -> Self {
        Self {
            id: message.call_id.into(),
            selected: false,
            state: State::Transaction,
            waiting: Waiting::default(),
            records: Vec::new(),
            connections: Vec::new(),
            claims: Vec::new(),
            codecs: Vec::new(),
            reports: None,
            ssrcs: Vec::new(),
            users: [message.from.user.into(), message.to.user.into()],
            first,
            packets: 0,
            last: now,
            times: [None; 4],
            status: None,
            bye: None,
            parting: 0,
            timer: u64::MAX,
            invite: None,
            dialogs: 0,
            seen: [0; 12],
            next_seen: 0,
        }
    }

    /// Whether a message with this print had come, and remembers it.
    pub fn again(&mut self, print: u64) -> bool {
        if self.seen.contains(&print) {
            return true;
        }
        self.seen[usize::from(self.next_seen)] = print;
        self.next_seen = (self.next_seen + 1) % 12;
        false
    }

    /// Moves the state; true when the call's media have ended with it.
    pub fn message(&mut self, m: &Message<'_>, again: bool, now: u64) -> bool {
        match m.start {
            StartLine::Request { method: b"INVITE", .. } => self.invited(again, now),
            StartLine::Request { method: b"BYE", .. } => {
                self.bye.get_or_insert_with(|| {
                    self.parting = self.last;
                    now
                });
            }
            StartLine::Request { .. } => {}
            StartLine::Response { status, .. } => match m.cseq_method {
                b"INVITE" => return self.answered(status, again, now),
                b"BYE" if status >= 200 && status != 401 && status != 407 => {
                    self.dialogs = self.dialogs.saturating_sub(u32::from(!again));
                    return self.dialogs == 0 && self.hung_up(now);
                }
                _ => {}
            },
        }
        false
    }

    fn invited(&mut self, again: bool, now: u64) {
        let over = matches!(self.state, State::Failed | State::Cancelled);
        if self.state == State::Transaction || (over && !again) {
            self.times[0].get_or_insert(now);
            self.invite = Some(now);
            (self.times[1], self.times[3], self.status) = (None, None, None);
            self.state = State::Trying;
        }
    }

    fn answered(&mut self, status: u16, again: bool, now: u64) -> bool {
        if self.state == State::Transaction {
            self.state = State::Trying; // only responses are seen: still a call
            self.times[0] = Some(now);
        }
        match status {
            180..=189 if self.times[2].is_none() => {
                self.times[1].get_or_insert(now);
                self.state = if status == 180 { State::Ringing } else { State::Early };
            }
            200..=299 => {
                self.dialogs += u32::from(!again && self.times[2].is_none());
                if self.times[2].is_none() {
                    self.times[2] = Some(now);
                    (self.state, self.status) = (State::Answered, Some(status));
                }
            }
            300.. if self.times[2].is_none() => {
                self.state = if status == 487 { State::Cancelled } else { State::Failed };
                self.status = Some(status);
                self.times[3] = Some(now);
                return true;
            }
            _ => {}
        }
        false
    }

    /// The BYE was answered, or will not be; true the first time.
    pub fn hung_up(&mut self, now: u64) -> bool {
        let first = self.state != State::Ended;
        if first && self.state != State::Transaction {
            self.times[3] = Some(self.bye.unwrap_or(now));
            self.state = State::Ended;
        }
        first
    }

    /// INVITE (the last one after 401 or 407) to the first 18x, ns.
    #[must_use]
    pub fn pdd(&self) -> Option<u64> {
        Some(self.times[1]?.saturating_sub(self.invite?))
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
        let idle = match self.state {
            State::Ended | State::Failed | State::Cancelled => LINGER,
            State::Trying | State::Ringing | State::Early => IDLE_SETUP,
            State::Answered => IDLE_TALK,
            State::Transaction => IDLE_OTHER,
        };
        match self.bye {
            Some(_) if self.state == State::Answered => self.parting.saturating_add(BYE_WAIT),
            _ => self.last.saturating_add(idle),
        }
    }
}
