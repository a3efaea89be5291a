//! How a call stands, and packet times that may be missing.

/// How a call stands (RFC 3261).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum State {
    /// No INVITE, and nothing that belongs to one: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and their like.
    #[default]
    Transaction,
    /// INVITE.
    Trying,
    /// 180.
    Ringing,
    /// Another 18x.
    Early,
    /// 2xx.
    Answered,
    /// Answered, and one side stopped the other's media (RFC 3264 §8.4).
    OnHold,
    /// REFER was followed, or another call replaced this one.
    Transferred,
    /// BYE and its answer.
    Ended,
    /// Final status from 300 up.
    Failed,
    /// 487, or CANCEL and nothing after it.
    Cancelled,
    /// Its time ran out: no final answer to the INVITE, no refresh of the session, nothing for an hour.
    Expired,
}

impl State {
    /// Every state, in order of the counters.
    pub const ALL: [Self; 11] = [
        Self::Transaction,
        Self::Trying,
        Self::Ringing,
        Self::Early,
        Self::Answered,
        Self::OnHold,
        Self::Transferred,
        Self::Ended,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
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
            Self::OnHold => "on_hold",
            Self::Transferred => "transferred",
            Self::Ended => "ended",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// The two times of a message.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Capture time of its first frame, ns: what records tell.
    pub sent: u64,
    /// The line's time, ns: what timers run on (see [`crate::clock`]).
    pub line: u64,
}

/// A packet time in ns that may be missing, in eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(u64);

impl Default for Time {
    fn default() -> Self {
        Self::NONE
    }
}

impl Time {
    /// No time.
    pub const NONE: Self = Self(u64::MAX);

    /// This time.
    #[must_use]
    pub fn at(ns: u64) -> Self {
        Self(ns.min(u64::MAX - 1))
    }

    /// The time, if there is one.
    #[must_use]
    pub fn get(self) -> Option<u64> {
        (self != Self::NONE).then_some(self.0)
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(self) -> bool {
        self != Self::NONE
    }

    /// Sets it the first time.
    pub fn first(&mut self, ns: u64) {
        if !self.is_set() {
            *self = Self::at(ns);
        }
    }

    /// ns from an earlier time to this one, where both are known.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<u64> {
        Some(self.get()?.saturating_sub(earlier.get()?))
    }
}
