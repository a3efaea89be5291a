//! IPv6 (RFC 8200) with its extension headers.

use crate::addr::Addr;
use crate::ip::{Fragment, Ip};
use crate::refusal::Refusal;

/// Fixed header length, bytes.
pub const HEADER: usize = 40;
/// Extension headers walked before the packet is refused.
pub const MAX_EXTENSIONS: usize = 16;

/// The packet at `at`, its extension headers walked. A payload length of 0 means the rest of the frame.
///
/// # Errors
/// `Ip6Short`, `Ip6Version`, `Ip6Extension` for one that is cut, `Ip6TooManyExtensions`.
#[inline]
pub fn parse(b: &[u8], at: usize) -> Result<Ip<'_>, Refusal> {
    let b = b.get(at..).ok_or(Refusal::Ip6Short)?;
    let h: &[u8; HEADER] = b.first_chunk().ok_or(Refusal::Ip6Short)?;
    if h[0] >> 4 != 6 {
        return Err(Refusal::Ip6Version);
    }
    let total = match usize::from(u16::from_be_bytes([h[4], h[5]])) {
        0 => b.len(),
        n => HEADER + n,
    };
    let (mut at, mut next, mut fragment) = (HEADER, h[6], None);
    let end = total.min(b.len());
    for _ in 0..MAX_EXTENSIONS {
        let length = match next {
            0 | 43 | 60 | 135 | 139 | 140 => extension(b, at, end)?,
            51 => (usize::from(*b.get(at + 1).ok_or(Refusal::Ip6Extension)?) + 2) * 4, // AH, RFC 4302 §2.2
            44 => {
                let f: &[u8; 8] = b.get(at..end).and_then(<[u8]>::first_chunk).ok_or(Refusal::Ip6Extension)?;
                let bits = u16::from_be_bytes([f[2], f[3]]);
                fragment = Some(Fragment {
                    id: u32::from_be_bytes([f[4], f[5], f[6], f[7]]),
                    offset: bits & 0xfff8,
                    more: bits & 1 == 1,
                });
                8
            }
            _ => {
                let payload = b.get(at..end).ok_or(Refusal::Ip6Extension)?;
                return Ok(ip(h, next, fragment, total > b.len(), payload));
            }
        };
        next = *b.get(at).ok_or(Refusal::Ip6Extension)?;
        at += length;
        if let Some(f) = fragment.filter(|f| f.offset > 0) {
            // what follows belongs to the first fragment's chain: no header to walk here
            let payload = b.get(at..end).ok_or(Refusal::Ip6Extension)?;
            return Ok(ip(h, next, Some(f), total > b.len(), payload));
        }
        if fragment.is_some_and(|f| f.offset == 0 && !f.more) {
            fragment = None; // atomic, RFC 6946: a whole packet
        } else if fragment.is_some() {
            let payload = b.get(at..end).ok_or(Refusal::Ip6Extension)?;
            return Ok(ip(h, next, fragment, total > b.len(), payload));
        }
    }
    Err(Refusal::Ip6TooManyExtensions)
}

fn extension(b: &[u8], at: usize, end: usize) -> Result<usize, Refusal> {
    let length = (usize::from(*b.get(at + 1).ok_or(Refusal::Ip6Extension)?) + 1) * 8;
    if at + length > end {
        return Err(Refusal::Ip6Extension);
    }
    Ok(length)
}

fn ip<'a>(h: &[u8; HEADER], protocol: u8, fragment: Option<Fragment>, truncated: bool, payload: &'a [u8]) -> Ip<'a> {
    let word = |at: usize| -> [u8; 16] { std::array::from_fn(|i| h[at + i]) };
    Ip {
        context: 0,
        tunnels: 0,
        src: Addr::v6(word(8)),
        dst: Addr::v6(word(24)),
        protocol,
        fragment,
        truncated,
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut b = vec![0x60, 0, 0, 0, 0, u8::try_from(rest.len()).unwrap(), next, 64];
        b.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        b.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        b.extend(rest);
        b
    }

    #[test]
    fn chain_of_extensions() {
        let b = packet(0, &[60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let p = parse(&b, 0).unwrap();
        assert_eq!((p.protocol, p.payload), (17, &[1u8, 2, 3][..]));
        assert_eq!(p.dst.to_string(), "2001:db8::2");
    }

    #[test]
    fn fragments() {
        let b = packet(44, &[17, 0, 0, 0x09, 0, 0, 0, 5, 1, 2]);
        let f = parse(&b, 0).unwrap().fragment.unwrap();
        assert_eq!((f.id, f.offset, f.more), (5, 8, true));
        let atomic = packet(44, &[17, 0, 0, 0, 0, 0, 0, 5, 1, 2]);
        let p = parse(&atomic, 0).unwrap();
        assert_eq!((p.fragment, p.protocol, p.payload), (None, 17, &[1u8, 2][..]));
    }

    #[test]
    fn refusals() {
        assert_eq!(parse(&packet(44, &[17, 0]), 0).unwrap_err(), Refusal::Ip6Extension);
        assert_eq!(parse(&packet(0, &[17, 9, 0, 0, 0, 0, 0, 0]), 0).unwrap_err(), Refusal::Ip6Extension);
        let endless: Vec<u8> = [0u8; 8].repeat(20);
        assert_eq!(parse(&packet(0, &endless), 0).unwrap_err(), Refusal::Ip6TooManyExtensions);
        assert_eq!(parse(&[0x45; 40], 0).unwrap_err(), Refusal::Ip6Version);
    }
}
