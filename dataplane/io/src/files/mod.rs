//! Capture files: pcap, pcapng and snoop, as they are or compressed with gzip or zstd, from a file or a pipe.
//!
//! A file is read with read(2) in blocks of 256 KiB; packets are slices of that block, and nothing is allocated for
//! a packet. What a damaged file still holds is read; [`Input::damage`] then says where it ended and why.

mod buffer;
mod error;
mod magic;
mod options;
mod pcap;
mod pcapng;
mod resolution;
mod snoop;
mod stored;

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use lc_wire::{LinkType, Packet};

use crate::interrupt::{Direction, Interrupt};
use buffer::Buffer;
use magic::Kind;
use pcap::Pcap;
use pcapng::Pcapng;
use snoop::Snoop;
use stored::{Raw, Stored};

pub use error::{Damage, DamageKind, OpenError, OpenProblem};

/// The longest frame that is believed, bytes: libpcap's MAXIMUM_SNAPLEN.
pub const MAX_FRAME: usize = 262_144;

impl From<io::Error> for DamageKind {
    fn from(error: io::Error) -> Self {
        Self::Read(error.to_string())
    }
}

/// Why the reading ends; boxed, as it is rare and the other answer is one bit.
type Ended = Box<DamageKind>;

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Box::new(error.into())
    }
}

/// The packet that was reached: its metadata, and where its bytes are in the buffer.
#[derive(Clone, Copy, Debug)]
struct Head {
    ts: u64,
    orig_len: u32,
    link: LinkType,
    at: usize,
    len: usize,
}

enum Format {
    /// A pipe from which nothing was read yet.
    Awaited,
    Pcap(Pcap),
    Pcapng(Pcapng),
    Snoop(Snoop),
}

/// One open capture.
pub struct Input {
    file: Arc<File>,
    name: String,
    source: u16,
    interrupt: Interrupt,
    size: Option<u64>,
    /// Offset at which the file was given to us.
    origin: u64,
    buffer: Buffer,
    format: Format,
    head: Head,
    number: u64,
    ended: bool,
    damage: Option<Damage>,
}

impl Input {
    /// Opens a capture on a descriptor. `name` is what messages call it, `source` goes into each packet. The header of
    /// a regular file is read here; a pipe is not waited for: what it brings is looked at by the first [`Input::next`],
    /// and [`Input::damage`] tells when it is no capture.
    ///
    /// # Errors
    /// The file cannot be read, or is no pcap, pcapng or snoop file.
    #[cfg(unix)]
    pub fn open(fd: std::os::fd::OwnedFd, name: &str, source: u16) -> Result<Self, OpenError> {
        Self::open_file(File::from(fd), name, source, &Interrupt::new())
    }

    /// The same on a file; waiting for a pipe ends when `interrupt` is set.
    ///
    /// # Errors
    /// As [`Input::open`].
    pub fn open_file(file: File, name: &str, source: u16, interrupt: &Interrupt) -> Result<Self, OpenError> {
        let refuse = |problem| OpenError { name: name.to_owned(), problem };
        let metadata = file.metadata().map_err(|error| refuse(OpenProblem::Io(error)))?;
        let regular = metadata.is_file();
        let origin = if regular { (&file).stream_position().map_err(|e| refuse(OpenProblem::Io(e)))? } else { 0 };
        let file = Arc::new(file);
        let raw = Raw::new(file.clone(), interrupt.clone(), regular);
        let mut input = Self {
            file,
            name: name.to_owned(),
            source,
            interrupt: interrupt.clone(),
            size: regular.then_some(metadata.len()),
            origin,
            buffer: Buffer::new(Stored::Plain(raw), Vec::new()),
            format: Format::Awaited,
            head: Head { ts: 0, orig_len: 0, link: LinkType(0), at: 0, len: 0 },
            number: 0,
            ended: false,
            damage: None,
        };
        if metadata.is_dir() {
            return Err(refuse(OpenProblem::Io(io::ErrorKind::IsADirectory.into())));
        }
        if regular {
            input.begin().map_err(refuse)?;
        }
        Ok(input)
    }

    /// Finds out what the file is and reads its header.
    fn begin(&mut self) -> Result<(), OpenProblem> {
        let mut kind = identify(&mut self.buffer)?;
        if let Kind::Compressed(compression) = kind {
            self.buffer.decompress(compression).map_err(OpenProblem::Io)?;
            kind = identify(&mut self.buffer)?;
        }
        self.format = match kind {
            Kind::Pcap => Format::Pcap(Pcap::open(&mut self.buffer)?),
            Kind::Pcapng => Format::Pcapng(Pcapng::open(&mut self.buffer)?),
            Kind::Snoop => Format::Snoop(Snoop::open(&mut self.buffer)?),
            Kind::Compressed(_) => return Err(OpenProblem::Compression("twofold", "zcat or zstdcat")),
        };
        Ok(())
    }

    /// Waits for a pipe's header, and for its first packet.
    #[cold]
    #[inline(never)]
    fn first(&mut self) -> bool {
        match self.begin() {
            Ok(()) => self.advance(),
            Err(problem) => self.end(Some(DamageKind::Refused(problem.to_string()))),
        }
    }

    /// The next packet, `None` at the end, at the first damage, or when a pipe's wait was interrupted.
    #[inline]
    #[allow(clippy::should_implement_trait)] // the packet borrows from the input
    pub fn next(&mut self) -> Option<Packet<'_>> {
        if self.advance() {
            Some(self.packet())
        } else {
            None
        }
    }

    /// Goes on to the next packet; false at the end.
    #[inline]
    pub(crate) fn advance(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let next = match &mut self.format {
            Format::Pcap(pcap) => pcap.advance(&mut self.buffer, &mut self.head),
            Format::Pcapng(pcapng) => pcapng.advance(&mut self.buffer, &mut self.head),
            Format::Snoop(snoop) => snoop.advance(&mut self.buffer, &mut self.head),
            Format::Awaited => return self.first(),
        };
        match next {
            Ok(true) => {
                self.number += 1;
                true
            }
            Ok(false) => self.end(None),
            Err(kind) => self.end(Some(*kind)),
        }
    }

    /// The packet that was reached last.
    #[inline]
    pub(crate) fn packet(&self) -> Packet<'_> {
        let head = &self.head;
        Packet {
            ts: head.ts,
            number: self.number,
            orig_len: head.orig_len,
            source: self.source,
            link: head.link,
            data: self.buffer.slice(head.at, head.len),
        }
    }

    /// Its time.
    pub(crate) fn ts(&self) -> u64 {
        self.head.ts
    }

    /// There is no further packet. A pipe that was interrupted is not damaged.
    #[cold]
    #[inline(never)]
    fn end(&mut self, kind: Option<DamageKind>) -> bool {
        self.ended = true;
        let kind = kind.filter(|_| self.size.is_some() || !self.interrupt.is_set());
        let compressed = self.buffer.stored.is_compressed();
        self.damage = kind.map(|kind| {
            let (kind, offset) = match kind {
                DamageKind::Read(what) if compressed => (DamageKind::Compression(what), self.buffer.position()),
                kind => (kind, self.buffer.offset()),
            };
            Damage { name: self.name.clone(), offset, compressed, packets: self.number, kind }
        });
        false
    }

    /// Back to the first packet, on the same descriptor.
    ///
    /// # Errors
    /// The input is no regular file, or it is not the capture any more that it was when it was opened.
    pub fn rewind(&mut self) -> io::Result<()> {
        if self.size.is_none() {
            return Err(io::Error::new(io::ErrorKind::NotSeekable, format!("{}: not a regular file", self.name)));
        }
        (&*self.file).seek(SeekFrom::Start(self.origin))?;
        let raw = Raw::new(self.file.clone(), self.interrupt.clone(), true);
        self.buffer = Buffer::new(Stored::Plain(raw), self.buffer.take_memory());
        (self.number, self.ended, self.damage) = (0, false, None);
        self.begin().map_err(|problem| {
            self.ended = true;
            io::Error::other(OpenError { name: self.name.clone(), problem }.to_string())
        })
    }

    /// Whether the next call of [`Input::next`] is expected to answer without waiting; waits for that up to `limit`.
    pub fn ready(&self, limit: Duration) -> bool {
        let buffered = match &self.format {
            Format::Awaited => false,
            Format::Pcap(pcap) => pcap.has_record(self.buffer.bytes()),
            Format::Pcapng(pcapng) => pcapng.has_record(self.buffer.bytes()),
            Format::Snoop(_) => Snoop::has_record(self.buffer.bytes()),
        };
        self.size.is_some()
            || self.ended
            || buffered
            || self.buffer.is_finished()
            || self.buffer.stored.has_backlog()
            || self.interrupt.wait(&self.file, Direction::Read, Some(limit))
    }

    /// Whether it is a regular file, which can be read twice.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        self.size.is_some()
    }

    /// Bytes of the file as stored, if it is a regular file.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size.map(|size| size.saturating_sub(self.origin))
    }

    /// Bytes of the file as stored that were used.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.buffer.position()
    }

    /// The name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number in [`Packet::source`].
    #[must_use]
    pub fn source(&self) -> u16 {
        self.source
    }

    /// The link type of all its packets, where the header says it (pcap, snoop).
    #[must_use]
    pub fn link(&self) -> Option<LinkType> {
        match &self.format {
            Format::Pcap(pcap) => Some(pcap.link()),
            Format::Snoop(snoop) => Some(snoop.link()),
            Format::Pcapng(_) | Format::Awaited => None,
        }
    }

    /// Whether it may hold secrets to decrypt with: a pcapng file, or a pipe that has not begun.
    #[must_use]
    pub fn may_have_secrets(&self) -> bool {
        matches!(self.format, Format::Pcapng(_) | Format::Awaited)
    }

    /// TLS key logs of the blocks passed since the last call.
    pub fn take_secrets(&mut self) -> Option<Vec<u8>> {
        match &mut self.format {
            Format::Pcapng(p) if !p.secrets.is_empty() => Some(std::mem::take(&mut p.secrets)),
            _ => None,
        }
    }

    /// Why it ended before its end; one line when displayed.
    #[must_use]
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }
}

fn identify(buffer: &mut Buffer) -> Result<Kind, OpenProblem> {
    buffer.need(magic::LENGTH).map_err(OpenProblem::Io)?;
    let head = buffer.bytes();
    magic::identify(&head[..head.len().min(magic::LENGTH)])
}
