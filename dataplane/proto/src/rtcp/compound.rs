//! A compound: packets one after another (RFC 3550 §6.1), in no particular order (RFC 5506).

use super::report::{Block, SenderInfo};
use super::xr::{self, Xr};

/// Packets of a datagram that are read.
const MAX_PACKETS: usize = 32;

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq)]
pub enum Body<'a> {
    /// SR (§6.4.1): its sender, what it sent, what it received.
    Sender(u32, SenderInfo, Blocks<'a>),
    /// RR (§6.4.2): its sender, what it received.
    Receiver(u32, Blocks<'a>),
    /// SDES (§6.5): its chunks, and how many there are.
    Description(&'a [u8], u8),
    /// BYE (§6.6): who leaves.
    Goodbye(Sources<'a>),
    /// XR (RFC 3611): its sender and its blocks.
    Extended(u32, &'a [u8]),
    /// APP, feedback, others: the packet type and the sender.
    Other(u8, u32),
}

/// Why the rest of a datagram is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Not version 2.
    Version,
    /// Longer than what is left of the datagram.
    Length,
    /// Its own counts do not fit its length.
    Counts,
    /// More packets than are read.
    TooMany,
}

impl Damage {
    /// Every reason, in order.
    pub const ALL: [Self; 4] = [Self::Version, Self::Length, Self::Counts, Self::TooMany];

    /// As counters spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Length => "length",
            Self::Counts => "counts",
            Self::TooMany => "too_many",
        }
    }
}

/// Reception report blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = Block;
    fn next(&mut self) -> Option<Block> {
        let (block, rest) = self.0.split_first_chunk::<{ Block::LEN }>()?;
        self.0 = rest;
        Some(Block::new(block))
    }
}

/// SSRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources<'a>(&'a [u8]);

impl Iterator for Sources<'_> {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*ssrc))
    }
}

/// The packets of a datagram; ends after the first that is damaged.
pub fn packets(datagram: &[u8]) -> impl Iterator<Item = Result<Body<'_>, Damage>> {
    let mut rest = datagram;
    let mut n = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        n += 1;
        let one = if n > MAX_PACKETS { Err(Damage::TooMany) } else { packet(rest) };
        rest = match &one {
            Ok((_, after)) => after,
            Err(_) => &[],
        };
        Some(one.map(|(body, _)| body))
    })
}

fn packet(b: &[u8]) -> Result<(Body<'_>, &[u8]), Damage> {
    let head: [u8; 4] = *b.first_chunk().ok_or(Damage::Length)?;
    if head[0] >> 6 != 2 {
        return Err(Damage::Version);
    }
    let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
    let (whole, rest) = b.split_at_checked(len).ok_or(Damage::Length)?;
    let padding = if head[0] & 0x20 != 0 { usize::from(whole[len - 1]) } else { 0 };
    let end = len.checked_sub(padding).filter(|end| *end >= 4).ok_or(Damage::Counts)?;
    let body = body(head[1], head[0] & 31, &whole[4..end]).ok_or(Damage::Counts)?;
    Ok((body, rest))
}

fn body(packet_type: u8, count: u8, b: &[u8]) -> Option<Body<'_>> {
    let sender = || b.first_chunk().map(|s| u32::from_be_bytes(*s));
    let blocks = |from: usize| Some(Blocks(b.get(from..)?.get(..usize::from(count) * Block::LEN)?));
    Some(match packet_type {
        200 => Body::Sender(sender()?, SenderInfo::new(b.get(4..)?.first_chunk()?), blocks(24)?),
        201 => Body::Receiver(sender()?, blocks(4)?),
        202 => Body::Description(b, count),
        203 => Body::Goodbye(Sources(b.get(..4 * usize::from(count))?)),
        207 => Body::Extended(sender()?, &b[4..]),
        other => Body::Other(other, sender().unwrap_or(0)),
    })
}

impl<'a> Body<'a> {
    /// The report blocks of an XR; none of another packet.
    pub fn extended(&self) -> impl Iterator<Item = Xr> + 'a {
        xr::blocks(if let Self::Extended(_, b) = self { b } else { &[] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SR with one block, SDES, BYE.
    const COMPOUND: &[u8] = &[
        0x81, 200, 0, 12, 0x11, 0x22, 0x33, 0x44, // SR
        0xe0, 0x00, 0x00, 0x01, 0x80, 0x00, 0x00, 0x00, // NTP: .5 s
        0, 0, 0x03, 0xe8, 0, 0, 0, 50, 0, 0, 0x1f, 0x40, // RTP timestamp, packets, octets
        0xaa, 0xbb, 0xcc, 0xdd, 25, 0xff, 0xff, 0xff, 0, 1, 0, 3, 0, 0, 0, 160, // block: lost -1
        0x00, 0x01, 0x80, 0x00, 0, 0, 0x80, 0, // LSR, DLSR half a second
        0x81, 202, 0, 3, 0x11, 0x22, 0x33, 0x44, 1, 3, b'a', b'@', b'b', 0, 0, 0, // SDES: CNAME a@b
        0x81, 203, 0, 1, 0x11, 0x22, 0x33, 0x44, // BYE
    ];

    #[test]
    fn a_compound_of_three() {
        let all: Vec<_> = packets(COMPOUND).collect();
        let [Ok(Body::Sender(ssrc, info, blocks)), Ok(Body::Description(_, 1)), Ok(Body::Goodbye(mut left))] = &all[..]
        else {
            panic!("{all:?}")
        };
        assert_eq!((*ssrc, info.middle, info.timestamp), (0x1122_3344, 0x0001_8000, 1000));
        assert_eq!((info.packets, info.octets), (50, 8000));
        let block: Vec<Block> = (*blocks).collect();
        let want = Block {
            ssrc: 0xaabb_ccdd,
            fraction: 25,
            lost: -1,
            highest: 0x0001_0003,
            jitter: 160,
            lsr: 0x0001_8000,
            dlsr: 0x8000,
        };
        assert_eq!(block, [want]);
        assert_eq!(left.next(), Some(0x1122_3344));
    }

    #[test]
    fn reduced_size_and_others() {
        let bye = &COMPOUND[COMPOUND.len() - 8..];
        assert!(matches!(packets(bye).next(), Some(Ok(Body::Goodbye(_)))));
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 7];
        assert_eq!(packets(&pli).collect::<Vec<_>>(), [Ok(Body::Other(206, 9))]);
    }

    #[test]
    fn damages_end_it() {
        let last = |b: &[u8]| packets(b).last().unwrap().unwrap_err();
        assert_eq!(last(&COMPOUND[..COMPOUND.len() - 1]), Damage::Length);
        let mut b = COMPOUND.to_vec();
        b[0] = 0x83; // three blocks do not fit
        assert_eq!((packets(&b).count(), last(&b)), (1, Damage::Counts));
        b[0] = 0x41;
        assert_eq!(last(&b), Damage::Version);
        assert_eq!(last(&[0xa0, 201, 0, 1, 0, 0, 0, 200]), Damage::Counts, "padding longer than the packet");
        assert_eq!(last(&[0x80, 201, 0, 1, 0, 0, 0, 1].repeat(40)), Damage::TooMany);
    }
}
