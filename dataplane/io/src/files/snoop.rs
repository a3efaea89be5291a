//! The snoop file format of Solaris: RFC 1761, with the data link types that snoop(1M) added since.

use lc_wire::LinkType;

use super::buffer::Buffer;
use super::error::{DamageKind, OpenProblem};
use super::{Ended, Head, MAX_FRAME};

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"snoop\0\0\0";
/// File header length, bytes: the magic, version, data link.
const HEADER: usize = 16;
/// Record header length, bytes: original length, captured length, record length, drops, seconds, microseconds.
const RECORD: usize = 24;
/// Padding that is believed behind a frame, bytes.
const MAX_PADDING: usize = 4096;

/// What the file header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snoop {
    link: LinkType,
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The link type of a data link: IEEE 802.3 and Ethernet are one, since both have the same header.
fn link(datalink: u32) -> Option<LinkType> {
    match datalink {
        0 | 4 => Some(LinkType::ETHERNET),
        2 => Some(LinkType(6)),    // token ring
        8 => Some(LinkType(10)),   // FDDI
        16 => Some(LinkType(122)), // IP over Fibre Channel
        _ => None,
    }
}

impl Snoop {
    /// Reads the file header.
    pub fn open(buffer: &mut Buffer) -> Result<Self, OpenProblem> {
        if !buffer.need(HEADER).map_err(OpenProblem::Io)? {
            return Err(OpenProblem::HeaderShort(buffer.bytes().len()));
        }
        let (version, datalink) = (word(buffer.bytes(), 8), word(buffer.bytes(), 12));
        if version != 2 {
            return Err(OpenProblem::Version(u16::try_from(version).unwrap_or(u16::MAX), 0));
        }
        let link = link(datalink).ok_or(OpenProblem::DataLink(datalink))?;
        buffer.consume(HEADER);
        Ok(Self { link })
    }

    /// Goes on to the next record; false at the end.
    pub fn advance(&self, buffer: &mut Buffer, head: &mut Head) -> Result<bool, Ended> {
        if !buffer.need(RECORD)? {
            return match buffer.bytes().len() {
                0 => Ok(false),
                left => Err(Box::new(DamageKind::Truncated(RECORD as u64, left as u64))),
            };
        }
        let header = buffer.bytes();
        let (orig_len, len, whole) = (word(header, 0), word(header, 4) as usize, word(header, 8) as usize);
        let time = u64::from(word(header, 16)) * 1_000_000_000 + u64::from(word(header, 20)) * 1000;
        if len > MAX_FRAME {
            return Err(Box::new(DamageKind::RecordLength(len as u64, MAX_FRAME as u64)));
        }
        if whole < RECORD + len || whole > RECORD + len + MAX_PADDING {
            let most = (RECORD + len + MAX_PADDING) as u64;
            return Err(Box::new(DamageKind::RecordLength(whole as u64, most)));
        }
        if !buffer.need(whole)? {
            return Err(Box::new(DamageKind::Truncated(whole as u64, buffer.bytes().len() as u64)));
        }
        *head = Head { ts: time, orig_len, link: self.link, at: buffer.index() + RECORD, len };
        buffer.consume(whole);
        Ok(true)
    }

    /// Whether these bytes hold a whole record, or one that is refused.
    pub fn has_record(bytes: &[u8]) -> bool {
        bytes.len() >= RECORD && {
            let whole = word(bytes, 8) as usize;
            bytes.len() >= whole || whole > RECORD + MAX_FRAME + MAX_PADDING
        }
    }

    /// The link type of every record.
    pub fn link(&self) -> LinkType {
        self.link
    }
}
