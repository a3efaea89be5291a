//! The payload types that a call's SDP names: twelve bytes each, well-known names by number.

use smallvec::SmallVec;

/// Payload types remembered of a call.
const MAX: usize = 128;
/// Longest name that is remembered, characters.
const MAX_NAME: usize = 64;

/// Names as SDP mostly writes them (IANA, RTP payload format media types); others stand with their call.
const KNOWN: [&str; 48] = [
    "",
    "PCMU",
    "PCMA",
    "G722",
    "G729",
    "telephone-event",
    "CN",
    "GSM",
    "opus",
    "OPUS",
    "G723",
    "iLBC",
    "ILBC",
    "speex",
    "SPEEX",
    "AMR",
    "AMR-WB",
    "EVS",
    "G726-16",
    "G726-24",
    "G726-32",
    "G726-40",
    "G728",
    "G7221",
    "G729D",
    "G729E",
    "GSM-EFR",
    "GSM-HR-08",
    "L16",
    "LPC",
    "DVI4",
    "SILK",
    "BV16",
    "MP4A-LATM",
    "MPEG4-GENERIC",
    "H261",
    "H263",
    "H263-1998",
    "H263-2000",
    "H264",
    "H265",
    "VP8",
    "VP9",
    "AV1",
    "red",
    "rtx",
    "ulpfec",
    "t140",
];

/// A payload type of the call's SDP: what the side that names it wants to receive (RFC 3264 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codec {
    /// Who named it: a hash of the tag.
    pub side: u32,
    /// Timestamp units a second; 0: not understood.
    pub rate: u32,
    /// RTP payload type.
    pub payload_type: u8,
    /// Which m= line.
    pub line: u8,
    /// `annexb=no` (RFC 3555): G.729 without silence suppression.
    pub no_annexb: bool,
    /// Its name: of [`KNOWN`], or behind it of the call's own.
    name: u8,
}

/// The payload types of a call.
#[derive(Debug, Default)]
pub struct Codecs {
    list: SmallVec<[Codec; 4]>,
    others: Option<Box<Own>>,
}

/// Names that only few calls have: eight bytes where there are none.
#[derive(Debug, Default)]
struct Own(Vec<Box<str>>);

impl Codecs {
    /// All of them, in the order they were first named.
    pub fn iter(&self) -> impl Iterator<Item = &Codec> {
        self.list.iter()
    }

    /// The encoding name of one of them.
    #[must_use]
    pub fn name(&self, codec: &Codec) -> &str {
        let at = usize::from(codec.name);
        let own = || self.others.as_ref()?.0.get(at - KNOWN.len()).map(|name| &**name);
        KNOWN.get(at).copied().or_else(own).unwrap_or("")
    }

    /// Notes one; what the same side said of the same type and line before is replaced.
    pub fn put(&mut self, codec: Codec, name: &str) {
        let same = |c: &Codec| (c.side, c.line, c.payload_type) == (codec.side, codec.line, codec.payload_type);
        let at = self.list.iter().position(same);
        if at.is_none() && self.list.len() >= MAX {
            return;
        }
        let codec = Codec { name: self.number(name), ..codec };
        match at {
            Some(at) => self.list[at] = codec,
            None => self.list.push(codec),
        }
    }

    /// A name's number. At most one call's types have names of their own: further ones are unknown.
    fn number(&mut self, name: &str) -> u8 {
        let own = |at: usize| u8::try_from(KNOWN.len() + at).unwrap_or(0);
        if let Some(at) = KNOWN.iter().position(|known| *known == name) {
            return u8::try_from(at).unwrap_or(0);
        }
        let name: String = name.chars().take(MAX_NAME).collect();
        let others = &mut self.others.get_or_insert_default().0;
        if let Some(at) = others.iter().position(|other| **other == *name) {
            return own(at);
        }
        if others.len() >= MAX {
            return 0;
        }
        others.push(name.into());
        own(others.len() - 1)
    }
}

impl Codec {
    /// A payload type whose name is told with it.
    #[must_use]
    pub fn new(side: u32, line: u8, payload_type: u8, rate: u32) -> Self {
        Self { side, rate, payload_type, line, no_annexb: false, name: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_written() {
        let mut all = Codecs::default();
        let said = ["PCMU", "pcmu", "x-own", "opus", "x-own", "telephone-event"];
        for (t, name) in (0..).zip(said) {
            all.put(Codec::new(1, 0, t, 8000), name);
        }
        let found: Vec<&str> = all.iter().map(|c| all.name(c)).collect();
        assert_eq!(found, said);
        assert_eq!(all.others.as_ref().map(|o| o.0.len()), Some(2));
        all.put(Codec::new(1, 0, 0, 16_000), "EVS");
        assert_eq!(all.iter().next().map(|c| (c.rate, all.name(c))), Some((16_000, "EVS")));
        assert_eq!((std::mem::size_of::<Codec>(), all.iter().count()), (12, 6));
    }

    #[test]
    fn a_hostile_description_is_bounded() {
        let mut all = Codecs::default();
        for n in 0..1000u32 {
            all.put(Codec::new(n, 0, 96, 8000), &format!("{n}-{:x<200}", ""));
        }
        assert_eq!((all.iter().count(), all.others.as_ref().map(|o| o.0.len())), (MAX, Some(MAX)));
        for n in 0..1000u32 {
            all.put(Codec::new(0, 0, 96, 8000), &format!("y{n}"));
        }
        assert_eq!(all.others.as_ref().map(|o| o.0.len()), Some(MAX));
        assert_eq!(all.iter().next().map(|c| all.name(c)), Some(""));
    }
}
