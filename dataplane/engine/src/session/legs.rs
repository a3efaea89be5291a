//! The dialogs of a call: one for each tag the callee's side gave (RFC 3261 §12, forking in §16.7).

use smallvec::SmallVec;

use crate::state::{Now, Time};

/// Dialogs and INVITE transactions of one call that are told apart.
const MAX: usize = 16;

/// Who did something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Who sent the first INVITE.
    Caller,
    /// The other side.
    Callee,
}

impl By {
    /// As records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
        }
    }
}

/// One dialog.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// Hash of the callee's tag.
    tag: u32,
    /// Whether a 2xx made it more than early.
    confirmed: bool,
    /// An unanswered BYE: its capture time.
    bye: Time,
    /// The line's time then.
    parting: u64,
    /// Who sent it.
    by: Option<By>,
}

/// The end of a dialog.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// Its BYE, if that was seen.
    pub bye: Time,
    /// Who sent it.
    pub by: Option<By>,
}

/// The dialogs of a call that have not ended.
#[derive(Clone, Debug, Default)]
pub struct Legs {
    legs: SmallVec<[Leg; 1]>,
    /// Dialogs there were.
    pub count: u16,
}

impl Legs {
    fn find(&mut self, tag: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|l| l.tag == tag)
    }

    /// A response with this tag to the INVITE: an early dialog, or with a 2xx a confirmed one.
    pub fn answered(&mut self, tag: u32, confirmed: bool) {
        if let Some(leg) = self.find(tag) {
            leg.confirmed |= confirmed;
            return;
        }
        if self.legs.len() == MAX {
            self.legs.remove(0);
        }
        self.legs.push(Leg { tag, confirmed, bye: Time::NONE, parting: 0, by: None });
        self.count = self.count.saturating_add(1);
    }

    /// A BYE in the dialog of either tag (the callee's is one of them), which may be all that is seen of it.
    pub fn bye(&mut self, tags: [u32; 2], now: Now, by: Option<By>) {
        if self.legs.is_empty() {
            self.answered(tags[usize::from(by != Some(By::Callee))], true);
        }
        let only = self.legs.len() == 1;
        let found = self.legs.iter_mut().find(|l| only || tags.contains(&l.tag));
        if let Some(leg) = found.filter(|l| !l.bye.is_set()) {
            (leg.bye, leg.parting, leg.by) = (Time::at(now.sent), now.line, by);
        }
    }

    /// The BYE was challenged: it has not happened.
    pub fn unbye(&mut self, tags: [u32; 2]) {
        let only = self.legs.len() == 1;
        for leg in self.legs.iter_mut().filter(|l| only || tags.contains(&l.tag)) {
            (leg.bye, leg.by) = (Time::NONE, None);
        }
    }

    /// The BYE in the dialog of either tag was answered.
    pub fn bye_answered(&mut self, tags: [u32; 2]) -> Option<Gone> {
        let only = self.legs.len() == 1;
        let at = self.legs.iter().position(|l| only || tags.contains(&l.tag))?;
        let leg = self.legs.remove(at);
        Some(Gone { bye: leg.bye, by: leg.by })
    }

    /// An early dialog ended (199, RFC 6228), or the INVITE's final answer ended all of them.
    pub fn early_ended(&mut self, tag: Option<u32>) {
        self.legs.retain(|l| l.confirmed || tag.is_some_and(|t| t != l.tag));
    }

    /// Dialogs whose BYE came at or before the line's time `time` and was never answered; the last of them.
    pub fn unanswered(&mut self, time: u64) -> Option<Gone> {
        let late = |l: &Leg| l.bye.is_set() && l.parting <= time;
        let last = self.legs.iter().filter(|l| late(l)).max_by_key(|l| l.parting)?;
        let gone = Gone { bye: last.bye, by: last.by };
        self.legs.retain(|l| !late(l));
        Some(gone)
    }

    /// The line's time at the earliest BYE without an answer.
    #[must_use]
    pub fn earliest_bye(&self) -> Option<u64> {
        self.legs.iter().filter(|l| l.bye.is_set()).map(|l| l.parting).min()
    }

    /// Whether one is left that keeps the call: a confirmed one, before any was confirmed an early one.
    #[must_use]
    pub fn any(&self, confirmed: bool) -> bool {
        self.legs.iter().any(|l| l.confirmed || !confirmed)
    }

    /// A new attempt: none has begun.
    pub fn clear(&mut self) {
        self.legs.clear();
    }
}

/// The INVITE transactions of one attempt: one for each branch, which a fork or a further hop adds.
#[derive(Clone, Debug, Default)]
pub struct Branches {
    list: SmallVec<[(u32, Stage); 2]>,
}

/// How far an INVITE transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing came back.
    Sent,
    /// A provisional response.
    Proceeding,
    /// A final response.
    Completed,
}

impl Branches {
    /// Whether this one had its final response.
    #[must_use]
    pub fn is_completed(&self, branch: u32) -> bool {
        self.list.contains(&(branch, Stage::Completed))
    }

    /// It is at least so far.
    pub fn reached(&mut self, branch: u32, stage: Stage) {
        if let Some(b) = self.list.iter_mut().find(|b| b.0 == branch) {
            if b.1 as u8 <= stage as u8 {
                b.1 = stage;
            }
            return;
        }
        if self.list.len() == MAX {
            self.list.remove(0);
        }
        self.list.push((branch, stage));
    }

    /// Whether one that had a provisional response waits for its final one.
    #[must_use]
    pub fn any_proceeding(&self) -> bool {
        self.list.iter().any(|b| b.1 == Stage::Proceeding)
    }

    /// A new attempt.
    pub fn clear(&mut self) {
        self.list.clear();
    }
}
