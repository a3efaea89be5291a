//! The signalling of one call: an INVITE with its dialogs, from the first try to the end.
//!
//! RFC 3261 (INVITE, CANCEL, BYE, forking), 3262 (PRACK), 3311 (UPDATE), 3515 (REFER), 3891 (Replaces), 4028 (session
//! timers), 6228 (199). One Call-ID is one attempt: an INVITE without a To tag and with a higher CSeq (after 401, 407,
//! 3xx, 422, or after an answer that the capture does not show) is the same attempt, and its times start anew. A
//! capture may show one direction only, or begin in the middle.

mod facts;
mod hold;
mod legs;
#[cfg(test)]
mod tests;
mod transfer;

use lc_proto::sdp;
use lc_proto::sip::{Message, StartLine};

pub use legs::By;
use legs::{Branches, Gone, Legs, Stage};

use crate::offers::short;
use crate::state::{Now, State, Time};
use hold::Holds;
use transfer::Transfer;

const SECOND: u64 = 1_000_000_000;
/// RFC 3261 §17: 64·T1, after which no retransmission of a transaction comes.
pub const LINGER: u64 = 32 * SECOND;
/// A BYE without an answer ends the media after, ns.
pub const BYE_WAIT: u64 = 2 * SECOND;
const IDLE_SETUP: u64 = 300 * SECOND;
const IDLE_TALK: u64 = 3600 * SECOND;

/// What a message changed, for those who count.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Changed {
    /// The attempt began.
    pub began: bool,
    /// The first 18x.
    pub rang: bool,
    /// The first 2xx.
    pub answered: bool,
    /// The BYE got its 2xx after so long, ns.
    pub disconnect: Option<u64>,
    /// The media have ended: hung up, or refused for good.
    pub over: bool,
}

/// The signalling of one call.
#[derive(Debug, Default)]
pub struct Session {
    state: State,
    /// First INVITE, or what was seen of the call first.
    pub start: Time,
    /// First 18x of the last try.
    pub ring: Time,
    /// First 2xx.
    pub answer: Time,
    /// The BYE, or the final refusal.
    pub end: Time,
    /// The INVITE of the last try.
    pub invite: Time,
    /// Its first response but 100.
    pub heard: Time,
    /// The line's time at the last refresh.
    refreshed: Time,
    interval: u32,
    cseq: u32,
    caller: u32,
    /// Final status of the INVITE, 0 for none.
    status: u16,
    /// Cause of Q.850 from a Reason header (RFC 3326).
    cause: Option<u8>,
    hung_up: Option<By>,
    rang: bool,
    attempt: bool,
    joined: bool,
    cancelled: bool,
    /// Whether a 401 or 407 came.
    pub challenged: bool,
    legs: Legs,
    branches: Branches,
    holds: Holds,
    transfer: Option<Box<Transfer>>,
    /// SIP messages.
    pub messages: u32,
    /// Those of them that had come before.
    pub retransmissions: u32,
}

impl Session {
    /// Takes the next message of the Call-ID; `again`: the same one had come before.
    pub fn message(&mut self, m: &Message<'_>, again: bool, now: Now) -> Changed {
        self.messages = self.messages.saturating_add(1);
        self.retransmissions = self.retransmissions.saturating_add(u32::from(again));
        let mut changed = Changed::default();
        match m.start {
            StartLine::Request { method, .. } => self.request(method, m, now, &mut changed),
            StartLine::Response { status, .. } => self.response(status, m, again, now, &mut changed),
        }
        changed
    }

    fn request(&mut self, method: &[u8], m: &Message<'_>, now: Now, changed: &mut Changed) {
        match method {
            b"INVITE" => self.invited(m, now, changed),
            b"BYE" => {
                if self.state == State::Transaction {
                    self.join(m, now);
                }
                let by = self.by(m.from.tag);
                self.legs.bye(tags(m), now, by);
                self.because(m);
            }
            b"CANCEL" => {
                self.cancelled = true;
                self.because(m);
            }
            b"REFER" if self.state != State::Transaction => Transfer::asked(&mut self.transfer, m),
            b"NOTIFY" if self.transfer.is_some() => self.notified(m),
            _ => {}
        }
    }

    fn invited(&mut self, m: &Message<'_>, now: Now, changed: &mut Changed) {
        let (initial, cseq) = (m.to.tag.is_empty(), m.cseq.unwrap_or(0));
        if self.state == State::Transaction {
            if !initial {
                self.join(m, now);
                return;
            }
            self.begin(m, now, changed);
        } else if initial && cseq > self.cseq && !self.is_established() {
            self.begin(m, now, changed);
        } else if cseq != self.cseq {
            return;
        }
        if self.invite == Time::NONE && initial {
            self.invite = Time::at(now.sent);
        }
        self.branches.reached(short(&[m.branch]), Stage::Sent);
        Transfer::replacing(&mut self.transfer, m);
    }

    /// A try begins, the first one or another.
    fn begin(&mut self, m: &Message<'_>, now: Now, changed: &mut Changed) {
        changed.began = !self.attempt;
        self.attempt = true;
        self.start.first(now.sent);
        self.state = State::Trying;
        (self.ring, self.end, self.invite, self.heard) = (Time::NONE, Time::NONE, Time::NONE, Time::NONE);
        (self.status, self.cause, self.cancelled) = (0, None, false);
        self.cseq = m.cseq.unwrap_or(0);
        self.caller = short(&[m.from.tag]);
        self.legs.clear();
        self.branches.clear();
    }

    /// The capture began in the middle of the call.
    fn join(&mut self, m: &Message<'_>, now: Now) {
        self.caller = short(&[m.from.tag]); // one of the two: who called is not known
        self.start.first(now.sent);
        self.state = State::Answered;
        self.joined = true;
        self.refreshed = Time::at(now.line);
    }

    fn response(&mut self, status: u16, m: &Message<'_>, again: bool, now: Now, changed: &mut Changed) {
        match m.cseq_method {
            b"INVITE" => self.answered(status, m, now, changed),
            b"UPDATE" if status >= 300 => self.holds.refused(),
            b"UPDATE" if status >= 200 => self.refresh(m, now),
            b"BYE" if status == 401 || status == 407 => self.legs.unbye(tags(m)),
            b"BYE" if status >= 200 && !again => self.bye_answered(status, m, now, changed),
            b"REFER" => Transfer::answered(&mut self.transfer, status),
            _ => {}
        }
    }

    fn answered(&mut self, status: u16, m: &Message<'_>, now: Now, changed: &mut Changed) {
        let cseq = m.cseq.unwrap_or(0);
        if self.state == State::Transaction {
            self.begin(m, now, changed); // only responses are seen: still a call
        } else if cseq != self.cseq || self.joined {
            self.again_answered(status, m, now, changed);
            return;
        }
        let (branch, tag) = (short(&[m.branch]), short(&[m.to.tag]));
        match status {
            100 => self.branches.reached(branch, Stage::Proceeding),
            101..=199 => self.progress(status, (branch, tag), now, changed),
            200..=299 => self.accepted(status, m, (branch, tag), now, changed),
            300.. if !self.answer.is_set() => self.refused(status, m, branch, now, changed),
            _ => {}
        }
    }

    /// A response to another INVITE than that of the last try.
    fn again_answered(&mut self, status: u16, m: &Message<'_>, now: Now, changed: &mut Changed) {
        let cseq = m.cseq.unwrap_or(0);
        if self.is_established() {
            match status {
                200..=299 => self.refresh(m, now),
                300.. => self.holds.refused(),
                _ => {}
            }
        } else if cseq > self.cseq {
            self.begin(m, now, changed); // the INVITE of a new try was not seen
            self.answered(status, m, now, changed);
        }
    }

    fn progress(&mut self, status: u16, (branch, tag): (u32, u32), now: Now, changed: &mut Changed) {
        if self.answer.is_set() || self.branches.is_completed(branch) {
            return; // late
        }
        self.branches.reached(branch, Stage::Proceeding);
        self.heard.first(now.sent);
        if status == 199 {
            self.legs.early_ended(Some(tag));
            return;
        }
        self.legs.answered(tag, false);
        if (180..=189).contains(&status) {
            self.ring.first(now.sent);
            changed.rang = !self.rang;
            self.rang = true;
            self.state = if status == 180 { State::Ringing } else { State::Early };
            (self.end, self.status) = (Time::NONE, 0);
        }
    }

    fn accepted(&mut self, status: u16, m: &Message<'_>, (branch, tag): (u32, u32), now: Now, changed: &mut Changed) {
        self.branches.reached(branch, Stage::Completed);
        let over = self.state == State::Ended || self.state == State::Transferred;
        if !self.answer.is_set() && !over {
            changed.answered = true;
            self.heard.first(now.sent);
            self.answer = Time::at(now.sent);
            (self.state, self.status, self.end) = (State::Answered, status, Time::NONE);
            self.refresh(m, now);
        }
        if !over {
            self.legs.answered(tag, true);
        }
    }

    fn refused(&mut self, status: u16, m: &Message<'_>, branch: u32, now: Now, changed: &mut Changed) {
        if self.branches.is_completed(branch) && self.status != 0 {
            return; // again
        }
        self.heard.first(now.sent);
        self.branches.reached(branch, Stage::Completed);
        self.challenged |= status == 401 || status == 407;
        self.because(m);
        if self.branches.any_proceeding() {
            return; // another fork, or the hop before, is not done
        }
        self.legs.early_ended(None);
        self.state = if status == 487 { State::Cancelled } else { State::Failed };
        (self.status, self.end, self.hung_up) = (status, Time::at(now.sent), None);
        changed.over = true;
    }

    fn bye_answered(&mut self, status: u16, m: &Message<'_>, now: Now, changed: &mut Changed) {
        let gone = self.legs.bye_answered(tags(m));
        if let Some(bye) = gone.and_then(|g| g.bye.get()).filter(|_| status < 300) {
            changed.disconnect = Some(now.sent.saturating_sub(bye));
        }
        if self.state == State::Transaction {
            self.join(m, now); // all that is seen of the call is its end
        }
        if !self.legs.any(self.is_established()) {
            changed.over = self.hang_up(gone, now.sent);
        }
    }

    /// The last dialog has ended; true the first time.
    fn hang_up(&mut self, gone: Option<Gone>, now: u64) -> bool {
        if !self.is_active() {
            return false;
        }
        let bye = gone.map_or(Time::NONE, |g| g.bye);
        self.end = if bye.is_set() { bye } else { Time::at(now) };
        self.hung_up = gone.and_then(|g| g.by);
        let moved = self.transfer.as_ref().is_some_and(|t| t.is_done());
        self.state = if moved { State::Transferred } else { State::Ended };
        true
    }

    /// A session's timer starts anew (RFC 4028 §7.2, §9).
    fn refresh(&mut self, m: &Message<'_>, now: Now) {
        self.refreshed = Time::at(now.line);
        let digits = m.more_headers.session_expires.iter().take_while(|c| c.is_ascii_digit());
        self.interval = digits.fold(0u32, |n, c| n.saturating_mul(10).saturating_add(u32::from(c - b'0')));
    }

    fn notified(&mut self, m: &Message<'_>) {
        let moved = self.transfer.as_mut().is_some_and(|t| t.notified(m));
        if moved && matches!(self.state, State::Answered | State::OnHold) {
            self.state = State::Transferred;
        }
    }

    /// The other call took this one's place (RFC 3891 §3).
    pub fn replaced(&mut self) {
        self.transfer.get_or_insert_default().replaced = true;
    }

    /// A description that was sent, in a message that does not refuse.
    pub fn described(&mut self, m: &Message<'_>, session: &sdp::Session) {
        let first = m.cseq.unwrap_or(0) == self.cseq && !self.joined;
        if !self.is_established() || self.end.is_set() || first {
            return;
        }
        let tag = if matches!(m.start, StartLine::Request { .. }) { m.from.tag } else { m.to.tag };
        let side = if short(&[tag]) == self.caller { By::Caller } else { By::Callee };
        self.holds.described(m, side, session);
        match self.state {
            State::Answered if self.holds.any() => self.state = State::OnHold,
            State::OnHold if !self.holds.any() => self.state = State::Answered,
            _ => {}
        }
    }

    /// Who has this tag, where the first INVITE was seen.
    fn by(&self, tag: &[u8]) -> Option<By> {
        (self.caller != 0 && !self.joined).then(|| if short(&[tag]) == self.caller { By::Caller } else { By::Callee })
    }

    /// Keeps the cause of Q.850 in the Reason header (RFC 3326 §2).
    fn because(&mut self, m: &Message<'_>) {
        self.cause = cause(m.more_headers.reason).or(self.cause);
    }

    fn is_established(&self) -> bool {
        self.answer.is_set() || self.joined
    }

    /// When it is to be looked at again, in the line's time; `last`: its last frame.
    #[must_use]
    pub fn deadline(&self, last: u64) -> u64 {
        if !self.end.is_set() {
            if let Some(bye) = self.legs.earliest_bye() {
                return bye.saturating_add(BYE_WAIT);
            }
        }
        match self.state {
            State::Failed if self.status == 401 || self.status == 407 => last.saturating_add(IDLE_SETUP),
            State::Trying | State::Ringing | State::Early => last.saturating_add(IDLE_SETUP),
            State::Answered | State::OnHold | State::Transferred if !self.end.is_set() => self.talk_ends(last),
            _ => last.saturating_add(LINGER),
        }
    }

    /// With a session timer: its interval and 32 s after the last refresh, if nothing has come for 32 s.
    fn talk_ends(&self, last: u64) -> u64 {
        match self.refreshed.get().filter(|_| self.interval > 0) {
            Some(time) => {
                let expiry = time.saturating_add(u64::from(self.interval) * SECOND);
                expiry.max(last).saturating_add(LINGER)
            }
            None => last.saturating_add(IDLE_TALK),
        }
    }

    /// Its deadline came. True when it has hung up with it: a BYE was not answered, and the last dialog is gone.
    pub fn overdue(&mut self, now: u64) -> Overdue {
        if !self.end.is_set() {
            if let Some(gone) = self.legs.unanswered(now.saturating_sub(BYE_WAIT)) {
                let over = !self.legs.any(self.is_established()) && self.hang_up(Some(gone), now);
                return if over { Overdue::HungUp } else { Overdue::Stays };
            }
            match self.state {
                State::Transaction => {}
                State::Trying | State::Ringing | State::Early if self.cancelled => self.state = State::Cancelled,
                _ => self.state = State::Expired,
            }
        }
        Overdue::Leaves
    }
}

/// What a deadline brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overdue {
    /// One of several dialogs ended without an answer.
    Stays,
    /// The call ended without an answer to its BYE.
    HungUp,
    /// Nothing more is to come.
    Leaves,
}

fn tags(m: &Message<'_>) -> [u32; 2] {
    [short(&[m.from.tag]), short(&[m.to.tag])]
}

/// `Q.850;cause=16;text="..."`, also among several reasons.
fn cause(reason: &[u8]) -> Option<u8> {
    let upper = reason.to_ascii_uppercase();
    let at = upper.windows(5).position(|w| w == b"Q.850")?;
    let rest = upper[at..].split(|c| *c == b',').next()?;
    let value = rest.split(|c| *c == b';').map(<[u8]>::trim_ascii).find_map(|p| p.strip_prefix(b"CAUSE="))?;
    std::str::from_utf8(value).ok()?.trim().parse().ok().filter(|n| *n < 128)
}
