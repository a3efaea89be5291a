//! What SR and RR say (RFC 3550 §6.4.1).

/// What a sender says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Its NTP timestamp: seconds since 1900 and fraction, 32 bits each.
    pub ntp: u64,
    /// The middle 32 bits of that.
    pub middle: u32,
    /// The same moment in the units of its media.
    pub timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub octets: u32,
}

impl SenderInfo {
    pub(super) fn new(b: &[u8; 20]) -> Self {
        Self {
            ntp: u64::from(word(b, 0)) << 32 | u64::from(word(b, 4)),
            middle: word(b, 2),
            timestamp: word(b, 8),
            packets: word(b, 12),
            octets: word(b, 16),
        }
    }
}

/// What a receiver says of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The source.
    pub ssrc: u32,
    /// Share lost since the last report, in 256ths.
    pub fraction: u8,
    /// Lost since the beginning; negative where duplicates outnumber losses.
    pub lost: i32,
    /// Highest sequence number with its cycles.
    pub highest: u32,
    /// Interarrival jitter, in units of the media's clock.
    pub jitter: u32,
    /// Middle of the NTP timestamp of the last SR; 0: none came.
    pub lsr: u32,
    /// Time since that SR came, in 65536ths of a second.
    pub dlsr: u32,
}

impl Block {
    pub(super) const LEN: usize = 24;

    pub(super) fn new(b: &[u8; Self::LEN]) -> Self {
        let lost = word(b, 4) << 8;
        Self {
            ssrc: word(b, 0),
            fraction: b[4],
            lost: lost as i32 >> 8,
            highest: word(b, 8),
            jitter: word(b, 12),
            lsr: word(b, 16),
            dlsr: word(b, 20),
        }
    }
}

/// Big endian, at an offset; 0 beyond the end.
pub(super) fn word(b: &[u8], at: usize) -> u32 {
    b.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |w| u32::from_be_bytes(*w))
}
