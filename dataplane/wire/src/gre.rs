//! GRE (RFC 2784, 2890), its older form (RFC 1701), PPTP's (RFC 2637 §4.1), and what Cisco's switches mirror in it
//! (ERSPAN, draft-foschiano-erspan).

use crate::ethernet::{be16, BRIDGED, PPP};
use crate::refusal::Refusal;

/// Protocol type of ERSPAN types I and II.
const ERSPAN: u16 = 0x88be;
/// Protocol type of ERSPAN type III.
const ERSPAN_3: u16 = 0x22eb;
const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// PPTP: acknowledgement number.
const ACKNOWLEDGEMENT: u16 = 0x0080;
/// Source route entries walked before the packet is refused.
const MAX_ROUTES: usize = 16;

/// (EtherType, offset of what follows, what tells this tunnel from another between the same addresses).
///
/// The number is the key; of ERSPAN the session, and the VLAN where the tag itself was taken off. PPTP's call number
/// differs by direction and is none.
///
/// # Errors
/// `GreShort`, `GreVersion`, `ErspanShort`, `ErspanVersion`.
pub fn header(b: &[u8]) -> Result<(u16, usize, u64), Refusal> {
    let flags = be16(b, 0).ok_or(Refusal::GreShort)?;
    let kind = be16(b, 2).ok_or(Refusal::GreShort)?;
    let version = flags & 7;
    let mut at = 4;
    if flags & (CHECKSUM | ROUTING) != 0 && version == 0 {
        at += 4;
    }
    let mut id = 0;
    if flags & KEY != 0 {
        let key = b.get(at..at + 4).and_then(<[u8]>::first_chunk).ok_or(Refusal::GreShort)?;
        id = 1 << 32 | u64::from(u32::from_be_bytes(*key));
        at += 4;
    }
    if flags & SEQUENCE != 0 {
        at += 4;
    }
    match version {
        0 => {}
        1 if kind == PPP && flags & KEY != 0 => {
            at += if flags & ACKNOWLEDGEMENT != 0 { 4 } else { 0 };
            return if at < b.len() { Ok((PPP, at, 0)) } else { Err(Refusal::NotIp) };
            // a bare acknowledgement
        }
        _ => return Err(Refusal::GreVersion),
    }
    if flags & ROUTING != 0 {
        at = routes(b, at)?;
    }
    match kind {
        // type I has no header of its own: nothing but the sequence number tells the two apart
        ERSPAN if flags & SEQUENCE == 0 => Ok((BRIDGED, at, id)),
        ERSPAN => erspan(b, at, 1, 8),
        ERSPAN_3 => {
            let more = b.get(at + 11).ok_or(Refusal::ErspanShort)? & 1; // a platform's own part
            erspan(b, at, 2, 12 + 8 * usize::from(more))
        }
        _ => Ok((kind, at, id)),
    }
}

/// Behind source route entries (RFC 1701): family, offset, length each; the last one is all zero.
fn routes(b: &[u8], mut at: usize) -> Result<usize, Refusal> {
    for _ in 0..MAX_ROUTES {
        let entry = b.get(at..at + 4).ok_or(Refusal::GreShort)?;
        at += 4 + usize::from(entry[3]);
        if entry == [0; 4] {
            return Ok(at);
        }
    }
    Err(Refusal::GreShort)
}

/// The header at `at`: version, VLAN, class, encapsulation of the tag, session.
fn erspan(b: &[u8], at: usize, version: u8, length: usize) -> Result<(u16, usize, u64), Refusal> {
    let h = b.get(at..at + length).ok_or(Refusal::ErspanShort)?;
    if h[0] >> 4 != version {
        return Err(Refusal::ErspanVersion);
    }
    let vlan = u16::from_be_bytes([h[0], h[1]]) & 0xfff;
    let session = u16::from_be_bytes([h[2], h[3]]) & 0x3ff;
    // type II: 1 and 2 say that a tag stood in the frame and does no longer, 3 that it still does, 0 that none did;
    // type III does not say it
    let tag_gone = version == 2 || matches!(h[2] >> 3 & 3, 1 | 2);
    let vlan = if tag_gone { vlan } else { 0 };
    Ok((BRIDGED, at + length, 2 << 32 | u64::from(vlan) << 16 | u64::from(session)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ethernet::IPV4;

    #[test]
    fn optional_fields() {
        assert_eq!(header(&[0, 0, 8, 0, 0x45]), Ok((IPV4, 4, 0)));
        assert_eq!(header(&[0xb0, 0, 8, 0, 1, 2, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1]), Ok((IPV4, 16, 1 << 32 | 9)));
        assert_eq!(header(&[0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 0, 4, 10, 0, 0, 1, 0, 0, 0, 0]), Ok((IPV4, 20, 0)));
        assert_eq!(header(&[0x20, 0, 8, 0, 1]), Err(Refusal::GreShort));
        assert_eq!(header(&[0, 2, 8, 0]), Err(Refusal::GreVersion));
    }

    #[test]
    fn pptp() {
        let mut p = vec![0x30, 0x81, 0x88, 0x0b, 0, 3, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(header(&p), Err(Refusal::NotIp));
        p.push(0x21);
        assert_eq!(header(&p), Ok((PPP, 16, 0)));
    }

    #[test]
    fn the_three_types_of_erspan() {
        assert_eq!(header(&[0, 0, 0x88, 0xbe]), Ok((BRIDGED, 4, 0)));
        let two = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0x64, 0x10, 0x05, 0, 0, 0, 0];
        assert_eq!(header(&two), Ok((BRIDGED, 16, 2 << 32 | 100 << 16 | 5)));
        let mut three = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0x64, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(header(&three), Err(Refusal::ErspanShort));
        three.extend([0; 8]);
        assert_eq!(header(&three), Ok((BRIDGED, 28, 2 << 32 | 100 << 16 | 5)));
        three[8] = 0x30;
        assert_eq!(header(&three), Err(Refusal::ErspanVersion));
    }
}
