//! GTP-U (3GPP TS 29.281 §5): what a mobile network's user plane carries.

use crate::ethernet::{BRIDGED, IPV4, IPV6};

/// UDP port.
pub const PORT: u16 = 2152;
/// Message type of a packet of the user plane.
const G_PDU: u8 = 255;
/// Extension headers walked before the packet is taken for something else.
const MAX_EXTENSIONS: usize = 8;

/// (EtherType, offset of what follows) of a user's packet; none: signalling of the tunnel, or something else.
#[must_use]
pub fn header(b: &[u8]) -> Option<(u16, usize)> {
    let h: &[u8; 8] = b.first_chunk()?;
    if h[0] >> 4 != 3 || h[1] != G_PDU {
        return None; // version 1, GTP and not GTP'
    }
    let mut at = 8;
    if h[0] & 7 != 0 {
        let mut next = if h[0] & 4 != 0 { *b.get(11)? } else { 0 };
        at = 12;
        for n in 0.. {
            if next == 0 {
                break;
            }
            let length = usize::from(*b.get(at)?) * 4;
            if length == 0 || n == MAX_EXTENSIONS {
                return None;
            }
            next = *b.get(at + length - 1)?;
            at += length;
        }
    }
    let kind = match b.get(at)? >> 4 {
        4 => IPV4,
        6 => IPV6,
        _ => BRIDGED, // a session of Ethernet (TS 23.501 §5.6.10.2)
    };
    Some((kind, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_extensions() {
        assert_eq!(header(&[0x30, 255, 0, 1, 0, 0, 0, 9, 0x45]), Some((IPV4, 8)));
        assert_eq!(header(&[0x32, 255, 0, 5, 0, 0, 0, 9, 0, 1, 0, 0x85, 0x60]), Some((IPV6, 12)));
        let five_g = [0x34, 255, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0x85, 1, 0x10, 9, 0, 0x45];
        assert_eq!(header(&five_g), Some((IPV4, 16)));
        assert_eq!(header(&five_g[..15]), None);
        assert_eq!(header(&[0x34, 255, 0, 9, 0, 0, 0, 9, 0, 0, 0, 0x85, 0, 0x10, 9, 0, 0x45]), None);
        assert_eq!(header(&[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0]), None); // echo request
        assert_eq!(header(&[0x80, 255, 0, 4, 0, 0, 0, 0, 0x45]), None); // RTP looks like this
    }
}
