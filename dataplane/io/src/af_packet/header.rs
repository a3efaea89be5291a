//! What the kernel writes before each frame of a ring (linux/if_packet.h: tpacket3_hdr, tpacket2_hdr, sockaddr_ll), and
//! the frame behind it with its outer VLAN tag back in place. Pure functions over bytes.

use lc_wire::LinkType;

use super::Version;

const VLAN_VALID: u32 = libc::TP_STATUS_VLAN_VALID;
const VLAN_TPID_VALID: u32 = libc::TP_STATUS_VLAN_TPID_VALID;
const TPID: u16 = 0x8100;
const TAG: usize = 4;
/// Both addresses of an Ethernet frame: what stands before the tag.
const ADDRESSES: usize = 12;
/// PACKET_OUTGOING (linux/if_packet.h).
const OUTGOING: u8 = 4;
// ARPHRD_ of linux/if_arp.h
const ETHER: u16 = 1;
const PPP: u16 = 512;
const RAWIP: u16 = 519;
const TUNNEL: u16 = 768;
const TUNNEL6: u16 = 769;
const LOOPBACK: u16 = 772;
const SIT: u16 = 776;
const IPGRE: u16 = 778;
const NONE: u16 = 0xfffe;
/// A link type that no file has: frames of a device whose headers nobody knows.
const UNKNOWN: LinkType = LinkType(u16::MAX);

/// A frame in a ring: metadata, and where its bytes are from the start of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// ns since 1970.
    pub ts: u64,
    /// Bytes on the wire.
    pub orig_len: u32,
    pub link: LinkType,
    pub ifindex: i32,
    /// Sent by this machine.
    pub outgoing: bool,
    /// On the loopback device.
    pub loopback: bool,
    pub start: usize,
    pub len: usize,
    /// To the next header (TPACKET_V3), 0 for the last of a block.
    pub next: usize,
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

/// Where things are in the header of a version.
struct Layout {
    /// Of the header, before the address.
    size: usize,
    seconds: usize,
    status: usize,
    snaplen: usize,
    len: usize,
    mac: usize,
    tci: usize,
    tpid: usize,
}

const V3: Layout = Layout { size: 48, seconds: 4, status: 20, snaplen: 12, len: 16, mac: 24, tci: 32, tpid: 36 };
const V2: Layout = Layout { size: 32, seconds: 16, status: 0, snaplen: 8, len: 4, mac: 12, tci: 24, tpid: 26 };
/// sockaddr_ll.
const ADDRESS: usize = 20;

/// Reads the header at the start of `b`, which is ours up to its end, and puts a stripped VLAN tag back: the addresses
/// move four bytes towards the header, where the kernel leaves room. `None` when the kernel's figures make no sense.
#[inline]
pub(super) fn frame(version: Version, b: &mut [u8]) -> Option<Frame> {
    let l = match version {
        Version::V3 => &V3,
        Version::V2 => &V2,
    };
    let address = b.get(l.size..l.size + ADDRESS)?;
    let (ifindex, hatype, kind) = (u32_at(address, 4) as i32, u16_at(address, 8), address[10]);
    let status = u32_at(b, l.status);
    let ts = u64::from(u32_at(b, l.seconds)) * 1_000_000_000 + u64::from(u32_at(b, l.seconds + 4));
    let mut frame = Frame {
        ts,
        orig_len: u32_at(b, l.len),
        link: link_type(hatype),
        ifindex,
        outgoing: kind == OUTGOING,
        loopback: hatype == LOOPBACK,
        start: usize::from(u16_at(b, l.mac)),
        len: u32_at(b, l.snaplen) as usize,
        next: if matches!(version, Version::V3) { u32_at(b, 0) as usize } else { 0 },
    };
    if frame.start.checked_add(frame.len)? > b.len() {
        return None;
    }
    let tci = u16_at(b, l.tci);
    if (status & VLAN_VALID != 0 || tci != 0) && frame.link == LinkType::ETHERNET && frame.len >= ADDRESSES {
        let tpid = if status & VLAN_TPID_VALID == 0 { TPID } else { u16_at(b, l.tpid) };
        if frame.start < l.size + ADDRESS + TAG {
            return None;
        }
        let to = frame.start - TAG;
        b.copy_within(frame.start..frame.start + ADDRESSES, to);
        b[to + ADDRESSES..to + ADDRESSES + 2].copy_from_slice(&tpid.to_be_bytes());
        b[to + ADDRESSES + 2..to + ADDRESSES + TAG].copy_from_slice(&tci.to_be_bytes());
        (frame.start, frame.len, frame.orig_len) = (to, frame.len + TAG, frame.orig_len + TAG as u32);
    }
    Some(frame)
}

/// What a device's frames begin with, on a socket of type SOCK_RAW.
fn link_type(hatype: u16) -> LinkType {
    match hatype {
        ETHER | LOOPBACK => LinkType::ETHERNET,
        PPP | RAWIP | TUNNEL | TUNNEL6 | SIT | IPGRE | NONE => LinkType::RAW,
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring entry as the kernel lays it out: Ethernet frame of 14 + 4 bytes at `tp_mac` 82 (V3) or 66 (V2).
    fn entry(version: Version, status: u32, tci: u16, tpid: u16) -> Vec<u8> {
        let (l, mac) = if matches!(version, Version::V3) { (&V3, 82) } else { (&V2, 66) };
        let mut b = vec![0u8; mac + 18];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(l.status, &(status | libc::TP_STATUS_USER).to_ne_bytes());
        if matches!(version, Version::V3) {
            put(0, &112u32.to_ne_bytes());
        }
        put(l.seconds, &7u32.to_ne_bytes());
        put(l.seconds + 4, &9u32.to_ne_bytes());
        put(l.snaplen, &18u32.to_ne_bytes());
        put(l.len, &1018u32.to_ne_bytes());
        put(l.mac, &(mac as u16).to_ne_bytes());
        put(l.tci, &tci.to_ne_bytes());
        put(l.tpid, &tpid.to_ne_bytes());
        put(l.size + 4, &3u32.to_ne_bytes());
        put(l.size + 8, &ETHER.to_ne_bytes());
        put(mac, b"ddddddssssss\x08\x00data");
        b
    }

    #[test]
    fn a_frame_without_tag_stays_where_it_is() {
        for (version, mac) in [(Version::V3, 82), (Version::V2, 66)] {
            let mut b = entry(version, 0, 0, 0);
            let f = frame(version, &mut b).unwrap();
            assert_eq!((f.ts, f.orig_len, f.start, f.len, f.ifindex), (7_000_000_009, 1018, mac, 18, 3));
            assert_eq!(f.link, LinkType::ETHERNET);
        }
    }

    #[test]
    fn a_stripped_tag_comes_back() {
        for version in [Version::V3, Version::V2] {
            for (status, tci, tpid, tag) in [
                (VLAN_VALID | VLAN_TPID_VALID, 0x2005, 0x88a8, b"\x88\xa8\x20\x05"),
                (VLAN_VALID, 5, 0, b"\x81\x00\x00\x05"),
                (VLAN_VALID | VLAN_TPID_VALID, 0, 0x8100, b"\x81\x00\x00\x00"), // a priority tag: VID 0
                (0, 5, 0, b"\x81\x00\x00\x05"),                                 // before TP_STATUS_VLAN_VALID existed
            ] {
                let mut b = entry(version, status, tci, tpid);
                let f = frame(version, &mut b).unwrap();
                let whole = [b"ddddddssssss".as_slice(), tag, b"\x08\x00data"].concat();
                assert_eq!(&b[f.start..f.start + f.len], whole, "{status:x}");
                assert_eq!(f.orig_len, 1022);
            }
        }
    }

    #[test]
    fn figures_without_sense_are_refused() {
        let mut b = entry(Version::V3, 0, 0, 0);
        b[V3.snaplen..V3.snaplen + 4].copy_from_slice(&19u32.to_ne_bytes());
        assert_eq!(frame(Version::V3, &mut b), None);
        assert_eq!(frame(Version::V3, &mut b[..60]), None);
        let mut b = entry(Version::V3, VLAN_VALID, 1, 0);
        b[V3.mac..V3.mac + 2].copy_from_slice(&70u16.to_ne_bytes());
        assert_eq!(frame(Version::V3, &mut b), None);
    }

    #[test]
    fn devices_without_ethernet_headers_have_bare_ip() {
        assert_eq!([link_type(LOOPBACK), link_type(NONE), link_type(32)], [LinkType::ETHERNET, LinkType::RAW, UNKNOWN]);
    }
}
