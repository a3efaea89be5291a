//! MPLS label stacks (RFC 3032 §2.1), and the Ethernet frames of pseudowires below them (RFC 4448).

use crate::checksum;
use crate::ethernet::{looks, BRIDGED, IPV4, IPV6};
use crate::refusal::Refusal;

/// Labels walked before the frame is refused.
pub const MAX_LABELS: usize = 16;

/// Control word of a pseudowire, bytes (RFC 4385 §3); its first nibble is 0.
const CONTROL_WORD: usize = 4;

/// EtherType below the label stack at `at`, told by the version nibble (RFC 4928 §2), and where it begins. Nothing says
/// whether a pseudowire has a control word: what makes sense is taken.
///
/// # Errors
/// `MplsShort` when cut, `TooManyLabels`, `MplsPayload` for what is neither IP nor a known Ethernet frame.
pub fn header(b: &[u8], mut at: usize) -> Result<(u16, usize), Refusal> {
    for _ in 0..MAX_LABELS {
        let entry = b.get(at..at + 4).ok_or(Refusal::MplsShort)?;
        at += 4;
        if entry[2] & 1 == 1 {
            return match b.get(at).ok_or(Refusal::MplsShort)? >> 4 {
                4 | 6 if looks(b, at) && !is_ip(&b[at..]) => Ok((BRIDGED, at)), // a hardware address that begins so
                4 => Ok((IPV4, at)),
                6 => Ok((IPV6, at)),
                _ if looks(b, at) => Ok((BRIDGED, at)), // first: a tag makes it look right four bytes further on, too
                0 if looks(b, at + CONTROL_WORD) => Ok((BRIDGED, at + CONTROL_WORD)),
                _ => Err(Refusal::MplsPayload),
            };
        }
    }
    Err(Refusal::TooManyLabels)
}

/// Whether a header is that of IP beyond doubt.
fn is_ip(b: &[u8]) -> bool {
    let length = |at: usize| b.get(at..at + 2).map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
    match b[0] >> 4 {
        4 => b.get(..20).is_some_and(|h| h[0] & 15 > 5 || checksum::sum(h, 0) == 0xffff) && length(2) <= b.len(),
        _ => length(4) + 40 <= b.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pseudowires() {
        let mut frame = vec![0x40, 1, 2, 3, 4, 5, 0x60, 1, 2, 3, 4, 5, 8, 0, 0x45, 0];
        let label = [0, 1, 1, 64];
        assert_eq!(header(&[&label[..], &frame].concat(), 0), Ok((BRIDGED, 4)));
        assert_eq!(header(&[&label[..], &[0, 0, 0, 7], &frame].concat(), 0), Ok((BRIDGED, 8)));
        frame[0] = 0;
        assert_eq!(header(&[&label[..], &frame].concat(), 0), Ok((BRIDGED, 4)));
        frame[0] = 2;
        assert_eq!(header(&[&label[..], &frame].concat(), 0), Ok((BRIDGED, 4)));
    }

    #[test]
    fn stack_of_two() {
        assert_eq!(header(&[0, 1, 0x00, 64, 0, 2, 0x01, 64, 0x45], 0), Ok((IPV4, 8)));
        assert_eq!(header(&[0, 1, 0x00, 64], 0), Err(Refusal::MplsShort));
        assert_eq!(header(&[0u8; 100], 0), Err(Refusal::TooManyLabels));
        assert_eq!(header(&[0, 1, 1, 64, 0x00], 0), Err(Refusal::MplsPayload));
    }
}
