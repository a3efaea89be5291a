//! UDP (RFC 768).

use crate::refusal::Refusal;

/// Header length, bytes.
pub const HEADER: usize = 8;

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// What the length field covers and the capture holds.
    pub payload: &'a [u8],
}

/// The datagram in an IP payload.
///
/// # Errors
/// `UdpShort` when the header is cut, `UdpLength` for a length field under 8 (0, a jumbogram, means the rest).
#[inline]
pub fn parse(b: &[u8]) -> Result<Udp<'_>, Refusal> {
    let h: &[u8; HEADER] = b.first_chunk().ok_or(Refusal::UdpShort)?;
    let end = match usize::from(u16::from_be_bytes([h[4], h[5]])) {
        0 => b.len(),
        n if n < HEADER => return Err(Refusal::UdpLength),
        n => n.min(b.len()),
    };
    Ok(Udp {
        sport: u16::from_be_bytes([h[0], h[1]]),
        dport: u16::from_be_bytes([h[2], h[3]]),
        payload: &b[HEADER..end],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_field_rules() {
        let d = [0x13, 0xc4, 0x13, 0xc5, 0, 10, 0, 0, 1, 2, 3];
        assert_eq!(parse(&d), Ok(Udp { sport: 5060, dport: 5061, payload: &[1, 2] }));
        assert_eq!(parse(&d[..7]), Err(Refusal::UdpShort));
        assert_eq!(parse(&[0, 1, 0, 2, 0, 7, 0, 0]), Err(Refusal::UdpLength));
    }
}
