//! ESP without encryption (RFC 4303, RFC 2410): nothing marks it, so it is believed only where the checksum of what it
//! carries is right.

use crate::addr::Addr;
use crate::checksum;

/// UDP port of ESP through address translators (RFC 3948).
pub const PORT: u16 = 4500;
/// Security parameters index and sequence number, bytes.
const HEADER: usize = 8;
/// Lengths of the integrity check value that are tried (RFC 2403, 2404; RFC 4868).
const ICV: [usize; 2] = [12, 16];

/// (protocol, what is carried) when `b` is an ESP packet that is not encrypted, sent from one address to another.
#[must_use]
pub fn null(b: &[u8], src: Addr, dst: Addr) -> Option<(u8, &[u8])> {
    if b.get(..4)? == [0; 4] {
        return None; // IKE's mark, and no index
    }
    ICV.into_iter().find_map(|icv| {
        let body = b.get(HEADER..b.len().checked_sub(icv)?)?;
        let [rest @ .., pad, next] = body else { return None };
        let data = rest.get(..rest.len().checked_sub(usize::from(*pad))?)?;
        let padding = &rest[data.len()..];
        let monotonic = padding.iter().zip(1u8..).all(|(byte, n)| *byte == n); // RFC 4303 §2.4
        (monotonic && checksum::verifies(*next, data, src, dst)).then_some((*next, data))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(icv: usize, pad: u8) -> Vec<u8> {
        let mut b = vec![0, 0, 0x10, 1, 0, 0, 0, 7];
        // a datagram of RFC 768 between 10.0.0.1 and 10.0.0.2, its checksum made by hand
        b.extend([0x13, 0xc4, 0x13, 0xc4, 0, 10, 0x94, 0x1e, 0x30, 0x31]);
        b.extend(1..=pad);
        b.extend([pad, 17]);
        b.extend(vec![0xcc; icv]);
        b
    }

    #[test]
    fn a_datagram_whose_checksum_is_right() {
        let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
        for (icv, pad) in [(12, 0), (16, 2), (12, 4)] {
            let b = packet(icv, pad);
            let (next, data) = null(&b, src, dst).unwrap();
            assert_eq!((next, data.len()), (17, 10));
        }
        let mut b = packet(12, 2);
        b[17] ^= 1;
        assert_eq!(null(&b, src, dst), None);
        assert_eq!(null(&packet(8, 0), src, dst), None);
        assert_eq!(null(&[0; 40], src, dst), None);
    }
}
