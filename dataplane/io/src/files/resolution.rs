//! The clock of a pcapng interface: `if_tsresol` and `if_tsoffset` to nanoseconds.

use super::options::BlockOption;

/// Option `if_tsresol`.
const RESOLUTION: u16 = 9;
/// Option `if_tsoffset`.
const OFFSET: u16 = 14;
const BILLION: u64 = 1_000_000_000;

/// How a timestamp becomes nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    unit: Unit,
    /// Seconds to add.
    offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many nanoseconds.
    Times(u64),
    /// So many of them are one nanosecond.
    Part(u64),
    /// 2^-n seconds.
    Binary(u8),
}

impl Default for Clock {
    /// Microseconds, no offset.
    fn default() -> Self {
        Self { unit: Unit::Times(1000), offset: 0 }
    }
}

impl Clock {
    /// Takes an interface's option over, if it is about time.
    pub fn apply(&mut self, option: BlockOption<'_>, swapped: bool) {
        match (option.code, option.value) {
            (RESOLUTION, &[exponent, ..]) => self.unit = Unit::new(exponent),
            (OFFSET, value) => {
                if let Some(&bytes) = value.first_chunk() {
                    self.offset = if swapped { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) };
                }
            }
            _ => {}
        }
    }

    /// Nanoseconds since 1970, saturating.
    #[inline]
    pub fn nanoseconds(&self, time: u64) -> u64 {
        let ns = match self.unit {
            Unit::Times(n) => time.saturating_mul(n),
            Unit::Part(n) => time / n,
            Unit::Binary(n) => u64::try_from((u128::from(time) * u128::from(BILLION)) >> n).unwrap_or(u64::MAX),
        };
        if self.offset == 0 {
            return ns;
        }
        let moved = i128::from(ns) + i128::from(self.offset) * i128::from(BILLION);
        u64::try_from(moved.max(0)).unwrap_or(u64::MAX)
    }
}

impl Unit {
    /// The high bit chooses powers of two; else powers of ten. Beyond 10^-28 s every time rounds to 0.
    fn new(exponent: u8) -> Self {
        let n = u32::from(exponent & 0x7f);
        match (exponent & 0x80 != 0, n) {
            (true, _) => Self::Binary(exponent & 0x7f),
            (false, 0..=9) => Self::Times(10u64.pow(9 - n)),
            (false, _) => Self::Part(10u64.checked_pow(n - 9).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(exponent: u8) -> Clock {
        Clock { unit: Unit::new(exponent), offset: 0 }
    }

    #[test]
    fn resolutions() {
        assert_eq!(Clock::default().nanoseconds(1_500_000), 1_500_000_000);
        assert_eq!(clock(0).nanoseconds(7), 7_000_000_000);
        assert_eq!(clock(9).nanoseconds(7), 7);
        assert_eq!(clock(12).nanoseconds(7_999), 7);
        assert_eq!(clock(0x80 | 10).nanoseconds(1536), 1_500_000_000);
        assert_eq!(clock(127).nanoseconds(u64::MAX - 1), 0);
        assert_eq!(clock(0xff).nanoseconds(u64::MAX), 0);
    }

    #[test]
    fn offsets_saturate() {
        let mut c = Clock::default();
        c.apply(BlockOption { code: 14, value: &(-2i64).to_be_bytes() }, true);
        assert_eq!(c.nanoseconds(3_000_000), 1_000_000_000);
        assert_eq!(c.nanoseconds(1_000_000), 0);
        c.apply(BlockOption { code: 14, value: &i64::MAX.to_le_bytes() }, false);
        assert_eq!(c.nanoseconds(0), u64::MAX);
    }
}
