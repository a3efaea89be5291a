//! Sequence numbers: what was expected, lost, doubled and late (RFC 3550 A.1, A.3).

use super::gaps::Gaps;

/// Sequence numbers remembered to tell a duplicate from a late packet: as many as `Sequence` has bits.
const WINDOW: u32 = 128;
/// A step forward that is no loss but another sequence (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// Extended numbers start with one cycle, so that what comes before the first packet is not below zero.
const CYCLE: u32 = 1 << 16;

/// What a sequence number says of its packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The next one: the number follows the highest so far.
    Next,
    /// After a gap of lost or late ones.
    Ahead,
    /// After a later one.
    Late,
    /// Seen before.
    Again,
    /// Far from all that came: another sequence, if the next one follows it.
    Stray,
}

/// The part that every packet touches.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    /// Bit n: the number n below the highest came. In words, for their alignment.
    words: [u32; 4],
    /// Highest extended number.
    max: u32,
}

/// The part that only irregular packets touch.
#[derive(Clone, Debug)]
pub struct Irregular {
    /// First number of the sequence that runs.
    base: u32,
    /// Packets expected in sequences that ended (a sender that began anew).
    before: u64,
    /// What a second packet must have to begin another sequence.
    stray: Option<u16>,
    /// Packets whose number had been seen.
    pub duplicates: u32,
    /// Packets that came after a later one.
    pub reordered: u32,
    /// Sequences that began within the stream.
    pub restarts: u16,
    /// Turns of the 16-bit number.
    pub wraps: u16,
    /// Runs of losses, once there is one.
    gaps: Option<Box<Gaps>>,
}

impl Sequence {
    /// From the first packet's number.
    #[must_use]
    pub fn new(sequence: u16) -> (Self, Irregular) {
        let base = CYCLE | u32::from(sequence);
        let more =
            Irregular { base, before: 0, stray: None, duplicates: 0, reordered: 0, restarts: 0, wraps: 0, gaps: None };
        (Self { words: [1, 0, 0, 0], max: base }, more)
    }

    #[inline]
    fn seen(&self) -> u128 {
        let [a, b, c, d] = self.words.map(u128::from);
        d << 96 | c << 64 | b << 32 | a
    }

    #[inline]
    fn see(&mut self, seen: u128) {
        self.words = [0, 32, 64, 96].map(|shift| (seen >> shift) as u32);
    }

    /// Takes the number of a packet after the first.
    #[inline]
    pub fn take(&mut self, sequence: u16, more: &mut Irregular) -> Place {
        // the usual: the next number, and what leaves the window came
        let seen = self.seen();
        if sequence == (self.max as u16).wrapping_add(1) && seen >> (WINDOW - 1) == 1 && sequence != 0 {
            self.max = self.max.wrapping_add(1);
            self.see(seen << 1 | 1);
            return Place::Next;
        }
        self.irregular(sequence, more)
    }

    fn irregular(&mut self, sequence: u16, more: &mut Irregular) -> Place {
        let ahead = sequence.wrapping_sub(self.max as u16);
        if ahead == 0 {
            more.duplicates += 1;
            return Place::Again;
        }
        if ahead <= MAX_DROPOUT {
            more.stray = None;
            more.wraps = more.wraps.saturating_add(u16::from(sequence < self.max as u16));
            self.advance(u32::from(ahead), more);
            return if ahead == 1 { Place::Next } else { Place::Ahead };
        }
        let behind = u32::from((self.max as u16).wrapping_sub(sequence));
        if behind < WINDOW {
            return self.late(behind, more);
        }
        if more.stray == Some(sequence) {
            self.restart(sequence, more);
            return Place::Next;
        }
        more.stray = Some(sequence.wrapping_add(1));
        Place::Stray
    }

    fn late(&mut self, behind: u32, more: &mut Irregular) -> Place {
        let bit = 1u128 << behind;
        if self.seen() & bit != 0 {
            more.duplicates += 1;
            return Place::Again;
        }
        self.see(self.seen() | bit);
        more.reordered += 1;
        Place::Late
    }

    /// Moves the window; the numbers that leave it are judged: came, or lost.
    fn advance(&mut self, steps: u32, more: &mut Irregular) {
        for _ in 0..steps.min(WINDOW) {
            self.leave(more);
            self.see(self.seen() << 1);
            self.max = self.max.wrapping_add(1);
        }
        if steps > WINDOW {
            // the window is empty: all between is lost
            let rest = steps - WINDOW;
            more.lost(self.max.wrapping_sub(WINDOW - 1), rest);
            self.max = self.max.wrapping_add(rest);
        }
        self.see(self.seen() | 1);
    }

    fn leave(&mut self, more: &mut Irregular) {
        let number = self.max.wrapping_sub(WINDOW - 1);
        if self.seen() >> (WINDOW - 1) == 0 && number.wrapping_sub(more.base) as i32 >= 0 {
            more.lost(number, 1);
        }
    }

    /// The sender began anew: two packets in a row say so.
    fn restart(&mut self, sequence: u16, more: &mut Irregular) {
        let span = self.span(more);
        self.settle(more);
        more.before += u64::from(span);
        more.gaps.get_or_insert_default().apart(span);
        more.restarts = more.restarts.saturating_add(1);
        more.stray = None;
        let base = CYCLE | u32::from(sequence.wrapping_sub(1));
        more.base = base;
        self.max = base.wrapping_add(1);
        self.see(3);
    }

    /// Judges the numbers that are still in the window.
    fn settle(&self, more: &mut Irregular) {
        let span = self.span(more).min(WINDOW);
        for n in (0..span).rev().filter(|n| self.seen() >> n & 1 == 0) {
            more.lost(self.max.wrapping_sub(n), 1);
        }
    }

    fn span(&self, more: &Irregular) -> u32 {
        self.max.wrapping_sub(more.base).wrapping_add(1)
    }

    /// Highest less first number plus one, over all sequences.
    #[must_use]
    pub fn expected(&self, more: &Irregular) -> u64 {
        more.before + u64::from(self.span(more))
    }

    /// Runs of losses, the window judged.
    #[must_use]
    pub fn gaps(&self, more: &Irregular) -> Gaps {
        let mut all = more.clone();
        self.settle(&mut all);
        let mut gaps = all.gaps.map(|g| *g).unwrap_or_default();
        gaps.apart(self.span(more));
        gaps
    }
}

impl Irregular {
    fn lost(&mut self, first: u32, n: u32) {
        self.gaps.get_or_insert_default().lost(first, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(numbers: &[u16]) -> (Vec<Place>, Sequence, Irregular) {
        let (mut s, mut more) = Sequence::new(numbers[0]);
        let places = numbers[1..].iter().map(|n| s.take(*n, &mut more)).collect();
        (places, s, more)
    }

    #[test]
    fn a_wrap_with_a_loss() {
        let (_, s, more) = run(&[65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 3]);
        assert_eq!((s.expected(&more), more.wraps, s.gaps(&more).runs), (10, 1, 1));
    }

    #[test]
    fn late_doubled_and_next() {
        let (places, s, more) = run(&[10, 12, 11, 11, 13, 13, 9]);
        use Place::{Again, Ahead, Late, Next};
        assert_eq!(places, [Ahead, Late, Again, Next, Again, Late]);
        assert_eq!((more.duplicates, more.reordered, s.expected(&more), s.gaps(&more).runs), (2, 2, 4, 0));
    }

    #[test]
    fn losses_are_judged_when_they_leave_the_window() {
        let numbers: Vec<u16> = (1..1000).filter(|n| n % 100 != 50 && n % 100 != 51 && *n != 7).collect();
        let (_, s, more) = run(&numbers);
        let gaps = s.gaps(&more);
        assert_eq!((gaps.losses, gaps.runs, s.expected(&more)), (21, 11, 999));
    }

    #[test]
    fn a_long_gap_is_one_run() {
        let (places, s, more) = run(&[1, 2, 2503, 2504]);
        assert_eq!(places[1], Place::Ahead);
        let gaps = s.gaps(&more);
        assert_eq!((gaps.losses, gaps.runs, s.expected(&more)), (2500, 1, 2504));
    }

    #[test]
    fn a_sender_that_begins_anew_loses_nothing() {
        let (places, s, more) = run(&[100, 101, 102, 40000, 40001, 40002]);
        use Place::{Next, Stray};
        assert_eq!(places, [Next, Next, Stray, Next, Next]);
        assert_eq!((s.expected(&more), more.restarts, s.gaps(&more).runs), (6, 1, 0));
        let (_, s, more) = run(&[100, 101, 40000, 102, 103]);
        assert_eq!((s.expected(&more), more.restarts), (4, 0), "one stray packet");
    }

    #[test]
    fn many_turns() {
        let numbers: Vec<u16> = (0..200_000u32).map(|n| n as u16).collect();
        let (_, s, more) = run(&numbers);
        assert_eq!((s.expected(&more), more.wraps, s.gaps(&more).losses), (200_000, 3, 0));
    }
}
