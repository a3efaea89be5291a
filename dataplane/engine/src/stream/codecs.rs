//! What codecs cost (ITU-T G.113 Appendix I). Only figures of the ITU stand here: anything else is unavailable.

use super::quality::Impairment;

/// Why there is no R factor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unrated {
    /// Neither SDP nor RFC 3551 names the payload type.
    UnknownCodec,
    /// No narrowband figure in G.113.
    NoFigure,
    /// No figure of this codec for losses.
    NoLossFigure,
    /// Wideband: G.107.1 has another scale.
    Wideband,
    /// The mode of the codec changes, or is not one with a figure.
    Mode,
    /// No speech: video, data.
    NotSpeech,
    /// Encrypted payload whose mode cannot be seen.
    Encrypted,
}

impl Unrated {
    /// As records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCodec => "unknown codec",
            Self::NoFigure => "no figure for this codec",
            Self::NoLossFigure => "no figure for losses with this codec",
            Self::Wideband => "wideband codec",
            Self::Mode => "codec mode without a figure",
            Self::NotSpeech => "not speech",
            Self::Encrypted => "encrypted",
        }
    }
}

/// What decides about a codec's figures beside its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    /// G.711 with packet loss concealment (G.711 Appendix I): a receiver's choice that no packet shows.
    pub plc: bool,
    /// G.729 with `annexb=no`.
    pub no_annexb: bool,
    /// Smallest and largest payload of speech, bytes.
    pub sizes: [u16; 2],
    /// SRTP: payloads are longer by its tag.
    pub srtp: bool,
}

const WIDEBAND: [&str; 9] = ["G722", "G7221", "AMR-WB", "OPUS", "SPEEX/16000", "SILK", "EVS", "L16", "MP4A-LATM"];
const NOT_SPEECH: [&str; 12] =
    ["H261", "H263", "H263-1998", "H263-2000", "H264", "H265", "VP8", "VP9", "AV1", "T140", "RED", "ULPFEC"];

/// The figures of a codec, by its encoding name (RFC 3551, RFC 4867, …).
///
/// # Errors
/// Why there are none.
pub fn impairment(name: &str, mode: Mode) -> Result<Impairment, Unrated> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let figures = |ie, bpl| Ok(Impairment { ie, bpl: Some(bpl) });
    if name.is_empty() {
        Err(Unrated::UnknownCodec)
    } else if is("PCMU") || is("PCMA") {
        figures(0.0, if mode.plc { 25.1 } else { 4.3 })
    } else if is("G729") && mode.no_annexb {
        Ok(Impairment { ie: 11.0, bpl: None })
    } else if is("G729") {
        figures(11.0, 19.0)
    } else if is("GSM-EFR") {
        figures(5.0, 10.0)
    } else if is("G723") || is("AMR") {
        by_size(is("AMR"), mode)
    } else if WIDEBAND.iter().any(|w| is(w)) {
        Err(Unrated::Wideband)
    } else if NOT_SPEECH.iter().any(|w| is(w)) {
        Err(Unrated::NotSpeech)
    } else {
        Err(Unrated::NoFigure)
    }
}

/// AMR at 12.2 kbit/s is 32 bytes a packet, octet-aligned 33 (RFC 4867 §4); G.723.1 24 a frame at 6.3 kbit/s, 20 at 5.3
/// (RFC 3551 §4.5.3).
fn by_size(amr: bool, mode: Mode) -> Result<Impairment, Unrated> {
    let [low, high] = mode.sizes;
    if mode.srtp {
        return Err(Unrated::Encrypted);
    }
    match (amr, low, high) {
        (true, 32 | 33, _) if low == high => Ok(Impairment { ie: 5.0, bpl: Some(10.0) }),
        (false, 24.., _) if low == high && low % 24 == 0 && low % 20 != 0 => {
            Ok(Impairment { ie: 15.0, bpl: Some(16.1) })
        }
        _ => Err(Unrated::Mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_itu() {
        let mode = Mode { plc: true, ..Mode::default() };
        let of = |name, mode| impairment(name, mode).map(|i| (i.ie, i.bpl));
        assert_eq!(of("PCMU", mode), Ok((0.0, Some(25.1))));
        assert_eq!(of("pcma", Mode { plc: false, ..mode }), Ok((0.0, Some(4.3))));
        assert_eq!(of("G729", mode), Ok((11.0, Some(19.0))));
        assert_eq!(of("G729", Mode { no_annexb: true, ..mode }), Ok((11.0, None)));
        assert_eq!(of("GSM-EFR", mode), Ok((5.0, Some(10.0))));
        assert_eq!(of("AMR", Mode { sizes: [32, 32], ..mode }), Ok((5.0, Some(10.0))));
        assert_eq!(of("G723", Mode { sizes: [24, 24], ..mode }), Ok((15.0, Some(16.1))));
    }

    #[test]
    fn nothing_is_guessed() {
        let mode = Mode { plc: true, ..Mode::default() };
        let of = |name, mode| impairment(name, mode).unwrap_err();
        assert_eq!(of("", mode), Unrated::UnknownCodec);
        assert_eq!(of("iLBC", mode), Unrated::NoFigure);
        assert_eq!(of("opus", mode), Unrated::Wideband);
        assert_eq!(of("G722", mode), Unrated::Wideband);
        assert_eq!(of("H264", mode), Unrated::NotSpeech);
        assert_eq!(of("AMR", Mode { sizes: [18, 32], ..mode }), Unrated::Mode);
        assert_eq!(of("G723", Mode { sizes: [20, 20], ..mode }), Unrated::Mode);
        assert_eq!(of("AMR", Mode { sizes: [32, 32], srtp: true, ..mode }), Unrated::Encrypted);
    }
}
