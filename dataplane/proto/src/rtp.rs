//! RTP (RFC 3550 §5.1).

/// Length of the fixed header, bytes.
pub const HEADER: usize = 12;

/// One packet's header, and where its payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtp {
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Where the payload starts, bytes: after contributing sources and header extension.
    pub payload_offset: usize,
    /// Its length, bytes, without padding.
    pub payload_len: usize,
}

/// The packet in a datagram; none unless it is version 2 and holds all of its header.
///
/// RTCP has the same version bits: ask [`crate::rtcp::parse`] first where both may come (RFC 5761 §4). A padding
/// count that cannot be right (the capture may have cut the packet) is taken as no padding.
#[inline]
#[must_use]
pub fn parse(b: &[u8]) -> Option<Rtp> {
    let h: &[u8; HEADER] = b.first_chunk()?;
    if h[0] >> 6 != 2 {
        return None;
    }
    let mut offset = HEADER + 4 * usize::from(h[0] & 15);
    if h[0] & 0x10 != 0 {
        let words: &[u8; 4] = b.get(offset..)?.first_chunk()?;
        offset += 4 + 4 * usize::from(u16::from_be_bytes([words[2], words[3]]));
    }
    let room = b.len().checked_sub(offset)?;
    let padding = if h[0] & 0x20 != 0 { usize::from(b[b.len() - 1]) } else { 0 };
    Some(Rtp {
        payload_type: h[1] & 0x7f,
        marker: h[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([h[2], h[3]]),
        timestamp: u32::from_be_bytes([h[4], h[5], h[6], h[7]]),
        ssrc: u32::from_be_bytes([h[8], h[9], h[10], h[11]]),
        payload_offset: offset,
        payload_len: room.checked_sub(padding).unwrap_or(room),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 16] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 160, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

    #[test]
    fn fields_of_the_fixed_header() {
        let want = Rtp {
            payload_type: 8,
            marker: true,
            sequence: 0x1234,
            timestamp: 160,
            ssrc: 0xdead_beef,
            payload_offset: 12,
            payload_len: 4,
        };
        assert_eq!(parse(&PLAIN), Some(want));
        assert_eq!(parse(&PLAIN[..12]).map(|p| p.payload_len), Some(0));
        assert_eq!(parse(&PLAIN[..11]), None);
    }

    #[test]
    fn version_must_be_two() {
        for first in [0x00, 0x40, 0xc0] {
            let mut b = PLAIN;
            b[0] = first;
            assert_eq!(parse(&b), None);
        }
    }

    #[test]
    fn contributing_sources_extension_and_padding() {
        let mut b = vec![0xb1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]; // padding, extension, one source
        b.extend([9, 9, 9, 9]); // CSRC
        b.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]); // RFC 8285, one word
        b.extend([7, 7, 7, 0, 0, 3]);
        let p = parse(&b).unwrap();
        assert_eq!((p.payload_offset, p.payload_len), (24, 3));
        assert_eq!(parse(&b[..23]), None, "cut in the extension");
        let last = b.len() - 1;
        b[last] = 200;
        assert_eq!(parse(&b).unwrap().payload_len, 6, "padding longer than the packet");
    }
}
