//! Names of files per call: safe whatever a caller writes into a message.
//!
//! A field keeps letters, digits and `-_+@=,.`, a dot not at its beginning; every other byte is written `%XX`, so two
//! names are equal only where what they stand for is. A field that is too long is cut, and ends with a hash of all of it.

use std::fmt::Write;

/// Bytes of a field.
const MAX_FIELD: usize = 64;
/// Bytes of a name between two `/`: the limit of file systems is 255, a number and `.part` come behind.
const MAX_PART: usize = 200;
/// Directories of a pattern.
const MAX_DEPTH: usize = 8;

/// What a field of a pattern stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Date,
    Time,
    From,
    To,
    CallId,
}

const FIELDS: [(&str, Field); 5] =
    [("date", Field::Date), ("time", Field::Time), ("from", Field::From), ("to", Field::To), ("callid", Field::CallId)];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Field(Field),
}

/// `{date}/{from}_{to}_{callid}.pcapng`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Vec<Piece>>,
    extension: &'static str,
}

/// What a name is made of.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Capture time of the call's beginning, ns since 1970.
    pub ts: u64,
    /// User part of From.
    pub from: &'a [u8],
    /// User part of To.
    pub to: &'a [u8],
    /// Call-ID.
    pub id: &'a [u8],
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// One line: what is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let extension = [".pcapng", ".pcap"].into_iter().find(|e| text.ends_with(e));
        let extension = extension.ok_or("must end with .pcap or .pcapng")?;
        let stem = &text[..text.len() - extension.len()];
        let parts: Vec<Vec<Piece>> = stem.split('/').map(pieces).collect::<Result<_, _>>()?;
        if parts.len() > MAX_DEPTH {
            return Err(format!("has more than {MAX_DEPTH} parts"));
        }
        Ok(Self { parts, extension })
    }

    /// Whether files are pcapng.
    #[must_use]
    pub fn is_pcapng(&self) -> bool {
        self.extension == ".pcapng"
    }

    /// How many directories deep a file lies.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.parts.len() - 1
    }

    /// The `n`th name, from 1, of what has the same one.
    #[must_use]
    pub fn name(&self, call: Named<'_>, n: u32) -> String {
        let mut out = String::new();
        for (i, pieces) in self.parts.iter().enumerate() {
            if i > 0 {
                out.push('/');
            }
            let part: String = pieces.iter().map(|p| piece(p, call)).collect();
            out.push_str(&shortened(part, MAX_PART));
        }
        if n > 1 {
            let _ = write!(out, "~{n}");
        }
        out + self.extension
    }

    /// Whether a name below the directory is one of this pattern's, finished or not.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = name.strip_suffix(super::PART).unwrap_or(name);
        let Some(stem) = name.strip_suffix(self.extension) else { return false };
        let parts: Vec<&str> = stem.split('/').collect();
        let fits = |(pieces, part): (&Vec<Piece>, &&str)| fits(pieces, part);
        parts.len() == self.parts.len() && self.parts.iter().zip(&parts).all(fits)
    }
}

/// The pieces of one part of a pattern.
fn pieces(part: &str) -> Result<Vec<Piece>, String> {
    if part.is_empty() || part == "." || part == ".." {
        return Err("has a part that is empty, . or ..; it is relative to the directory".to_owned());
    }
    if part.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\') || part.len() > MAX_PART {
        return Err("holds a control character or a backslash, or is too long".to_owned());
    }
    let (mut out, mut rest) = (Vec::new(), part);
    while let Some(at) = rest.find(['{', '}']) {
        if at > 0 {
            out.push(Piece::Text(rest[..at].to_owned()));
        }
        let end = rest[at..].find('}').filter(|_| rest[at..].starts_with('{')).ok_or("has a single { or }")?;
        let name = &rest[at + 1..at + end];
        let known = FIELDS.iter().find(|(n, _)| *n == name);
        let names = FIELDS.map(|(n, _)| format!("{{{n}}}")).join(", ");
        out.push(Piece::Field(known.ok_or(format!("has an unknown field {{{name}}}: known are {names}"))?.1));
        rest = &rest[at + end + 1..];
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest.to_owned()));
    }
    Ok(out)
}

fn piece(piece: &Piece, call: Named<'_>) -> String {
    match piece {
        Piece::Text(text) => text.clone(),
        Piece::Field(Field::Date) => {
            let (y, m, d) = civil(call.ts / 86_400_000_000_000);
            format!("{y:04}-{m:02}-{d:02}")
        }
        Piece::Field(Field::Time) => {
            let s = call.ts / 1_000_000_000 % 86_400;
            format!("{:02}{:02}{:02}", s / 3600, s / 60 % 60, s % 60)
        }
        Piece::Field(Field::From) => safe(call.from),
        Piece::Field(Field::To) => safe(call.to),
        Piece::Field(Field::CallId) => safe(call.id),
    }
}

/// A field as a part of a file name.
fn safe(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (i, &b) in bytes.iter().enumerate() {
        let plain = b.is_ascii_alphanumeric() || b"-_+@=,".contains(&b) || (b == b'.' && i > 0);
        if plain {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        if out.len() > MAX_FIELD {
            break;
        }
    }
    if out.len() > MAX_FIELD {
        return cut(&out, MAX_FIELD, bytes);
    }
    if out.is_empty() {
        "-".to_owned()
    } else {
        out
    }
}

fn shortened(part: String, limit: usize) -> String {
    if part.len() > limit {
        cut(&part, limit, part.as_bytes())
    } else {
        part
    }
}

/// The beginning of a name, and a hash of all of it; at most `limit` bytes.
fn cut(text: &str, limit: usize, all: &[u8]) -> String {
    let hash = all.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let end = (0..=limit - 17).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}~{hash:016x}", &text[..end])
}

/// Year, month and day, UTC, of a number of days since 1970 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Whether a part of a name can have come from these pieces. Fields hold at least one byte.
fn fits(pieces: &[Piece], part: &str) -> bool {
    match pieces.split_first() {
        None => part.is_empty() || part.strip_prefix('~').is_some_and(|n| n.bytes().all(|b| b.is_ascii_alphanumeric())),
        Some((Piece::Text(text), rest)) => part.strip_prefix(text.as_str()).is_some_and(|p| fits(rest, p)),
        Some((Piece::Field(Field::Date), rest)) => {
            let date = part.get(..10).is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
            date && fits(rest, &part[10..])
        }
        Some((Piece::Field(Field::Time), rest)) => {
            part.get(..6).is_some_and(|t| t.bytes().all(|b| b.is_ascii_digit())) && fits(rest, &part[6..])
        }
        Some((Piece::Field(_), rest)) => {
            let ends = part.char_indices().map(|(i, c)| i + c.len_utf8()).take(MAX_PART);
            ends.filter(|end| *end <= MAX_FIELD + 8 || rest.is_empty()).any(|end| fits(rest, &part[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(from: &'a [u8], to: &'a [u8], id: &'a [u8]) -> Named<'a> {
        Named { ts: 1_750_000_000_000_000_000, from, to, id }
    }

    #[test]
    fn the_documented_pattern() {
        let p = Pattern::new("{date}/{from}_{to}_{callid}.pcapng").unwrap();
        let call = named(b"alice", b"+49 30", b"a84b4c76e66710@pc33.atlanta.com");
        // date -u -d @1750000000 gives 2025-06-15 15:06:40
        assert_eq!(p.name(call, 1), "2025-06-15/alice_+49%2030_a84b4c76e66710@pc33.atlanta.com.pcapng");
        assert_eq!(p.name(call, 3), "2025-06-15/alice_+49%2030_a84b4c76e66710@pc33.atlanta.com~3.pcapng");
        assert!(p.is_pcapng() && p.depth() == 1);
        assert_eq!(Pattern::new("{date}T{time}.pcap").unwrap().name(call, 1), "2025-06-15T150640.pcap");
    }

    #[test]
    fn names_that_attack_stay_parts_of_a_name() {
        let p = Pattern::new("{from}/{to}/{callid}.pcap").unwrap();
        let long = vec![b'a'; 4096];
        let slashes = vec![b'/'; 4096];
        let attacks: [&[u8]; 12] = [
            b"../../etc/passwd",
            b"..",
            b".",
            b"",
            b"/",
            b"a\0b",
            b"a\nb",
            b"CON:|<>?*\\\"",
            b"\xff\xfe\x80",
            b".part",
            &long,
            &slashes,
        ];
        for attack in attacks {
            let name = p.name(named(attack, attack, attack), 1);
            let parts: Vec<&str> = name.split('/').collect();
            assert_eq!(parts.len(), 3, "{name}");
            for part in parts {
                assert!(!part.starts_with('.') && !part.is_empty() && part.len() < 240, "{name}");
                assert!(part.bytes().all(|b| b.is_ascii_graphic() && !b"\\/:*?\"<>|".contains(&b)), "{name}");
            }
            assert!(p.matches(&name) && p.matches(&format!("{name}.part")), "{name}");
        }
    }

    #[test]
    fn equal_names_stand_for_equal_things() {
        let p = Pattern::new("{callid}.pcap").unwrap();
        let (mut a, mut b) = (vec![b'x'; 300], vec![b'x'; 300]);
        (a[299], b[299]) = (b'1', b'2');
        let pairs: [(&[u8], &[u8]); 3] = [(b"a/b", b"a%2Fb"), (&a, &b), (b"", b"\0")];
        for (a, b) in pairs {
            assert_ne!(p.name(named(b"", b"", a), 1), p.name(named(b"", b"", b), 1));
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in
            ["a", "../{callid}.pcap", "/x.pcap", "a//b.pcap", "{call}.pcap", "{from.pcap", "a}.pcap", "a\0.pcap"]
        {
            assert!(Pattern::new(text).is_err(), "{text:?}");
        }
        assert!(Pattern::new(".pcap").is_err());
    }

    #[test]
    fn only_its_own_files_are_known() {
        let p = Pattern::new("{date}/{from}_{callid}.pcapng").unwrap();
        for (name, own) in [
            ("2025-06-15/alice_1.pcapng", true),
            ("2025-06-15/alice_1~2.pcapng.part", true),
            ("2025-06-15/alice.pcapng", false),
            ("notes/alice_1.pcapng", false),
            ("2025-06-15/alice_1.pcap", false),
            ("alice_1.pcapng", false),
        ] {
            assert_eq!(p.matches(name), own, "{name}");
        }
    }

    #[test]
    fn days_and_dates() {
        // date -u -d DATE +%s / 86400
        for (days, date) in [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (20_454, (2026, 1, 1)), (20_635, (2026, 7, 1))]
        {
            assert_eq!(civil(days), date);
        }
    }
}
