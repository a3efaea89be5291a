//! Who holds the other: directions of offers and answers in an established dialog (RFC 3264 §8.4, RFC 3311).

use lc_proto::sdp::{Direction, Session};
use lc_proto::sip::{Message, StartLine};

use super::legs::By;

/// The directions that hold, and the offer that waits for its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holds {
    /// Whether the caller, the callee holds.
    by: [bool; 2],
    offer: Option<(By, Direction)>,
    /// How often one was put on hold.
    pub count: u16,
}

impl Holds {
    /// Whether somebody holds.
    #[must_use]
    pub fn any(&self) -> bool {
        self.by[0] || self.by[1]
    }

    /// A description in an established dialog, not of its first INVITE; `by`: who sent it.
    pub fn described(&mut self, m: &Message<'_>, by: By, session: &Session) {
        let Some(direction) = direction(session) else { return };
        let answers = match m.start {
            StartLine::Request { method, .. } => method == b"ACK" || method == b"PRACK",
            StartLine::Response { .. } => true,
        };
        match self.offer.filter(|(offerer, _)| answers && *offerer != by) {
            Some(offer) => self.settle(offer, direction),
            None => self.offer = Some((by, direction)),
        }
    }

    /// The offer was refused.
    pub fn refused(&mut self) {
        self.offer = None;
    }

    fn settle(&mut self, (offerer, offer): (By, Direction), answer: Direction) {
        self.offer = None;
        let before = self.any();
        let answerer = 1 - offerer as usize;
        self.by[offerer as usize] = matches!(offer, Direction::SendOnly | Direction::Inactive);
        self.by[answerer] = match (offer, answer) {
            (Direction::SendRecv, Direction::SendOnly)
            | (Direction::SendRecv | Direction::SendOnly, Direction::Inactive) => true,
            (Direction::Inactive, _) => self.by[answerer],
            _ => false,
        };
        if !before && self.any() {
            self.count = self.count.saturating_add(1);
        }
    }
}

/// Direction of the first medium that is on; `c=0.0.0.0` is the older hold (RFC 2543 §B.5), which RFC 3264 keeps.
fn direction(session: &Session) -> Option<Direction> {
    let m = session.media.iter().find(|m| m.port != 0)?;
    let nowhere = m.addr.is_some_and(|a| a.is_unspecified());
    Some(match m.direction {
        Direction::SendRecv if nowhere => Direction::SendOnly,
        Direction::RecvOnly if nowhere => Direction::Inactive,
        other => other,
    })
}
