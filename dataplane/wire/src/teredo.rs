//! Teredo: IPv6 over UDP through address translators (RFC 4380 §5.1.1).

use crate::ipv6;

/// UDP port of servers and relays.
pub const PORT: u16 = 3544;

/// Offset of the IPv6 packet behind the indications of authentication and origin; none: this is something else.
#[must_use]
pub fn header(b: &[u8]) -> Option<usize> {
    let mut at = 0;
    if let [0, 1, client, value, ..] = b {
        at = 4 + usize::from(*client) + usize::from(*value) + 8 + 1;
    }
    if b.get(at..at + 2) == Some(&[0, 0]) {
        at += 8;
    }
    let h: &[u8; ipv6::HEADER] = b.get(at..)?.first_chunk()?;
    // trailers may follow (RFC 6081 §4)
    (h[0] >> 4 == 6 && usize::from(u16::from_be_bytes([h[4], h[5]])) <= b.len() - at - ipv6::HEADER).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indications_before_the_packet() {
        let mut v6 = vec![0x60, 0, 0, 0, 0, 1, 17, 64];
        v6.extend([0; 33]);
        assert_eq!(header(&v6), Some(0));
        let origin = [&[0, 0, 1, 2, 3, 4, 5, 6][..], &v6].concat();
        assert_eq!(header(&origin), Some(8));
        let both = [&[0, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0][..], &origin].concat();
        assert_eq!(header(&both), Some(21));
        assert_eq!(header(&v6[..40]), None); // less than it says
        v6[0] = 0x45;
        assert_eq!(header(&v6), None);
    }
}
