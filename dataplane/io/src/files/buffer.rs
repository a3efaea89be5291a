//! A window on a stream: read in large blocks, handed out as slices.

use std::io::{self, Read};

use super::stored::{Compression, Stored, BLOCK};

/// Bytes `start..end` of `data` are read and not yet consumed; `data[0]` is byte `base` of the stream.
pub(super) struct Buffer {
    pub stored: Stored,
    data: Vec<u8>,
    start: usize,
    end: usize,
    base: u64,
    finished: bool,
}

impl Buffer {
    /// `data` is memory to use again.
    pub fn new(stored: Stored, mut data: Vec<u8>) -> Self {
        if data.len() < BLOCK {
            data.resize(BLOCK, 0);
        }
        Self { stored, data, start: 0, end: 0, base: 0, finished: false }
    }

    /// Goes on with the same stream decompressed, from its beginning: nothing may be consumed yet.
    pub fn decompress(&mut self, kind: Compression) -> io::Result<()> {
        self.stored.decompress(kind, &self.data[..self.end])?;
        (self.end, self.finished) = (0, false);
        Ok(())
    }

    /// Takes the memory out, to use it again.
    pub fn take_memory(&mut self) -> Vec<u8> {
        (self.start, self.end, self.finished) = (0, 0, true);
        std::mem::take(&mut self.data)
    }

    /// Makes `n` bytes available; false when the stream ends before. The buffer grows to hold them.
    #[inline]
    pub fn need(&mut self, n: usize) -> io::Result<bool> {
        if self.end - self.start >= n {
            return Ok(true);
        }
        self.fill(n)
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, n: usize) -> io::Result<bool> {
        self.data.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if n > self.data.len() {
            self.data.resize(n.next_power_of_two(), 0);
        }
        while self.end < n && !self.finished {
            match self.stored.read(&mut self.data[self.end..]) {
                Ok(0) => self.finished = true,
                Ok(read) => self.end += read,
                Err(error) => {
                    self.finished = true;
                    return Err(error);
                }
            }
        }
        Ok(self.end >= n)
    }

    /// What is available.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.data[self.start..self.end]
    }

    /// Index of the first available byte, for [`Buffer::slice`].
    #[inline]
    pub fn index(&self) -> usize {
        self.start
    }

    /// Bytes at an index; they stay until the next `need`.
    #[inline]
    pub fn slice(&self, at: usize, len: usize) -> &[u8] {
        &self.data[at..at + len]
    }

    /// Passes over `n` available bytes.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.end - self.start);
        self.start += n;
    }

    /// Passes over `n` bytes, available or not. Returns how many of them the stream had.
    pub fn skip(&mut self, n: u64) -> io::Result<u64> {
        let mut left = n;
        while left > 0 {
            if self.start == self.end && !self.need(1)? {
                break;
            }
            let step = left.min((self.end - self.start) as u64);
            self.start += step as usize;
            left -= step;
        }
        Ok(n - left)
    }

    /// Offset in the stream of the first available byte.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Whether the stream has ended.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Bytes of the file as stored that were handed out.
    pub fn position(&self) -> u64 {
        if self.stored.is_compressed() {
            self.stored.position()
        } else {
            self.offset()
        }
    }
}
