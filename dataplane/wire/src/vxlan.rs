//! VXLAN (RFC 7348), with a group policy (draft-smith-vxlan-group-policy) or another payload (draft-ietf-nvo3-vxlan-gpe),
//! and Geneve (RFC 8926).

use crate::ethernet::{BRIDGED, IPV4, IPV6};

/// UDP port of VXLAN.
pub const PORT: u16 = 4789;
/// The port that Linux took before there was one, and that many overlays still take.
pub const PORT_LINUX: u16 = 8472;
/// VXLAN with other payloads.
pub const PORT_GPE: u16 = 4790;
/// Geneve.
pub const PORT_GENEVE: u16 = 6081;

/// (EtherType, offset of what follows, network identifier); none: this is something else.
#[must_use]
pub fn header(b: &[u8], dport: u16) -> Option<(u16, usize, u64)> {
    let h: &[u8; 8] = b.first_chunk()?;
    let vni = u64::from(u32::from_be_bytes([0, h[4], h[5], h[6]]));
    match dport {
        PORT_GENEVE => {
            // version 0, and no packet of control
            let payload = h[0] >> 6 == 0 && h[1] & 0x80 == 0 && h[7] == 0;
            payload.then(|| (u16::from_be_bytes([h[2], h[3]]), 8 + 4 * usize::from(h[0] & 0x3f), vni))
        }
        PORT_GPE if h[0] & 0x0c == 0x0c => {
            let kind = match h[3] {
                1 => IPV4,
                2 => IPV6,
                3 => BRIDGED,
                _ => return None,
            };
            Some((kind, 8, vni))
        }
        _ => (matches!(h[0], 0x08 | 0x88) && h[7] == 0).then_some((BRIDGED, 8, vni)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_payload() {
        assert_eq!(header(&[8, 0, 0, 0, 0, 0, 123, 0], PORT), Some((BRIDGED, 8, 123)));
        assert_eq!(header(&[0x88, 0, 0, 9, 1, 0, 0, 0], PORT_LINUX), Some((BRIDGED, 8, 65536)));
        assert_eq!(header(&[0x80, 0, 0, 0, 0, 0, 123, 0], PORT), None); // RTP looks like this
        assert_eq!(header(&[0x0c, 0, 0, 1, 0, 0, 5, 0], PORT_GPE), Some((IPV4, 8, 5)));
        assert_eq!(header(&[0x02, 0, 0x65, 0x58, 0, 0, 7, 0], PORT_GENEVE), Some((BRIDGED, 16, 7)));
        assert_eq!(header(&[0x02, 0x80, 0x65, 0x58, 0, 0, 7, 0], PORT_GENEVE), None);
        assert_eq!(header(&[8, 0, 0], PORT), None);
    }
}
