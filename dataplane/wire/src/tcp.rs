//! TCP (RFC 9293).

use crate::refusal::Refusal;

/// Minimum header length, bytes.
pub const HEADER: usize = 20;
/// FIN bit of the flags.
pub const FIN: u8 = 1;
/// SYN bit.
pub const SYN: u8 = 2;
/// RST bit.
pub const RST: u8 = 4;
/// ACK bit.
pub const ACK: u8 = 16;

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number of the first byte (or of the SYN).
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags FIN to CWR.
    pub flags: u8,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The segment in an IP payload.
///
/// # Errors
/// `TcpShort` when the header is cut, `TcpHeaderLength` for a data offset under 5 words or past the end.
#[inline]
pub fn parse(b: &[u8]) -> Result<Tcp<'_>, Refusal> {
    let h: &[u8; HEADER] = b.first_chunk().ok_or(Refusal::TcpShort)?;
    let header = usize::from(h[12] >> 4) * 4;
    if header < HEADER {
        return Err(Refusal::TcpHeaderLength);
    }
    Ok(Tcp {
        sport: u16::from_be_bytes([h[0], h[1]]),
        dport: u16::from_be_bytes([h[2], h[3]]),
        seq: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
        ack: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
        flags: h[13],
        payload: b.get(header..).ok_or(Refusal::TcpHeaderLength)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_skipped() {
        let mut s = vec![0, 80, 1, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0x60, SYN | ACK, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4, 7];
        let t = parse(&s).unwrap();
        assert_eq!((t.sport, t.dport, t.seq, t.ack, t.flags, t.payload), (80, 256, 5, 9, SYN | ACK, &[7u8][..]));
        s[12] = 0x40;
        assert_eq!(parse(&s), Err(Refusal::TcpHeaderLength));
        s[12] = 0xf0;
        assert_eq!(parse(&s), Err(Refusal::TcpHeaderLength));
    }
}
