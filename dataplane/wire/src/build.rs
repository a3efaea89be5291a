//! A frame for what came without one: Ethernet, IP and UDP (RFC 768, 791, 8200) around a payload.

use std::net::IpAddr;

use crate::addr::Addr;
use crate::ethernet::{IPV4, IPV6};

/// What such frames are told by: both Ethernet addresses are locally administered and spell "HEP", the sender's ends in
/// 0, the receiver's in 1.
pub const MARK: [u8; 5] = [0x02, b'H', b'E', b'P', 0];

const UDP: usize = 8;
const LONGEST: usize = 65_535;

/// Appends the frame to `out`; false where the payload does not fit into one datagram, or the families differ.
pub fn udp_frame(out: &mut Vec<u8>, from: (Addr, u16), to: (Addr, u16), vlan: Option<u16>, payload: &[u8]) -> bool {
    let len = payload.len() + UDP;
    let (src, dst) = (from.0.to_ip(), to.0.to_ip());
    let header = match (src, dst) {
        (IpAddr::V4(_), IpAddr::V4(_)) => 20,
        (IpAddr::V6(_), IpAddr::V6(_)) => 0, // its length is that of the payload
        _ => return false,
    };
    if len + header > LONGEST {
        return false;
    }
    out.extend(MARK);
    out.push(1);
    out.extend(MARK);
    out.push(0);
    if let Some(vlan) = vlan {
        out.extend([0x81, 0]);
        out.extend(vlan.to_be_bytes());
    }
    let mut sum = Sum::default();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            out.extend(IPV4.to_be_bytes());
            let at = out.len();
            out.extend([0x45, 0]);
            out.extend(((len + header) as u16).to_be_bytes());
            out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]); // not to be fragmented
            out.extend(src.octets());
            out.extend(dst.octets());
            let check = Sum::default().add(&out[at..]).end();
            out[at + 10..at + 12].copy_from_slice(&check.to_be_bytes());
            sum = sum.add(&src.octets()).add(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            out.extend(IPV6.to_be_bytes());
            out.extend([0x60, 0, 0, 0]);
            out.extend((len as u16).to_be_bytes());
            out.extend([17, 64]);
            out.extend(src.octets());
            out.extend(dst.octets());
            sum = sum.add(&src.octets()).add(&dst.octets());
        }
        _ => {}
    }
    let udp = [from.1, to.1, len as u16];
    sum = sum.add(&[0, 17]).add(&(len as u16).to_be_bytes());
    for word in udp {
        out.extend(word.to_be_bytes());
        sum = sum.add(&word.to_be_bytes());
    }
    let check = match sum.add(payload).end() {
        0 => 0xffff,
        n => n,
    };
    out.extend(check.to_be_bytes());
    out.extend(payload);
    true
}

/// The Internet checksum (RFC 1071); all parts but the last have an even length.
#[derive(Clone, Copy, Default)]
struct Sum(u64);

impl Sum {
    fn add(self, b: &[u8]) -> Self {
        let words = b.chunks(2).map(|w| u64::from(w[0]) << 8 | w.get(1).map_or(0, |b| u64::from(*b)));
        Self(self.0 + words.sum::<u64>())
    }

    fn end(self) -> u16 {
        let mut n = self.0;
        while n > 0xffff {
            n = (n & 0xffff) + (n >> 16);
        }
        !(n as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode, udp, LinkType};

    #[test]
    fn is_decoded_again() {
        let six: Addr = "2001:db8::1".parse::<IpAddr>().unwrap().into();
        for (a, b) in [(Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2])), (six, six)] {
            for vlan in [None, Some(5)] {
                let mut f = Vec::new();
                assert!(udp_frame(&mut f, (a, 5060), (b, 5080), vlan, b"odd"));
                let ip = decode(LinkType::ETHERNET, &f).unwrap();
                assert_eq!((ip.src, ip.dst, ip.protocol), (a, b, 17));
                let u = udp::parse(ip.payload).unwrap();
                assert_eq!((u.sport, u.dport, u.payload), (5060, 5080, &b"odd"[..]));
                assert_eq!(f[..5], MARK);
            }
        }
    }

    /// RFC 1071 §3: 00 01 f2 03 f4 f5 f6 f7 sums to dd f2 before the complement.
    #[test]
    fn the_sum_of_rfc_1071() {
        assert_eq!(Sum::default().add(&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]).end(), !0xddf2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (four, six) = (Addr::v4([10, 0, 0, 1]), Addr::v6([1; 16]));
        let mut f = Vec::new();
        assert!(!udp_frame(&mut f, (four, 1), (six, 1), None, b"x"));
        assert!(!udp_frame(&mut f, (four, 1), (four, 1), None, &[0; 65_508]));
        assert!(f.is_empty());
        assert!(udp_frame(&mut f, (four, 1), (four, 1), None, &[0; 65_507]));
    }
}
