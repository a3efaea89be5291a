//! The options of a pcapng block: code, length, value padded to four bytes.

/// One option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockOption<'a> {
    pub code: u16,
    pub value: &'a [u8],
}

/// Walks the options up to `opt_endofopt` or the end of the block.
pub(super) struct Options<'a> {
    rest: &'a [u8],
    swapped: bool,
}

impl<'a> Options<'a> {
    pub fn new(rest: &'a [u8], swapped: bool) -> Self {
        Self { rest, swapped }
    }

    fn half(&self, at: usize) -> u16 {
        let bytes = [self.rest[at], self.rest[at + 1]];
        if self.swapped {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<BlockOption<'a>, ()>;

    /// An error, and then nothing more, where an option runs past the block's end.
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if self.rest.len() < 4 {
            self.rest = &[];
            return Some(Err(()));
        }
        let (code, len) = (self.half(0), usize::from(self.half(2)));
        if code == 0 {
            self.rest = &[];
            return None;
        }
        let Some(value) = self.rest.get(4..4 + len) else {
            self.rest = &[];
            return Some(Err(()));
        };
        self.rest = self.rest.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(BlockOption { code, value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padded_values_and_a_broken_end() {
        let bytes = [2, 0, 1, 0, b'x', 0, 0, 0, 9, 0, 1, 0, 9, 0, 0, 0, 3, 0, 9, 0];
        let found: Vec<_> = Options::new(&bytes, false).collect();
        assert_eq!(found[0], Ok(BlockOption { code: 2, value: b"x" }));
        assert_eq!(found[1], Ok(BlockOption { code: 9, value: &[9] }));
        assert_eq!(found[2..], [Err(())]);
        assert_eq!(Options::new(&[0, 9, 0, 1, 6, 0, 0, 0, 0, 0, 0, 0, 7], true).count(), 1);
    }
}
