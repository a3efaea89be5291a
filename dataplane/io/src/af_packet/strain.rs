//! What a line leaves undone when its rings fill.

use std::time::{Duration, Instant};

/// How long the rings must be emptier before the line does more again.
const RELIEF: Duration = Duration::from_secs(1);

/// How hard pressed the line is: 0, or how many quarters of the fullest ring wait. What it stops doing then, in this
/// order: 1 measuring streams, 2 remembering media whose call is not known, 3 taking media at all; SIP to the last.
#[derive(Debug, Default)]
pub struct Strain {
    level: u8,
    told: u8,
    /// Since when the rings have been emptier.
    relieved: Option<Instant>,
}

impl Strain {
    /// So many quarters of the fullest ring wait now.
    pub fn weigh(&mut self, quarters: u8, now: Instant) {
        if quarters >= self.level {
            (self.level, self.relieved) = (quarters, None);
            return;
        }
        let since = *self.relieved.get_or_insert(now);
        if now.duration_since(since) >= RELIEF {
            (self.level, self.relieved) = (self.level - 1, None);
        }
    }

    /// 0 to 3.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// One line, and its severity, when the level has changed.
    pub fn told(&mut self) -> Option<(&'static str, String)> {
        let before = std::mem::replace(&mut self.told, self.level);
        let what = match self.level {
            0 => "everything is done again",
            1 => "streams are not measured",
            2 => "media whose call is not known yet is not remembered",
            _ => "no media is taken, only SIP; what is left out is counted (backpressure.media)",
        };
        let level = if self.level > before { "warning" } else { "info" };
        (self.level != before).then(|| (level, format!("backpressure level {}: {what}", self.level)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_at_once_and_down_one_by_one() {
        let mut s = Strain::default();
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        s.weigh(0, after(0));
        assert_eq!((s.level(), s.told()), (0, None));
        s.weigh(3, after(1));
        assert_eq!((s.level(), s.told().unwrap().0), (3, "warning"));
        assert_eq!(s.told(), None);
        s.weigh(0, after(10));
        s.weigh(0, after(900));
        s.weigh(3, after(950)); // full again: the waiting begins anew
        s.weigh(1, after(1000));
        s.weigh(1, after(1999));
        assert_eq!(s.level(), 3);
        s.weigh(1, after(2001));
        assert_eq!(s.level(), 2);
        s.weigh(1, after(2100));
        s.weigh(1, after(3200));
        s.weigh(1, after(9000));
        let (severity, text) = s.told().unwrap();
        assert_eq!((s.level(), severity), (1, "info"));
        assert_eq!(text, "backpressure level 1: streams are not measured");
    }
}
