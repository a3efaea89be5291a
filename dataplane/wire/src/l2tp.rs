//! L2TP version 2 (RFC 2661) and 3 (RFC 3931), over UDP and over IP.

use crate::ethernet::{be16, looks, BRIDGED, IPV4, IPV6, PPP};

/// UDP port.
pub const PORT: u16 = 1701;
/// A packet of control.
const CONTROL: u8 = 0x80;
const RESERVED: u8 = 0x34;
const LENGTH: u8 = 0x40;
const SEQUENCE: u8 = 0x08;
const OFFSET: u8 = 0x02;

/// (EtherType, offset of what follows) of a packet of data in UDP; none: control, or something else.
#[must_use]
pub fn over_udp(b: &[u8]) -> Option<(u16, usize)> {
    let flags = *b.first()?;
    match b.get(1)? {
        2 if flags & (CONTROL | RESERVED) == 0 => {
            let mut at = if flags & LENGTH != 0 { 8 } else { 6 };
            if flags & SEQUENCE != 0 {
                at += 4;
            }
            if flags & OFFSET != 0 {
                at += 2 + usize::from(be16(b, at)?);
            }
            (at < b.len()).then_some((PPP, at))
        }
        3 if flags == 0 => session(b, 4),
        _ => None,
    }
}

/// The same over IP: session 0 is control.
#[must_use]
pub fn over_ip(b: &[u8]) -> Option<(u16, usize)> {
    session(b, 0)
}

/// Version 3: a session number, a cookie of 0, 4 or 8 bytes, perhaps a sublayer of 4; both ends know how long they are,
/// and nothing in the packet says it (RFC 3931 §4.1). What makes sense first counts.
fn session(b: &[u8], at: usize) -> Option<(u16, usize)> {
    if b.get(at..at + 4)? == [0; 4] {
        return None;
    }
    let first = at + 4;
    let found = [0, 4, 8, 12].into_iter().find_map(|more| looks(b, first + more).then_some((BRIDGED, first + more)));
    found.or_else(|| {
        [0, 4, 8, 12].into_iter().find_map(|more| match b.get(first + more..)? {
            [0xff, 3, ..] => Some((PPP, first + more)),
            [0x45, _, high, low, ..] if usize::from(u16::from_be_bytes([*high, *low])) == b.len() - first - more => {
                Some((IPV4, first + more))
            }
            [0x60..=0x6f, _, _, _, high, low, ..]
                if usize::from(u16::from_be_bytes([*high, *low])) + 40 == b.len() - first - more =>
            {
                Some((IPV6, first + more))
            }
            _ => None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_two() {
        assert_eq!(over_udp(&[0, 2, 0, 1, 0, 2, 0xff, 3, 0, 0x21]), Some((PPP, 6)));
        assert_eq!(over_udp(&[0x4a, 2, 0, 20, 0, 1, 0, 2, 0, 0, 0, 0, 0, 2, 9, 9, 0x21]), Some((PPP, 16)));
        assert_eq!(over_udp(&[0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn version_three_with_any_cookie() {
        let mut frame = vec![2; 12];
        frame.extend([8, 0, 0x45, 0]);
        for cookie in [0, 4, 8] {
            let ip = [&[0, 0, 0, 5][..], &vec![0xaa; cookie], &frame].concat();
            assert_eq!(over_ip(&ip), Some((BRIDGED, 4 + cookie)));
            assert_eq!(over_udp(&[&[0, 3, 0, 0][..], &ip].concat()), Some((BRIDGED, 8 + cookie)));
        }
        assert_eq!(over_ip(&[0, 0, 0, 0, 0xc8, 3, 0, 20]), None);
        assert_eq!(over_ip(&[0, 0, 0, 5, 0xff, 3, 0, 0x21]), Some((PPP, 4)));
        assert_eq!(over_ip(&[0, 0, 0, 5, 0x45, 0, 0, 5, 0]), Some((IPV4, 4)));
    }
}
