//! TZSP, TaZmen Sniffer Protocol: what access points and routers mirror to an analyser.

use crate::ethernet::BRIDGED;

/// UDP port.
pub const PORT: u16 = 37008;
/// Frames encapsulated are Ethernet's.
const ETHERNET: u16 = 1;
const TAG_PADDING: u8 = 0;
const TAG_END: u8 = 1;
/// Tagged fields walked before the packet is taken for something else.
const MAX_TAGS: usize = 32;

/// (EtherType, offset of what follows) of a mirrored Ethernet frame; none: anything else.
#[must_use]
pub fn header(b: &[u8]) -> Option<(u16, usize)> {
    let [1, 0 | 1, high, low, ..] = b else { return None };
    if u16::from_be_bytes([*high, *low]) != ETHERNET {
        return None;
    }
    let mut at = 4;
    for _ in 0..MAX_TAGS {
        match *b.get(at)? {
            TAG_PADDING => at += 1,
            TAG_END => return Some((BRIDGED, at + 1)),
            _ => at += 2 + usize::from(*b.get(at + 1)?),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tagged_fields() {
        assert_eq!(header(&[1, 0, 0, 1, 1, 2]), Some((BRIDGED, 5)));
        assert_eq!(header(&[1, 1, 0, 1, 0, 10, 1, 0xd8, 1, 2]), Some((BRIDGED, 9)));
        assert_eq!(header(&[1, 0, 0, 18, 1]), None); // 802.11
        assert_eq!(header(&[1, 4, 0, 0]), None); // keepalive
        assert_eq!(header(&[1, 0, 0, 1, 10]), None);
    }
}
