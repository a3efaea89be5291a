//! Ethernet II, IEEE 802.3 with LLC/SNAP, and VLAN tags (IEEE 802.1Q).

use crate::refusal::Refusal;

/// Length of the header, bytes.
pub const HEADER: usize = 14;
/// EtherTypes (IEEE 802 numbers, IANA registry).
pub const IPV4: u16 = 0x0800;
/// IPv6.
pub const IPV6: u16 = 0x86dd;
/// MPLS unicast, RFC 3032.
pub const MPLS: u16 = 0x8847;
/// MPLS multicast or upstream-assigned, RFC 5332.
pub const MPLS_UP: u16 = 0x8848;
/// PPPoE session stage, RFC 2516.
pub const PPPOE: u16 = 0x8864;
/// ARP, RFC 826: known, and never decoded.
const ARP: u16 = 0x0806;
/// A whole Ethernet frame, RFC 1701: what a tunnel bridges.
pub const BRIDGED: u16 = 0x6558;
/// A PPP frame, RFC 2637.
pub const PPP: u16 = 0x880b;

/// Whether an EtherType announces a VLAN tag: 802.1Q, 802.1ad and the older QinQ values.
#[must_use]
pub fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300)
}

/// The big-endian word at `at`.
pub(crate) fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

/// EtherType of an Ethernet frame and the offset of what follows it. 802.3 frames give the type of their SNAP header.
///
/// # Errors
/// `LinkShort` when the header is cut, `NotIp` for LLC without SNAP.
#[inline]
pub fn header(frame: &[u8]) -> Result<(u16, usize), Refusal> {
    let kind = be16(frame, 12).ok_or(Refusal::LinkShort)?;
    if kind >= 1536 {
        return Ok((kind, HEADER));
    }
    snap(frame, HEADER)
}

/// EtherType behind an LLC/SNAP header at `at` (IEEE 802.2; OUI 00-00-00, RFC 1042).
pub(crate) fn snap(frame: &[u8], at: usize) -> Result<(u16, usize), Refusal> {
    match frame.get(at..at + 6) {
        Some([0xaa, 0xaa, 3, 0, 0, 0]) => Ok((be16(frame, at + 6).ok_or(Refusal::LinkShort)?, at + 8)),
        _ => Err(Refusal::NotIp),
    }
}

/// Whether an Ethernet frame of a known kind begins at `at`: a guess where nothing says what follows.
#[must_use]
pub fn looks(b: &[u8], at: usize) -> bool {
    let version = || b.get(at + HEADER).map_or(0, |v| v >> 4);
    match be16(b, at + 12) {
        Some(IPV4) => version() == 4,
        Some(IPV6) => version() == 6,
        Some(MPLS | MPLS_UP | PPPOE | ARP) => true,
        Some(kind) => is_vlan(kind),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ethernet_two_and_snap() {
        let mut f = vec![0u8; 12];
        f.extend([0x08, 0x00]);
        assert_eq!(header(&f), Ok((IPV4, 14)));
        let mut s = vec![0u8; 12];
        s.extend([0x00, 0x20, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd]);
        assert_eq!(header(&s), Ok((IPV6, 22)));
        assert_eq!(header(&f[..13]), Err(Refusal::LinkShort));
        let mut stp = vec![0u8; 12];
        stp.extend([0x00, 0x26, 0x42, 0x42, 3, 0, 0, 0, 0, 0]);
        assert_eq!(header(&stp), Err(Refusal::NotIp));
    }
}
