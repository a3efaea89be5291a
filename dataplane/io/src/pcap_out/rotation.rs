//! When a new file begins and what it is called, as tcpdump's `-C`, `-G` and `-W` have it.
//!
//! One thing differs: `-G` counts packet time, not the time of day, so that the same input gives the same files.

use std::io;
use std::path::{Path, PathBuf};

/// Rotation as tcpdump has it; 0 switches each part off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// `-C`: a packet that finds the file larger than this, in bytes, begins a new one.
    pub size: u64,
    /// `-G`: a packet so many seconds after the file's first one begins a new one; the name is a strftime format.
    pub seconds: u64,
    /// `-W`: with `size` the files are used again in turn; with `seconds` alone the writing ends after so many.
    pub count: u32,
}

impl Rotation {
    /// Whether there is more than one file.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.size > 0 || self.seconds > 0
    }
}

/// What is to be done before a packet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on with the open file.
    Stay,
    /// Begin a new file.
    Next,
    /// The number of files is reached: end.
    End,
}

/// The turn of the files.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    rotation: Rotation,
    /// Second at which the period of `-G` began.
    began: u64,
    /// Periods of `-G` that ended.
    periods: u64,
    /// Number of the file within its period.
    number: u32,
}

impl Turn {
    /// No file yet.
    pub fn new(path: &Path, rotation: Rotation) -> Self {
        Self { path: path.to_owned(), rotation, began: 0, periods: 0, number: 0 }
    }

    /// The first packet's second: the first period begins.
    pub fn begin(&mut self, second: u64) {
        self.began = second;
    }

    /// A packet of this second comes while the file has `size` bytes. When both limits are reached, time rules.
    pub fn step(&mut self, second: u64, size: u64) -> Step {
        let Rotation { size: limit, seconds, count } = self.rotation;
        if seconds > 0 && second.saturating_sub(self.began) >= seconds {
            self.began = second;
            self.periods += 1;
            self.number = 0;
            let last = limit == 0 && count > 0 && self.periods >= u64::from(count);
            return if last { Step::End } else { Step::Next };
        }
        if limit > 0 && size > limit {
            self.number += 1;
            if count > 0 && self.number >= count {
                self.number = 0;
            }
            return Step::Next;
        }
        Step::Stay
    }

    /// The present file's name.
    ///
    /// # Errors
    /// The name cannot be formatted with the period's time.
    pub fn name(&self) -> io::Result<PathBuf> {
        let path =
            if self.rotation.seconds > 0 { super::time::format(&self.path, self.began)? } else { self.path.clone() };
        // tcpdump numbers only where -C is given.
        let digits = if self.rotation.size > 0 { digits(self.rotation.count) } else { 0 };
        if self.number == 0 && digits == 0 {
            return Ok(path);
        }
        let mut name = path.into_os_string();
        name.push(format!("{:0digits$}", self.number));
        Ok(name.into())
    }
}

/// Digits that number `count` files from 0.
fn digits(count: u32) -> usize {
    match count.saturating_sub(1) {
        0 => 0,
        last => last.ilog10() as usize + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rotation: Rotation, packets: &[(u64, u64)]) -> Vec<String> {
        let mut turn = Turn::new(Path::new("out.pcap"), rotation);
        turn.begin(packets[0].0);
        let mut names = vec![turn.name().unwrap().display().to_string()];
        for &(second, size) in packets {
            match turn.step(second, size) {
                Step::Stay => {}
                Step::Next => names.push(turn.name().unwrap().display().to_string()),
                Step::End => names.push("end".to_owned()),
            }
        }
        names
    }

    #[test]
    fn by_size() {
        let full = [(0, 0), (0, 11), (0, 10), (0, 11), (0, 11)];
        let rotation = Rotation { size: 10, seconds: 0, count: 0 };
        assert_eq!(names(rotation, &full), ["out.pcap", "out.pcap1", "out.pcap2", "out.pcap3"]);
        let rotation = Rotation { count: 3, ..rotation };
        assert_eq!(names(rotation, &full), ["out.pcap0", "out.pcap1", "out.pcap2", "out.pcap0"]);
        let rotation = Rotation { count: 11, ..rotation };
        assert_eq!(names(rotation, &full), ["out.pcap00", "out.pcap01", "out.pcap02", "out.pcap03"]);
        let rotation = Rotation { count: 1, ..rotation };
        assert_eq!(names(rotation, &full), ["out.pcap"; 4]);
    }

    #[test]
    fn by_time_ends_after_the_last_file() {
        let rotation = Rotation { size: 0, seconds: 60, count: 2 };
        assert_eq!(
            names(rotation, &[(100, 0), (159, 0), (160, 0), (219, 0), (220, 0)]),
            ["out.pcap", "out.pcap", "end"]
        );
    }

    #[test]
    fn time_rules_and_begins_the_numbers_again() {
        let rotation = Rotation { size: 10, seconds: 60, count: 0 };
        let packets = [(100, 0), (110, 11), (160, 11), (161, 11)];
        assert_eq!(names(rotation, &packets), ["out.pcap", "out.pcap1", "out.pcap", "out.pcap1"]);
    }
}
