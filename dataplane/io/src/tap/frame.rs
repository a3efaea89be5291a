//! What of a packet goes onto the device.
//!
//! A TAP gets Ethernet frames as they were captured; a packet of another link type gets an Ethernet header:
//! destination 02:00:00:00:00:02, source 02:00:00:00:00:01, and the EtherType of what follows its link header. A TUN
//! device gets the IP packet: link header, tags, labels, and padding behind the packet are taken off.

use lc_wire::{ip_offset, link, LinkType, Packet};

use super::Kind;
use crate::counters::DropReason;

/// Addresses of the header that other link types get: destination, source.
pub const ADDRESSES: [u8; 12] = [0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];
/// Ethernet header, bytes.
pub(super) const HEADER: usize = 14;
/// A VLAN tag, bytes.
const TAG: usize = 4;

/// A frame to write: `header` if it needs one, then the packet's bytes from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub header: Option<[u8; HEADER]>,
    pub start: usize,
    pub end: usize,
}

/// How a packet goes onto the device, or why not.
#[inline]
pub(super) fn shape(kind: Kind, packet: &Packet<'_>) -> Result<Shape, DropReason> {
    match kind {
        Kind::Tap if packet.link == LinkType::ETHERNET => ethernet(packet.data),
        Kind::Tap => other(packet),
        Kind::Tun => ip(packet),
    }
}

#[inline]
fn is_tag(b: &[u8], at: usize) -> bool {
    matches!(b.get(at..at + 2), Some([0x81, 0] | [0x88, 0xa8] | [0x91, 0]))
}

/// Frames that no reader of the device sees are refused: shorter than a header, or than one with a tag.
#[inline]
fn ethernet(data: &[u8]) -> Result<Shape, DropReason> {
    if data.len() < HEADER + TAG && (data.len() < HEADER || is_tag(data, HEADER - 2)) {
        return Err(DropReason::Short);
    }
    Ok(Shape { header: None, start: 0, end: data.len() })
}

fn other(packet: &Packet<'_>) -> Result<Shape, DropReason> {
    let (kind, start) = link::header(packet.link, packet.data).map_err(|_| DropReason::NoEthertype)?;
    // Below that the field is a length of 802.3, no type.
    if kind < 0x600 {
        return Err(DropReason::NoEthertype);
    }
    let mut header = [0; HEADER];
    header[..12].copy_from_slice(&ADDRESSES);
    header[12..].copy_from_slice(&kind.to_be_bytes());
    let end = packet.data.len();
    if is_tag(&header, HEADER - 2) && end - start < TAG {
        return Err(DropReason::Short);
    }
    Ok(Shape { header: Some(header), start, end })
}

fn ip(packet: &Packet<'_>) -> Result<Shape, DropReason> {
    let (start, _) = ip_offset(packet.link, packet.data).ok_or(DropReason::NotIp)?;
    let datagram = packet.data.get(start..).ok_or(DropReason::NotIp)?;
    let half = |at: usize| datagram.get(at..at + 2).map(|b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let len = match datagram.first().map(|b| b >> 4) {
        Some(4) => half(2).filter(|&len| len >= 20),
        Some(6) => half(4).filter(|&len| len > 0).map(|len| len + 40),
        _ => return Err(DropReason::NotIp),
    };
    let end = len.map_or(packet.data.len(), |len| packet.data.len().min(start + len));
    Ok(Shape { header: None, start, end })
}

/// Bytes of a frame above what the device's MTU allows: its header, and each tag, are not counted.
#[inline]
pub(super) fn is_oversize(kind: Kind, frame: &[u8], mtu: usize) -> bool {
    match kind {
        Kind::Tun => frame.len() > mtu,
        Kind::Tap if frame.len() <= mtu + HEADER => false,
        Kind::Tap => {
            let tags = (0..).take_while(|n| is_tag(frame, HEADER - 2 + n * TAG)).count();
            frame.len() > mtu + HEADER + tags * TAG
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(link: LinkType, data: &[u8]) -> Packet<'_> {
        Packet { ts: 0, number: 1, orig_len: data.len() as u32, source: 0, link, data }
    }

    fn tagged(len: usize, tpid: u16) -> Vec<u8> {
        let mut frame = vec![0; len];
        frame[12..14].copy_from_slice(&tpid.to_be_bytes());
        frame
    }

    #[test]
    fn short_frames() {
        let tap = |data: &[u8]| shape(Kind::Tap, &packet(LinkType::ETHERNET, data)).map(|s| s.end);
        assert_eq!(tap(&[0; 13]), Err(DropReason::Short));
        assert_eq!(tap(&tagged(14, 0x0800)), Ok(14));
        for tpid in [0x8100, 0x88a8, 0x9100] {
            assert_eq!(tap(&tagged(17, tpid)), Err(DropReason::Short));
            assert_eq!(tap(&tagged(18, tpid)), Ok(18));
        }
    }

    #[test]
    fn other_links_get_a_header() {
        let mut sll = [0; 20];
        (sll[14], sll[15], sll[16]) = (0x08, 0x06, 9);
        let shape = |link, data: &[u8]| shape(Kind::Tap, &packet(link, data));
        let arp = shape(LinkType::LINUX_SLL, &sll).unwrap();
        assert_eq!((arp.header.unwrap()[12..].to_vec(), arp.start), (vec![8, 6], 16));
        assert_eq!(shape(LinkType::RAW, &[0x60]).unwrap().header.unwrap()[12..], [0x86, 0xdd]);
        assert_eq!(shape(LinkType::RAW, &[0x10]), Err(DropReason::NoEthertype));
        assert_eq!(shape(LinkType(147), &[0; 60]), Err(DropReason::NoEthertype));
        (sll[14], sll[15]) = (0, 1);
        assert_eq!(shape(LinkType::LINUX_SLL, &sll), Err(DropReason::NoEthertype));
    }

    #[test]
    fn tun_gets_the_ip_packet_without_padding() {
        let mut frame = tagged(60, 0x8100);
        (frame[16], frame[18], frame[21]) = (0x08, 0x45, 30);
        let tun = |data: &[u8]| shape(Kind::Tun, &packet(LinkType::ETHERNET, data));
        let seen = tun(&frame).unwrap();
        assert_eq!((seen.start, seen.end), (18, 48));
        frame[21] = 200;
        assert_eq!(tun(&frame).unwrap().end, 60);
        frame[18] = 0x75;
        assert_eq!(tun(&frame), Err(DropReason::NotIp));
        assert_eq!(tun(&tagged(60, 0x0806)), Err(DropReason::NotIp));
    }

    #[test]
    fn the_header_and_tags_do_not_count_as_mtu() {
        assert!(!is_oversize(Kind::Tap, &tagged(114, 0x0800), 100));
        assert!(is_oversize(Kind::Tap, &tagged(115, 0x0800), 100));
        assert!(!is_oversize(Kind::Tap, &tagged(118, 0x8100), 100));
        assert!(is_oversize(Kind::Tap, &tagged(119, 0x8100), 100));
        assert!(is_oversize(Kind::Tun, &[0; 101], 100));
    }
}
