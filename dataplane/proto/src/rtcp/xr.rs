//! Extended reports (RFC 3611): round trips of receivers, and what a receiver heard.

use super::report::word;

/// Blocks of a packet that are read.
const MAX_BLOCKS: usize = 64;

/// DLRR of one receiver (§4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dlrr {
    /// The receiver it is for.
    pub ssrc: u32,
    /// Middle of the NTP timestamp of its last RRTR; 0: none came.
    pub lrr: u32,
    /// Time since that came, in 65536ths of a second.
    pub dlrr: u32,
}

/// VoIP metrics (§4.7); 127 and 0 stand for what is not known, as each field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoipMetrics {
    /// The source that is judged.
    pub ssrc: u32,
    /// Share lost, in 256ths.
    pub loss: u8,
    /// Share thrown away by the jitter buffer, in 256ths.
    pub discard: u8,
    /// Shares lost or thrown away within bursts and within gaps, in 256ths.
    pub densities: [u8; 2],
    /// Mean length of bursts and of gaps, ms.
    pub durations: [u16; 2],
    /// Round trip, ms; 0: not known.
    pub round_trip: u16,
    /// Delay of the end system, ms; 0: not known.
    pub end_system: u16,
    /// R factor (G.107), 0 to 100; none: not known.
    pub r_factor: Option<u8>,
    /// MOS for listening and for conversation, times 10; none: not known.
    pub mos: [Option<u8>; 2],
    /// Jitter buffer, ms: now, and its highest.
    pub buffer: [u16; 2],
}

/// One report block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xr {
    /// Receiver reference time (§4.4): middle of the NTP timestamp.
    ReferenceTime(u32),
    /// DLRR of one receiver; a block gives as many of these as it has.
    Dlrr(Dlrr),
    /// VoIP metrics.
    Voip(VoipMetrics),
    /// Another block type.
    Other(u8),
}

/// The blocks after an XR packet's sender; what does not fit ends them.
pub(super) fn blocks(b: &[u8]) -> impl Iterator<Item = Xr> + '_ {
    let mut rest = b;
    let blocks = std::iter::from_fn(move || {
        let head: [u8; 4] = *rest.first_chunk()?;
        let len = 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (block, after) = rest[4..].split_at_checked(len)?;
        rest = after;
        Some((head[0], block))
    });
    blocks.take(MAX_BLOCKS).flat_map(|(kind, block)| {
        let (dlrr, one) = match kind {
            4 if block.len() == 8 => (&[][..], Some(Xr::ReferenceTime(word(block, 2)))),
            5 => (block, None),
            7 if block.len() == 32 => (&[][..], Some(Xr::Voip(voip(block)))),
            other => (&[][..], Some(Xr::Other(other))),
        };
        let dlrr = dlrr.chunks_exact(12).map(|c| Dlrr { ssrc: word(c, 0), lrr: word(c, 4), dlrr: word(c, 8) });
        dlrr.map(Xr::Dlrr).chain(one)
    })
}

fn voip(b: &[u8]) -> VoipMetrics {
    let half = |at: usize| (word(b, at) >> 16) as u16;
    let known = |v: u8, most: u8| (v <= most).then_some(v);
    VoipMetrics {
        ssrc: word(b, 0),
        loss: b[4],
        discard: b[5],
        densities: [b[6], b[7]],
        durations: [half(8), half(10)],
        round_trip: half(12),
        end_system: half(14),
        r_factor: known(b[20], 100),
        mos: [known(b[22], 50), known(b[23], 50)].map(|m| m.filter(|m| *m >= 10)),
        buffer: [half(26), half(28)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_time_dlrr_and_voip_metrics() {
        let mut b = vec![4, 0, 0, 2, 0xe0, 0, 0x12, 0x34, 0x56, 0x78, 0, 0];
        b.extend([5, 0, 0, 6, 0, 0, 0, 1, 0x12, 0x34, 0x56, 0x78, 0, 1, 0, 0]);
        b.extend([0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
        b.extend([7, 0, 0, 8, 0xaa, 0xbb, 0xcc, 0xdd, 13, 3, 128, 2, 0, 120, 0x10, 0, 0, 40, 0, 80]);
        b.extend([0xe2, 0xb0, 60, 16, 85, 127, 41, 127, 0x30, 0, 0, 60, 0, 120, 0, 200]);
        b.extend([1, 0, 0, 0]); // loss RLE, empty
        let all: Vec<Xr> = blocks(&b).collect();
        let metrics = VoipMetrics {
            ssrc: 0xaabb_ccdd,
            loss: 13,
            discard: 3,
            densities: [128, 2],
            durations: [120, 4096],
            round_trip: 40,
            end_system: 80,
            r_factor: Some(85),
            mos: [Some(41), None],
            buffer: [60, 120],
        };
        let dlrr = |ssrc, lrr, dlrr| Xr::Dlrr(Dlrr { ssrc, lrr, dlrr });
        let want = [
            Xr::ReferenceTime(0x1234_5678),
            dlrr(1, 0x1234_5678, 0x1_0000),
            dlrr(2, 0, 0),
            Xr::Voip(metrics),
            Xr::Other(1),
        ];
        assert_eq!(all, want);
    }

    #[test]
    fn a_block_that_does_not_fit_ends_them() {
        assert_eq!(blocks(&[7, 0, 0, 8, 1, 2]).count(), 0);
        assert_eq!(blocks(&[7, 0, 0, 1, 1, 2, 3, 4]).collect::<Vec<_>>(), [Xr::Other(7)]);
    }
}
