//! PPP (RFC 1661, HDLC-like framing RFC 1662) and PPPoE sessions (RFC 2516).

use crate::ethernet::{be16, IPV4, IPV6, MPLS};
use crate::refusal::Refusal;

/// PPP protocol numbers (IANA) that carry what is decoded here, as EtherTypes.
fn ethertype(protocol: u16) -> Result<u16, Refusal> {
    match protocol {
        0x0021 => Ok(IPV4),
        0x0057 => Ok(IPV6),
        0x0281 => Ok(MPLS),
        _ => Err(Refusal::NotIp),
    }
}

/// EtherType of a PPP frame at `at` and where its payload begins. The address and control bytes `ff 03` may be there
/// or compressed away (RFC 1661 §6.6), the protocol field may be one byte (§6.5).
///
/// # Errors
/// `PppShort` when cut, `NotIp` for a protocol that carries no IP.
pub fn header(b: &[u8], at: usize) -> Result<(u16, usize), Refusal> {
    let at = if b.get(at..at + 2) == Some(&[0xff, 3]) { at + 2 } else { at };
    let first = *b.get(at).ok_or(Refusal::PppShort)?;
    if first & 1 == 1 {
        return Ok((ethertype(u16::from(first))?, at + 1));
    }
    Ok((ethertype(be16(b, at).ok_or(Refusal::PppShort)?)?, at + 2))
}

/// EtherType, payload offset and session id of a PPPoE session frame at `at`.
///
/// # Errors
/// `PppoeShort` when cut, `PppoeHeader` for another version, type or code.
pub fn pppoe(b: &[u8], at: usize) -> Result<(u16, usize, u16), Refusal> {
    let h = b.get(at..at + 6).ok_or(Refusal::PppoeShort)?;
    if h[0] != 0x11 || h[1] != 0 {
        return Err(Refusal::PppoeHeader);
    }
    let session = u16::from_be_bytes([h[2], h[3]]);
    let (kind, at) = header(b, at + 6)?;
    Ok((kind, at, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_field_full_and_compressed() {
        assert_eq!(header(&[0xff, 3, 0, 0x21, 0x45], 0), Ok((IPV4, 4)));
        assert_eq!(header(&[0, 0x57, 0x60], 0), Ok((IPV6, 2)));
        assert_eq!(header(&[0x21, 0x45], 0), Ok((IPV4, 1)));
        assert_eq!(header(&[0xc0, 0x21, 1], 0), Err(Refusal::NotIp)); // LCP
        assert_eq!(header(&[0xff, 3], 0), Err(Refusal::PppShort));
    }

    #[test]
    fn pppoe_session() {
        assert_eq!(pppoe(&[0x11, 0, 0x12, 0x34, 0, 22, 0, 0x21, 0x45], 0), Ok((IPV4, 8, 0x1234)));
        assert_eq!(pppoe(&[0x21, 0, 0, 0, 0, 0, 0, 0x21], 0), Err(Refusal::PppoeHeader));
    }
}
