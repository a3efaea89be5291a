//! The bytes of a file as they are stored, and decompressed.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use crate::interrupt::{Direction, Interrupt};

/// Bytes asked for in one read(2).
pub(super) const BLOCK: usize = 256 << 10;
/// Bytes decompressed in one call: what a damaged stream loses at most before the damage.
const PIECE: usize = 16 << 10;

/// The file itself. A pipe is read interruptibly.
#[derive(Clone)]
pub(super) struct Raw {
    file: Arc<File>,
    interrupt: Interrupt,
    regular: bool,
    consumed: u64,
}

impl Raw {
    pub fn new(file: Arc<File>, interrupt: Interrupt, regular: bool) -> Self {
        Self { file, interrupt, regular, consumed: 0 }
    }
}

impl Read for Raw {
    /// One read(2). An interrupted wait reads as the end.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.regular && !self.interrupt.wait(&self.file, Direction::Read, None) {
                return Ok(0);
            }
            match (&*self.file).read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    self.consumed += n as u64;
                    return Ok(n);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Compressed bytes, in blocks.
pub(super) struct Chunks {
    raw: Raw,
    data: Vec<u8>,
    start: usize,
    end: usize,
}

impl Chunks {
    /// `head` was already read from `raw`.
    fn new(raw: Raw, head: &[u8]) -> Self {
        let mut data = vec![0; BLOCK.max(head.len())];
        data[..head.len()].copy_from_slice(head);
        Self { raw, data, start: 0, end: head.len() }
    }

    fn position(&self) -> u64 {
        self.raw.consumed - (self.end - self.start) as u64
    }
}

impl Read for Chunks {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(buf)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.end = self.raw.read(&mut self.data)?;
        }
        Ok(&self.data[self.start..self.end])
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
    }
}

/// A stream of capture bytes, decompressed where the file is compressed.
pub(super) enum Stored {
    Plain(Raw),
    Gzip(Box<flate2::bufread::MultiGzDecoder<Chunks>>),
    Zstd(zstd::Decoder<'static, Chunks>),
}

/// A compression that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Stored {
    /// Decompresses from now on. `head` was already read.
    pub fn decompress(&mut self, kind: Compression, head: &[u8]) -> io::Result<()> {
        let Self::Plain(raw) = self else { return Ok(()) };
        let chunks = Chunks::new(raw.clone(), head);
        *self = match kind {
            Compression::Gzip => Self::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(chunks))),
            Compression::Zstd => Self::Zstd(zstd::Decoder::with_buffer(chunks)?),
        };
        Ok(())
    }

    pub fn is_compressed(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Bytes of the file as stored that were used so far.
    pub fn position(&self) -> u64 {
        match self {
            Self::Plain(raw) => raw.consumed,
            Self::Gzip(decoder) => decoder.get_ref().position(),
            Self::Zstd(decoder) => decoder.get_ref().position(),
        }
    }

    /// Whether compressed bytes wait in memory.
    pub fn has_backlog(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Gzip(decoder) => decoder.get_ref().start < decoder.get_ref().end,
            Self::Zstd(decoder) => decoder.get_ref().start < decoder.get_ref().end,
        }
    }
}

impl Read for Stored {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let piece = buf.len().min(PIECE);
        match self {
            Self::Plain(raw) => raw.read(buf),
            Self::Gzip(decoder) => decoder.read(&mut buf[..piece]),
            Self::Zstd(decoder) => decoder.read(&mut buf[..piece]),
        }
    }
}
