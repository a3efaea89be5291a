//! The pcapng file format: draft-ietf-opsawg-pcapng.

use lc_wire::LinkType;

use super::buffer::Buffer;
use super::error::{DamageKind, OpenProblem};
use super::options::Options;
use super::resolution::Clock;
use super::{Ended, Head, MAX_FRAME};

/// Section header, the same number in both byte orders.
const SECTION: u32 = 0x0a0d_0d0a;
/// Interface description.
const INTERFACE: u32 = 1;
/// Packet block, obsolete.
const PACKET: u32 = 2;
/// Simple packet block.
const SIMPLE: u32 = 3;
/// Enhanced packet block.
const ENHANCED: u32 = 6;
/// Decryption secrets block.
const SECRETS: u32 = 10;
/// Secrets type: a TLS key log.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Type, length, and the length again at the end: bytes.
const FRAME: usize = 12;
/// The longest block that is believed, bytes; a longer one of an unknown type is passed over.
const MAX_BLOCK: u32 = 16 << 20;
/// The most interfaces of one section that are kept.
const MAX_INTERFACES: usize = 65_536;

/// One interface description of the current section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    clock: Clock,
}

/// The state of a section.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    swapped: bool,
    interfaces: Vec<Interface>,
    /// Time of the last packet: what a simple packet block, which has none, gets.
    last: u64,
    /// TLS key logs that were not taken yet.
    pub secrets: Vec<u8>,
}

#[inline]
fn half(bytes: &[u8], at: usize, swapped: bool) -> u16 {
    let value = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    if swapped {
        value.swap_bytes()
    } else {
        value
    }
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

impl Pcapng {
    /// Reads the first section header.
    pub fn open(buffer: &mut Buffer) -> Result<Self, OpenProblem> {
        let mut section = Self::default();
        if !buffer.need(FRAME).map_err(OpenProblem::Io)? {
            return Err(OpenProblem::HeaderShort(buffer.bytes().len()));
        }
        section.section(buffer).map_err(|kind| match *kind {
            DamageKind::Version(major, minor) => OpenProblem::Version(major, minor),
            DamageKind::Truncated(_, len) => OpenProblem::HeaderShort(len as usize),
            kind => OpenProblem::Damaged(kind),
        })?;
        Ok(section)
    }

    /// Goes on to the next packet; false at the end.
    #[inline]
    pub fn advance(&mut self, buffer: &mut Buffer, head: &mut Head) -> Result<bool, Ended> {
        loop {
            if !buffer.need(FRAME)? {
                return match buffer.bytes().len() {
                    0 => Ok(false),
                    left => Err(Box::new(DamageKind::Truncated(FRAME as u64, left as u64))),
                };
            }
            match word(buffer.bytes(), 0, self.swapped) {
                ENHANCED => self.enhanced(buffer, head)?,
                SIMPLE => self.simple(buffer, head)?,
                PACKET => self.packet(buffer, head)?,
                kind => {
                    self.other(kind, buffer)?;
                    continue;
                }
            }
            self.last = head.ts;
            return Ok(true);
        }
    }

    /// Blocks that hold no packet.
    #[cold]
    #[inline(never)]
    fn other(&mut self, kind: u32, buffer: &mut Buffer) -> Result<(), Ended> {
        match kind {
            SECTION => self.section(buffer),
            INTERFACE => self.interface(buffer),
            SECRETS => self.decryption(buffer),
            _ => self.pass(buffer),
        }
    }

    /// Makes a whole block available: its length, checked at both ends. `fixed` bytes of body are its type's least.
    #[inline]
    fn block(&self, buffer: &mut Buffer, fixed: usize) -> Result<usize, Ended> {
        let len = word(buffer.bytes(), 4, self.swapped);
        let least = (FRAME + fixed) as u32;
        if len < least || len % 4 != 0 || len > MAX_BLOCK {
            return Err(Box::new(DamageKind::BlockLength(len, least)));
        }
        let whole = len as usize;
        if !buffer.need(whole)? {
            return Err(Box::new(DamageKind::Truncated(u64::from(len), buffer.bytes().len() as u64)));
        }
        let end = word(buffer.bytes(), whole - 4, self.swapped);
        if end != len {
            return Err(Box::new(DamageKind::BlockTrailer(len, end)));
        }
        Ok(whole)
    }

    /// A packet whose data begin at `at` of a block of `whole` bytes.
    #[inline]
    fn reach(
        buffer: &mut Buffer,
        (whole, at): (usize, usize),
        (len, orig_len): (u32, u32),
        (ts, link): (u64, LinkType),
        head: &mut Head,
    ) -> Result<(), Ended> {
        let room = (whole - 4 - at) as u32;
        if len > room {
            return Err(Box::new(DamageKind::CapturedLength(len, room)));
        }
        if len as usize > MAX_FRAME {
            return Err(Box::new(DamageKind::RecordLength(u64::from(len), MAX_FRAME as u64)));
        }
        *head = Head { ts, orig_len, link, at: buffer.index() + at, len: len as usize };
        buffer.consume(whole);
        Ok(())
    }

    #[inline]
    fn described(&self, id: u32) -> Result<&Interface, Ended> {
        self.interfaces.get(id as usize).ok_or_else(|| Box::new(DamageKind::Interface(id, self.interfaces.len())))
    }

    #[inline]
    fn enhanced(&self, buffer: &mut Buffer, head: &mut Head) -> Result<(), Ended> {
        let whole = self.block(buffer, 20)?;
        let block = buffer.bytes();
        let interface = self.described(word(block, 8, self.swapped))?;
        let time = u64::from(word(block, 12, self.swapped)) << 32 | u64::from(word(block, 16, self.swapped));
        let lengths = (word(block, 20, self.swapped), word(block, 24, self.swapped));
        let place = (interface.clock.nanoseconds(time), interface.link);
        Self::reach(buffer, (whole, 28), lengths, place, head)
    }

    fn packet(&self, buffer: &mut Buffer, head: &mut Head) -> Result<(), Ended> {
        let whole = self.block(buffer, 20)?;
        let block = buffer.bytes();
        let interface = self.described(u32::from(half(block, 8, self.swapped)))?;
        let time = u64::from(word(block, 12, self.swapped)) << 32 | u64::from(word(block, 16, self.swapped));
        let lengths = (word(block, 20, self.swapped), word(block, 24, self.swapped));
        let place = (interface.clock.nanoseconds(time), interface.link);
        Self::reach(buffer, (whole, 28), lengths, place, head)
    }

    /// A block without captured length: the smaller one of original length and snapshot length.
    fn simple(&self, buffer: &mut Buffer, head: &mut Head) -> Result<(), Ended> {
        let whole = self.block(buffer, 4)?;
        let interface = self.described(0)?;
        let orig_len = word(buffer.bytes(), 8, self.swapped);
        let len = if interface.snaplen == 0 { orig_len } else { orig_len.min(interface.snaplen) };
        let place = (self.last, interface.link);
        Self::reach(buffer, (whole, 12), (len, orig_len), place, head)
    }

    /// A section header: a byte order of its own, and no interfaces yet.
    fn section(&mut self, buffer: &mut Buffer) -> Result<(), Ended> {
        let mark = word(buffer.bytes(), 8, false);
        self.swapped = match mark {
            0x1a2b_3c4d => false,
            0x4d3c_2b1a => true,
            _ => return Err(Box::new(DamageKind::ByteOrder(mark))),
        };
        let whole = self.block(buffer, 16)?;
        let (major, minor) = (half(buffer.bytes(), 12, self.swapped), half(buffer.bytes(), 14, self.swapped));
        if major != 1 {
            return Err(Box::new(DamageKind::Version(major, minor)));
        }
        self.interfaces.clear();
        buffer.consume(whole);
        Ok(())
    }

    fn interface(&mut self, buffer: &mut Buffer) -> Result<(), Ended> {
        let whole = self.block(buffer, 8)?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Box::new(DamageKind::Interfaces(MAX_INTERFACES)));
        }
        let block = &buffer.bytes()[..whole - 4];
        let mut interface = Interface {
            link: LinkType(half(block, 8, self.swapped)),
            snaplen: word(block, 12, self.swapped),
            clock: Clock::default(),
        };
        for option in Options::new(&block[16..], self.swapped) {
            interface.clock.apply(option.map_err(|()| Box::new(DamageKind::Options))?, self.swapped);
        }
        self.interfaces.push(interface);
        buffer.consume(whole);
        Ok(())
    }

    /// Secrets of TLS are kept for whoever decrypts; others are passed over.
    fn decryption(&mut self, buffer: &mut Buffer) -> Result<(), Ended> {
        let whole = self.block(buffer, 8)?;
        let block = &buffer.bytes()[..whole - 4];
        let (kind, len) = (word(block, 8, self.swapped), word(block, 12, self.swapped));
        let data = block[16..].get(..len as usize).ok_or_else(|| {
            let room = (block.len() - 16) as u32;
            Box::new(DamageKind::CapturedLength(len, room))
        })?;
        if kind == TLS_KEY_LOG && self.secrets.len() + data.len() < MAX_BLOCK as usize {
            self.secrets.extend_from_slice(data);
            self.secrets.push(b'\n');
        }
        buffer.consume(whole);
        Ok(())
    }

    /// A block of a type that holds nothing for us. It may be of any length, and is not kept.
    fn pass(&self, buffer: &mut Buffer) -> Result<(), Ended> {
        let len = word(buffer.bytes(), 4, self.swapped);
        if len < FRAME as u32 || len % 4 != 0 {
            return Err(Box::new(DamageKind::BlockLength(len, FRAME as u32)));
        }
        let body = u64::from(len) - 4;
        let passed = buffer.skip(body)?;
        if passed < body || !buffer.need(4)? {
            return Err(Box::new(DamageKind::Truncated(u64::from(len), passed + buffer.bytes().len() as u64)));
        }
        let end = word(buffer.bytes(), 0, self.swapped);
        buffer.consume(4);
        if end != len {
            return Err(Box::new(DamageKind::BlockTrailer(len, end)));
        }
        Ok(())
    }

    /// Whether these bytes hold a whole block, or one that is refused.
    pub fn has_record(&self, bytes: &[u8]) -> bool {
        bytes.len() >= FRAME && {
            let len = word(bytes, 4, self.swapped);
            bytes.len() >= len as usize || len > MAX_BLOCK
        }
    }
}
