//! What was asked for: users or Call-IDs, and protocols.

use hashbrown::HashSet;
use lc_proto::sip::Message;
use lc_proto::users::Patterns;

/// What a frame carries, as `--protocol` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Class {
    /// SIP, on whatever carries it: its fragments and its TCP connection too.
    Sip = 1,
    /// RTP and what shares its ports.
    #[default]
    Rtp = 2,
    /// RTCP.
    Rtcp = 4,
}

/// All classes: `voip`.
pub const VOIP: u8 = 7;

/// The selectors of a line: (users or Call-IDs) and protocols. The filter acts earlier, at the source.
#[derive(Debug, Default)]
pub struct Selection {
    users: Option<Patterns>,
    call_ids: HashSet<Box<[u8]>>,
    classes: u8,
}

impl Selection {
    /// `users` already compiled (none or empty: no such selector); `classes` a set of [`Class`] bits, 0 for every frame.
    #[must_use]
    pub fn new(users: Option<Patterns>, call_ids: impl IntoIterator<Item = Vec<u8>>, classes: u8) -> Self {
        Self {
            users: users.filter(|u| !u.is_empty()),
            call_ids: call_ids.into_iter().map(Vec::into_boxed_slice).collect(),
            classes,
        }
    }

    /// Whether every frame is kept: nothing needs to be followed to decide.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.classes == 0 && self.every_call()
    }

    /// Whether no selector names calls.
    #[must_use]
    pub fn every_call(&self) -> bool {
        self.users.is_none() && self.call_ids.is_empty()
    }

    /// Whether frames of a class may be kept.
    #[inline]
    #[must_use]
    pub fn admits(&self, class: Class) -> bool {
        self.classes == 0 || self.classes & class as u8 != 0
    }

    /// Whether a call in progress is a selected one, by its Call-ID and the user parts of its first From and To.
    #[must_use]
    pub fn names_call(&self, id: &[u8], users: [&[u8]; 2]) -> bool {
        self.every_call()
            || self.call_ids.contains(id)
            || self.users.as_ref().is_some_and(|u| users.iter().any(|user| u.matches_user(user)))
    }

    /// Whether a message makes its call a selected one.
    #[must_use]
    pub fn names(&self, message: &Message<'_>) -> bool {
        self.every_call()
            || self.call_ids.contains(message.call_id)
            || self.users.as_ref().is_some_and(|u| u.matches(message))
    }
}
