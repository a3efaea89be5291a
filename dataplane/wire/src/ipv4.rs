//! IPv4 (RFC 791).

use crate::addr::Addr;
use crate::ip::{Fragment, Ip};
use crate::refusal::Refusal;

/// Minimum header length, bytes.
pub const HEADER: usize = 20;

/// The packet at `at`. A total length of 0 (segmentation offload) means the rest of the frame; link padding is cut.
///
/// # Errors
/// `Ip4Short`, `Ip4Version`, `Ip4HeaderLength`, `Ip4TotalLength`.
#[inline]
pub fn parse(b: &[u8], at: usize) -> Result<Ip<'_>, Refusal> {
    let b = b.get(at..).ok_or(Refusal::Ip4Short)?;
    let h: &[u8; HEADER] = b.first_chunk().ok_or(Refusal::Ip4Short)?;
    if h[0] >> 4 != 4 {
        return Err(Refusal::Ip4Version);
    }
    let header = usize::from(h[0] & 15) * 4;
    if header < HEADER {
        return Err(Refusal::Ip4HeaderLength);
    }
    let total = match u16::from_be_bytes([h[2], h[3]]) {
        0 => b.len(),
        n => usize::from(n),
    };
    if total < header {
        return Err(Refusal::Ip4TotalLength);
    }
    let payload = b.get(header..total.min(b.len())).ok_or(Refusal::Ip4Short)?;
    let frag = u16::from_be_bytes([h[6], h[7]]);
    let fragment = (frag & 0x3fff != 0).then(|| Fragment {
        id: u32::from(u16::from_be_bytes([h[4], h[5]])),
        offset: (frag & 0x1fff) << 3,
        more: frag & 0x2000 != 0,
    });
    Ok(Ip {
        context: 0,
        tunnels: 0,
        src: Addr::v4([h[12], h[13], h[14], h[15]]),
        dst: Addr::v4([h[16], h[17], h[18], h[19]]),
        protocol: h[9],
        fragment,
        truncated: total > b.len(),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: [u8; 28] =
        [0x45, 0, 0, 24, 0, 7, 0x20, 0x01, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4, 9, 9, 9, 9];

    #[test]
    fn fields_and_padding() {
        let p = parse(&H, 0).unwrap();
        assert_eq!((p.src.to_string(), p.dst.to_string()), ("10.0.0.1".into(), "10.0.0.2".into()));
        assert_eq!((p.protocol, p.payload, p.truncated), (17, &[1u8, 2, 3, 4][..], false));
        let f = p.fragment.unwrap();
        assert_eq!((f.id, f.offset, f.more), (7, 8, true));
    }

    #[test]
    fn refusals() {
        assert_eq!(parse(&H[..19], 0).unwrap_err(), Refusal::Ip4Short);
        let mut b = H;
        b[0] = 0x44;
        assert_eq!(parse(&b, 0).unwrap_err(), Refusal::Ip4HeaderLength);
        b[0] = 0x65;
        assert_eq!(parse(&b, 0).unwrap_err(), Refusal::Ip4Version);
        let mut b = H;
        b[3] = 19;
        assert_eq!(parse(&b, 0).unwrap_err(), Refusal::Ip4TotalLength);
        assert!(parse(&H[..22], 0).unwrap().truncated);
    }
}
