//! Checksums, where one decides what bytes are (RFC 1071; SCTP: RFC 9260 §6.8).

use crate::addr::Addr;
use crate::ip::Ip;
use crate::{ipv6, tcp, udp};

/// The ones' complement sum of 16-bit words.
#[must_use]
pub fn sum(bytes: &[u8], start: u32) -> u32 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w.get(1).copied().unwrap_or(0)));
    let total = words.fold(u64::from(start), |n, w| n + u64::from(w));
    let folded = (total & 0xffff) + (total >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u32
}

fn pseudo(src: Addr, dst: Addr, protocol: u8, length: usize) -> u32 {
    let both = [src, dst].map(|a| if a.to_ip().is_ipv4() { u128::from(a.0 as u32) } else { a.0 });
    let words = both.map(|a| sum(&a.to_be_bytes(), 0));
    words[0] + words[1] + u32::from(protocol) + length as u32
}

/// CRC-32C (Castagnoli), reflected.
#[must_use]
pub fn crc32c(parts: &[&[u8]]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| c >> 1 ^ (0x82f6_3b78 & (c & 1).wrapping_neg()))
    };
    !parts.iter().flat_map(|part| part.iter()).fold(u32::MAX, step)
}

/// Whether this is a whole packet of the protocol with a right checksum of its own; addresses are those of the packet
/// around it. A datagram without a checksum proves nothing.
#[must_use]
pub fn verifies(protocol: u8, b: &[u8], src: Addr, dst: Addr) -> bool {
    match protocol {
        4 => {
            let header = usize::from(b.first().copied().unwrap_or(0) & 15) * 4;
            let whole = b.get(2..4).is_some_and(|l| usize::from(u16::from_be_bytes([l[0], l[1]])) == b.len());
            header >= 20 && whole && b.get(..header).is_some_and(|h| h[0] >> 4 == 4 && sum(h, 0) == 0xffff)
        }
        41 => {
            let whole = b.get(4..6).is_some_and(|l| usize::from(u16::from_be_bytes([l[0], l[1]])) + 40 == b.len());
            // it has no checksum of its own, and a fragment none at all: the fields that must be 0 (RFC 8200 §4.5)
            let fragment =
                b.get(40..48).is_some_and(|f| b[6] == 44 && f[1] == 0 && f[3] & 6 == 0 && matches!(f[0], 6 | 17));
            let proves = |ip: Ip<'_>| match ip.fragment {
                Some(_) => fragment,
                None => ip.protocol != 41 && verifies(ip.protocol, ip.payload, ip.src, ip.dst),
            };
            whole && ipv6::parse(b, 0).is_ok_and(proves)
        }
        17 => {
            let whole = b.get(4..6).is_some_and(|l| usize::from(u16::from_be_bytes([l[0], l[1]])) == b.len());
            whole && b.len() >= udp::HEADER && b[6..8] != [0, 0] && sum(b, pseudo(src, dst, 17, b.len())) == 0xffff
        }
        6 => b.len() >= tcp::HEADER && sum(b, pseudo(src, dst, 6, b.len())) == 0xffff,
        132 => b.len() >= 12 && crc32c(&[&b[..8], &[0; 4], &b[12..]]).to_le_bytes() == b[8..12],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors() {
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283); // the catalogue's check value
                                                               // RFC 1071 §3
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], 0), 0xddf2);
        let v4 = [0x45, 0, 0, 0x14, 0, 0, 0, 0, 0x40, 17, 0x66, 0xd7, 10, 0, 0, 1, 10, 0, 0, 2];
        assert!(verifies(4, &v4, Addr(0), Addr(0)));
        assert!(!verifies(4, &v4[..19], Addr(0), Addr(0)) && !verifies(99, &v4, Addr(0), Addr(0)));
    }
}
