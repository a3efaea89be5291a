//! MPLS label stacks (RFC 3032 §2.1).

use crate::ethernet::{IPV4, IPV6};
use crate::refusal::Refusal;

/// Labels walked before the frame is refused.
pub const MAX_LABELS: usize = 16;

/// EtherType below the label stack at `at`, told by the version nibble (RFC 4928 §2), and where it begins.
///
/// # Errors
/// `MplsShort` when cut, `TooManyLabels`, `MplsPayload` for a nibble that is neither 4 nor 6.
pub fn header(b: &[u8], mut at: usize) -> Result<(u16, usize), Refusal> {
    for _ in 0..MAX_LABELS {
        let entry = b.get(at..at + 4).ok_or(Refusal::MplsShort)?;
        at += 4;
        if entry[2] & 1 == 1 {
            return match b.get(at).ok_or(Refusal::MplsShort)? >> 4 {
                4 => Ok((IPV4, at)),
                6 => Ok((IPV6, at)),
                _ => Err(Refusal::MplsPayload),
            };
        }
    }
    Err(Refusal::TooManyLabels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stack_of_two() {
        assert_eq!(header(&[0, 1, 0x00, 64, 0, 2, 0x01, 64, 0x45], 0), Ok((IPV4, 8)));
        assert_eq!(header(&[0, 1, 0x00, 64], 0), Err(Refusal::MplsShort));
        assert_eq!(header(&[0u8; 100], 0), Err(Refusal::TooManyLabels));
        assert_eq!(header(&[0, 1, 1, 64, 0x00], 0), Err(Refusal::MplsPayload));
    }
}
