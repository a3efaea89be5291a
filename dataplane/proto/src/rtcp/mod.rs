//! RTCP (RFC 3550 §6.4, told from RTP as RFC 5761 §4 says): packets of a compound, or one alone (RFC 5506).

mod compound;
mod report;
mod sdes;
mod xr;

pub use compound::{packets, Blocks, Body, Damage, Sources};
pub use report::{Block, SenderInfo};
pub use sdes::{cnames, MAX_CNAME};
pub use xr::{Dlrr, VoipMetrics, Xr};

/// Length of the header with the sender's SSRC, bytes.
pub const HEADER: usize = 8;

/// The first packet of a compound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// 200 sender report, 201 receiver report, 202 source description, 203 goodbye, 204 application, 205 and 206
    /// feedback (RFC 4585), 207 extended report (RFC 3611).
    pub packet_type: u8,
    /// Who sent it.
    pub ssrc: u32,
}

/// The first packet of a compound: version 2, a packet type of 192 to 223, and a length that the datagram holds.
#[inline]
#[must_use]
pub fn parse(b: &[u8]) -> Option<Rtcp> {
    let h: &[u8; HEADER] = b.first_chunk()?;
    let words = usize::from(u16::from_be_bytes([h[2], h[3]]));
    if h[0] >> 6 != 2 || !(192..=223).contains(&h[1]) || words == 0 || 4 * (words + 1) > b.len() {
        return None;
    }
    Some(Rtcp { packet_type: h[1], ssrc: u32::from_be_bytes([h[4], h[5], h[6], h[7]]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receiver_report_without_blocks() {
        let b = [0x80, 201, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
        assert_eq!(parse(&b), Some(Rtcp { packet_type: 201, ssrc: 0xcafe_babe }));
    }

    #[test]
    fn rtp_and_short_packets_are_none() {
        assert_eq!(parse(&[0x80, 201, 0, 2, 1, 2, 3, 4]), None, "longer than the datagram");
        assert_eq!(parse(&[0x80, 201, 0, 0, 1, 2, 3, 4]), None, "no room for an SSRC");
        assert_eq!(parse(&[0x80, 0x88, 0, 1, 1, 2, 3, 4]), None, "RTP with the marker bit");
        assert_eq!(parse(&[0x40, 201, 0, 1, 1, 2, 3, 4]), None, "version 1");
        assert_eq!(parse(&[0x80, 201, 0]), None);
    }
}
