//! What is known of one call's signalling, for those who report it.

use super::{By, Session};
use crate::state::State;

impl Session {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether it is a call that has not ended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.end.is_set() && !matches!(self.state, State::Transaction | State::Cancelled | State::Expired)
    }

    /// Whether a BYE ended it.
    #[must_use]
    pub fn has_hung_up(&self) -> bool {
        self.end.is_set() && matches!(self.state, State::Ended | State::Transferred)
    }

    /// Whether its beginning was seen: an attempt to count.
    #[must_use]
    pub fn is_attempt(&self) -> bool {
        self.attempt
    }

    /// Final status of the INVITE.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        (self.status != 0).then_some(self.status)
    }

    /// Cause of Q.850, as a Reason header said it.
    #[must_use]
    pub fn cause(&self) -> Option<u8> {
        self.cause
    }

    /// Who sent the BYE that ended it.
    #[must_use]
    pub fn hung_up_by(&self) -> Option<By> {
        self.hung_up
    }

    /// Dialogs there were, early ones too.
    #[must_use]
    pub fn dialogs(&self) -> u16 {
        self.legs.count
    }

    /// How often one side held the other.
    #[must_use]
    pub fn holds(&self) -> u16 {
        self.holds.count
    }

    /// Whom a REFER names that was not refused.
    #[must_use]
    pub fn transferred_to(&self) -> &[u8] {
        self.transfer.as_ref().map_or(b"", |t| t.target())
    }

    /// Call-ID of the call that this one replaces.
    #[must_use]
    pub fn replaces(&self) -> &[u8] {
        self.transfer.as_ref().map_or(b"", |t| &t.replaces)
    }

    /// The INVITE of the last try to its first 18x, ns.
    #[must_use]
    pub fn pdd(&self) -> Option<u64> {
        self.ring.since(self.invite)
    }

    /// The INVITE of the last try to its first response but 100, ns (RFC 6076 §4.3).
    #[must_use]
    pub fn srd(&self) -> Option<u64> {
        self.heard.since(self.invite)
    }

    /// The INVITE of the last try to its 2xx, ns.
    #[must_use]
    pub fn setup(&self) -> Option<u64> {
        self.answer.since(self.invite)
    }

    /// The 2xx to the BYE, ns.
    #[must_use]
    pub fn duration(&self) -> Option<u64> {
        self.end.since(self.answer)
    }
}
