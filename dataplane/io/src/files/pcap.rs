//! The pcap file format: draft-ietf-opsawg-pcap, and Kuznetsov's variant with longer record headers.

use lc_wire::LinkType;

use super::buffer::Buffer;
use super::error::{DamageKind, OpenProblem};
use super::{Ended, Head, MAX_FRAME};

/// File header length, bytes.
const HEADER: usize = 24;
/// Record header length, bytes.
const RECORD: usize = 16;
/// Record header length of the variant with the magic number 0xa1b2cd34, bytes: interface, protocol, packet type.
const RECORD_MODIFIED: usize = 24;

/// What the file header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pcap {
    swapped: bool,
    /// Nanoseconds per unit of the timestamp's fraction.
    unit: u64,
    record: usize,
    lengths: Lengths,
    link: LinkType,
}

/// Which of a record's lengths comes first. Versions before 2.4 had them the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    OriginalFirst,
    /// The smaller one is the captured length.
    Unsure,
}

#[inline]
fn word(bytes: &[u8], at: usize, swapped: bool) -> u32 {
    let value = u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if swapped {
        value.swap_bytes()
    } else {
        value
    }
}

/// The stream has ended: at a record's beginning, or within one of `whole` bytes.
#[cold]
fn ended(whole: usize, buffer: &Buffer) -> Result<bool, Ended> {
    match buffer.bytes().len() {
        0 => Ok(false),
        left => Err(Box::new(DamageKind::Truncated(whole as u64, left as u64))),
    }
}

impl Pcap {
    /// Reads the file header.
    pub fn open(buffer: &mut Buffer) -> Result<Self, OpenProblem> {
        if !buffer.need(HEADER).map_err(OpenProblem::Io)? {
            return Err(OpenProblem::HeaderShort(buffer.bytes().len()));
        }
        let header = buffer.bytes();
        let (swapped, unit, record) = match word(header, 0, false) {
            0xa1b2_c3d4 => (false, 1000, RECORD),
            0xd4c3_b2a1 => (true, 1000, RECORD),
            0xa1b2_3c4d => (false, 1, RECORD),
            0x4d3c_b2a1 => (true, 1, RECORD),
            0xa1b2_cd34 => (false, 1000, RECORD_MODIFIED),
            0x34cd_b2a1 => (true, 1000, RECORD_MODIFIED),
            magic => return Err(OpenProblem::Unknown(magic.to_le_bytes())),
        };
        let version = word(header, 4, swapped);
        let (major, minor) =
            if swapped { (version >> 16, version & 0xffff) } else { (version & 0xffff, version >> 16) };
        let lengths = match (major, minor) {
            (2, 0..=2) | (543, _) => Lengths::OriginalFirst,
            (2, 3) => Lengths::Unsure,
            (2, _) => Lengths::CapturedFirst,
            _ => return Err(OpenProblem::Version(major as u16, minor as u16)),
        };
        // The upper six bits tell the length of a frame check sequence.
        let link = word(header, 20, swapped) & 0x03ff_ffff;
        let link = LinkType(u16::try_from(link).map_err(|_| OpenProblem::Link(link))?);
        buffer.consume(HEADER);
        Ok(Self { swapped, unit, record, lengths, link })
    }

    /// Goes on to the next record; false at the end.
    #[inline]
    pub fn advance(&self, buffer: &mut Buffer, head: &mut Head) -> Result<bool, Ended> {
        if !buffer.need(self.record)? {
            return ended(self.record, buffer);
        }
        let header = &buffer.bytes()[..RECORD];
        let seconds = word(header, 0, self.swapped);
        let fraction = word(header, 4, self.swapped);
        let (len, orig_len) = self.lengths(word(header, 8, self.swapped), word(header, 12, self.swapped));
        let len = len as usize;
        if len > MAX_FRAME {
            return Err(Box::new(DamageKind::RecordLength(len as u64, MAX_FRAME as u64)));
        }
        let whole = self.record + len;
        if !buffer.need(whole)? {
            return ended(whole, buffer);
        }
        head.ts = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * self.unit;
        (head.orig_len, head.link) = (orig_len, self.link);
        (head.at, head.len) = (buffer.index() + self.record, len);
        buffer.consume(whole);
        Ok(true)
    }

    #[inline]
    fn lengths(&self, first: u32, second: u32) -> (u32, u32) {
        match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::OriginalFirst => (second, first),
            Lengths::Unsure => (first.min(second), first.max(second)),
        }
    }

    /// Whether these bytes hold a whole record.
    pub fn has_record(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.record && {
            let (len, _) = self.lengths(word(bytes, 8, self.swapped), word(bytes, 12, self.swapped));
            bytes.len() - self.record >= len as usize || len as usize > MAX_FRAME
        }
    }

    /// The link type of every record.
    pub fn link(&self) -> LinkType {
        self.link
    }
}
