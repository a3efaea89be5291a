//! Link types that are no Ethernet: Linux cooked captures, BSD loopback, raw IP.

use crate::capture::LinkType;
use crate::ethernet::{self, be16, IPV4, IPV6};
use crate::ppp;
use crate::refusal::Refusal;

/// LINKTYPE_LINUX_SLL header length, bytes.
pub const SLL: usize = 16;
/// LINKTYPE_LINUX_SLL2 header length, bytes.
pub const SLL2: usize = 20;

/// EtherType of a frame of any supported link type and the offset of what follows the link header.
///
/// # Errors
/// `LinkUnsupported`, `LinkShort`, and what the link's own header refuses.
#[inline]
pub fn header(link: LinkType, b: &[u8]) -> Result<(u16, usize), Refusal> {
    match link {
        LinkType::ETHERNET => ethernet::header(b),
        LinkType::LINUX_SLL => cooked(b, 14, SLL),
        LinkType::LINUX_SLL2 => cooked(b, 0, SLL2),
        LinkType::RAW | LinkType::RAW_BSD | LinkType::RAW_OPENBSD => match b.first().ok_or(Refusal::LinkShort)? >> 4 {
            4 => Ok((IPV4, 0)),
            6 => Ok((IPV6, 0)),
            _ => Err(Refusal::NotIp),
        },
        LinkType::IPV4 => Ok((IPV4, 0)),
        LinkType::IPV6 => Ok((IPV6, 0)),
        LinkType::NULL | LinkType::LOOP => loopback(b),
        LinkType::PPP | LinkType::PPP_HDLC => ppp::header(b, 0),
        _ => Err(Refusal::LinkUnsupported),
    }
}

/// A cooked header: its protocol field is an EtherType, or 4 for 802.2 (`LINUX_SLL_P_802_2`).
fn cooked(b: &[u8], protocol: usize, length: usize) -> Result<(u16, usize), Refusal> {
    if b.len() < length {
        return Err(Refusal::LinkShort);
    }
    match be16(b, protocol).ok_or(Refusal::LinkShort)? {
        4 => ethernet::snap(b, length),
        kind => Ok((kind, length)),
    }
}

/// A 4-byte address family, in either byte order: the capturing machine's is not recorded. 2 is IPv4 everywhere,
/// IPv6 is 10 (Linux), 24 (NetBSD, OpenBSD), 28 (FreeBSD), 30 (Darwin).
fn loopback(b: &[u8]) -> Result<(u16, usize), Refusal> {
    let family = b.get(..4).ok_or(Refusal::LinkShort)?;
    let number = match family {
        [0, 0, 0, n] | [n, 0, 0, 0] => *n,
        _ => return Err(Refusal::NotIp),
    };
    match number {
        2 => Ok((IPV4, 4)),
        10 | 24 | 28 | 30 => Ok((IPV6, 4)),
        _ => Err(Refusal::NotIp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_type() {
        let mut sll = [0u8; 16];
        sll[14] = 8;
        assert_eq!(header(LinkType::LINUX_SLL, &sll), Ok((IPV4, 16)));
        let mut sll2 = [0u8; 20];
        (sll2[0], sll2[1]) = (0x86, 0xdd);
        assert_eq!(header(LinkType::LINUX_SLL2, &sll2), Ok((IPV6, 20)));
        assert_eq!(header(LinkType::LINUX_SLL2, &sll2[..19]), Err(Refusal::LinkShort));
        assert_eq!(header(LinkType::NULL, &[2, 0, 0, 0, 0x45]), Ok((IPV4, 4)));
        assert_eq!(header(LinkType::LOOP, &[0, 0, 0, 24, 0x60]), Ok((IPV6, 4)));
        assert_eq!(header(LinkType::RAW, &[0x60]), Ok((IPV6, 0)));
        assert_eq!(header(LinkType(147), &[0; 60]), Err(Refusal::LinkUnsupported));
    }
}
