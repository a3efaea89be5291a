//! What a payload type means: RFC 3551's profile, and what SDP says (RFC 3264).

use crate::call::Call;
use crate::codecs::Codec;
use crate::slab::Ref;
use crate::stream::{Carries, Clock};

/// Clock rates of RFC 3551 §6, tables 4 and 5; 0 for what it does not assign.
#[must_use]
pub fn clock_of(payload_type: u8) -> Clock {
    let (rate, carries) = match payload_type {
        6 => (16_000, Carries::Media),
        10 | 11 => (44_100, Carries::Media),
        13 | 19 => (8_000, Carries::Noise),
        14 | 25..=34 => (90_000, Carries::Media),
        16 => (11_025, Carries::Media),
        17 => (22_050, Carries::Media),
        0..=24 => (8_000, Carries::Media),
        _ => (0, Carries::Media),
    };
    Clock { rate, carries }
}

/// Encoding names of RFC 3551 §6, tables 4 and 5.
#[must_use]
pub fn name_of(payload_type: u8) -> &'static str {
    const NAMES: [&str; 35] = [
        "PCMU", "", "", "GSM", "G723", "DVI4", "DVI4", "LPC", "PCMA", "G722", "L16", "L16", "QCELP", "CN", "MPA",
        "G728", "DVI4", "DVI4", "G729", "CN", "", "", "", "", "", "CelB", "JPEG", "", "nv", "", "", "H261", "MPV",
        "MP2T", "H263",
    ];
    NAMES.get(usize::from(payload_type)).copied().unwrap_or("")
}

/// What a codec of SDP says of its packets.
#[must_use]
pub fn clock_of_codec(c: &Codec, name: &str) -> Clock {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let carries = match () {
        () if is("telephone-event") => Carries::Events,
        () if is("CN") => Carries::Noise,
        () => Carries::Media,
    };
    // G.722's RTP clock is 8000 Hz whatever is said (RFC 3551 §4.5.2)
    Clock { rate: if is("G722") { 8000 } else { c.rate }, carries }
}

/// What a payload type means from the first of `ends` to the second: as the receiver's SDP names it; where it names none,
/// as the other side does.
#[must_use]
pub fn codec_of(call: &Call, ends: [Ref; 2], payload_type: u8) -> Option<&Codec> {
    let [from, to] = call.claims_on(ends);
    let fits = |c: &Codec| match (to, from) {
        (Some(to), _) => u8::from(c.side == to.side) * 2 + u8::from(c.line == to.line),
        (None, Some(from)) => u8::from(c.side != from.side) * 2 + u8::from(c.line == from.line),
        (None, None) => 0,
    };
    call.codecs.iter().filter(|c| c.payload_type == payload_type).max_by_key(|c| fits(c))
}
