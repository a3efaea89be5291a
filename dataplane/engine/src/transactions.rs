//! Transactions that are no call's: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE, NOTIFY, PUBLISH, INFO, REFER and what else
//! is asked (RFC 3261 §17.1.2). INVITE with ACK, CANCEL, PRACK, UPDATE and BYE belong to the call.

use lc_proto::sip::{Message, StartLine};

use crate::offers::print;
use crate::record::{Ends, Transport};
use crate::session::LINGER;
use crate::state::{Now, Time};

/// Transactions of one Call-ID at once.
const MAX: usize = 32;
/// Bytes of a method, or of a user, that are remembered.
const MAX_NAME: usize = 128;

/// How a transaction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// 2xx.
    Completed,
    /// 3xx to 6xx, but for the next.
    Failed,
    /// 401 or 407: the request comes again with credentials.
    Challenged,
    /// No final answer in 32 s (64·T1, timer F).
    Timeout,
    /// The input, or the call's place in the table, ended before.
    Pending,
}

impl Outcome {
    /// Every outcome, in order of the counters.
    pub const ALL: [Self; 5] = [Self::Completed, Self::Failed, Self::Challenged, Self::Timeout, Self::Pending];

    /// As records and metrics spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Challenged => "challenged",
            Self::Timeout => "timeout",
            Self::Pending => "pending",
        }
    }

    fn of(status: u16) -> Self {
        match status {
            401 | 407 => Self::Challenged,
            ..=299 => Self::Completed,
            _ => Self::Failed,
        }
    }
}

/// One transaction: what has the method, the CSeq number and the From tag.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Its method.
    pub method: Box<[u8]>,
    /// User parts of From and To.
    pub users: [Box<[u8]>; 2],
    /// Addresses of the request; of a response without its request turned round.
    pub ends: Ends,
    /// How it travelled.
    pub transport: Transport,
    /// Source and number of its first frame.
    pub first: (u16, u64),
    /// The request.
    pub start: Time,
    /// The final response.
    pub end: Time,
    /// Final status, 0 for none.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// Messages that had come before.
    pub retransmissions: u32,
    /// The line's time at the request, then at the final response.
    moved: u64,
    key: u64,
}

impl Transaction {
    /// From the request to the final response, ns.
    #[must_use]
    pub fn response(&self) -> Option<u64> {
        self.end.since(self.start)
    }

    /// When nothing of it can come any more: 32 s after its answer, or after its request.
    fn deadline(&self) -> u64 {
        self.moved.saturating_add(LINGER)
    }
}

/// Where a message came from.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Source and number of its first frame.
    pub first: (u16, u64),
    /// Addresses and ports.
    pub ends: Ends,
    /// How.
    pub transport: Transport,
    /// When.
    pub now: Now,
    /// Whether the same message had come before.
    pub again: bool,
}

/// What a message changed, for those who count.
#[derive(Clone, Debug, Default)]
pub struct Moved {
    /// The transaction of a first final response.
    pub answered: Option<Transaction>,
    /// A registration began: a REGISTER that does not answer a challenge.
    pub registering: bool,
    /// One that found no more room.
    pub pushed_out: Option<Transaction>,
}

/// Whether a message belongs to a call itself, to none of its transactions.
#[must_use]
pub fn is_of_call(m: &Message<'_>) -> bool {
    let method = match m.start {
        StartLine::Request { method, .. } => method,
        StartLine::Response { .. } => m.cseq_method,
    };
    [&b"INVITE"[..], b"ACK", b"CANCEL", b"PRACK", b"UPDATE", b"BYE", b""].contains(&method)
}

/// The transactions of one Call-ID.
#[derive(Debug, Default)]
pub struct Transactions {
    list: Vec<Transaction>,
    challenged: bool,
}

impl Transactions {
    /// Takes a message, of such a transaction.
    pub fn message(&mut self, m: &Message<'_>, seen: Seen) -> Moved {
        let (method, status) = match m.start {
            StartLine::Request { method, .. } => (method, 0),
            StartLine::Response { status, .. } => (m.cseq_method, status),
        };
        let mut moved = Moved::default();
        let key = print(&[method, &m.cseq.unwrap_or(0).to_be_bytes(), m.from.tag]);
        let at = match self.list.iter().position(|t| t.key == key) {
            Some(at) => at,
            None => self.begin(m, method, (key, seen), &mut moved),
        };
        let t = &mut self.list[at];
        t.retransmissions += u32::from(seen.again);
        if status >= 200 && t.status == 0 {
            (t.status, t.end, t.outcome) = (status, Time::at(seen.now.sent), Outcome::of(status));
            t.moved = seen.now.line;
            if method == b"REGISTER" {
                self.challenged = t.outcome == Outcome::Challenged;
            }
            moved.answered = Some(t.clone());
        }
        moved
    }

    fn begin(&mut self, m: &Message<'_>, method: &[u8], (key, seen): (u64, Seen), moved: &mut Moved) -> usize {
        if method == b"REGISTER" {
            moved.registering = !std::mem::take(&mut self.challenged);
        }
        if self.list.len() == MAX {
            moved.pushed_out = Some(self.list.remove(0));
        }
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        let request = matches!(m.start, StartLine::Request { .. });
        let e = seen.ends;
        let ends = if request { e } else { Ends { src: e.dst, sport: e.dport, dst: e.src, dport: e.sport } };
        self.list.push(Transaction {
            method: short(method),
            users: [short(m.from.user), short(m.to.user)],
            ends,
            transport: seen.transport,
            first: seen.first,
            start: if request { Time::at(seen.now.sent) } else { Time::NONE },
            end: Time::NONE,
            status: 0,
            outcome: Outcome::Pending,
            retransmissions: 0,
            moved: seen.now.line,
            key,
        });
        self.list.len() - 1
    }

    /// The next one of which nothing can come any more at the line's time `now`; one without an answer has timed out.
    pub fn take_due(&mut self, now: u64) -> Option<Transaction> {
        let at = self.list.iter().position(|t| t.deadline() <= now)?;
        let mut t = self.list.remove(at);
        if t.status == 0 {
            t.outcome = Outcome::Timeout;
        }
        Some(t)
    }

    /// The next one, as it stands.
    pub fn take(&mut self) -> Option<Transaction> {
        (!self.list.is_empty()).then(|| self.list.remove(0))
    }

    /// When the first of them is to be looked at, in the line's time.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.list.iter().map(Transaction::deadline).min().unwrap_or(u64::MAX)
    }
}

fn short(name: &[u8]) -> Box<[u8]> {
    name[..name.len().min(MAX_NAME)].into()
}
