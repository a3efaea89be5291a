//! RFC 3551's profile: what a payload type means where SDP says nothing.

use crate::rtp_stats::Clock;

/// Clock rates of RFC 3551 §6, tables 4 and 5.
pub(super) fn clock_of(payload_type: u8) -> Clock {
    let (rate, timed) = match payload_type {
        6 => (16_000, true),
        10 | 11 => (44_100, true),
        13 | 19 => (8_000, false),
        14 | 25..=34 => (90_000, true),
        16 => (11_025, true),
        17 => (22_050, true),
        _ => (8_000, true),
    };
    Clock { rate, timed, events: false }
}

/// Encoding names of RFC 3551 §6, tables 4 and 5.
pub(super) fn name_of(payload_type: u8) -> &'static str {
    const NAMES: [&str; 35] = [
        "PCMU", "", "", "GSM", "G723", "DVI4", "DVI4", "LPC", "PCMA", "G722", "L16", "L16", "QCELP", "CN", "MPA",
        "G728", "DVI4", "DVI4", "G729", "CN", "", "", "", "", "", "CelB", "JPEG", "", "nv", "", "", "H261", "MPV",
        "MP2T", "H263",
    ];
    NAMES.get(usize::from(payload_type)).copied().unwrap_or("")
}
