//! Header lines: cutting the head of a message into names and values (RFC 3261 §7.3).

use super::text::{find, is_token, trim};

/// The headers that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    CallId,
    From,
    To,
    CSeq,
    Via,
    ContentLength,
    ContentType,
    UserAgent,
    Contact,
    Date,
    /// P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID, Diversion, History-Info.
    Identity,
    Reason,
    ReferTo,
    Replaces,
    SessionExpires,
    Other,
}

impl Name {
    /// By length and first letter, then the whole name; compact forms of RFC 3261 §7.3.3.
    #[inline]
    fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Other };
        let (found, header) = match (name.len(), first | 0x20) {
            (1, b'i') => (true, Self::CallId),
            (1, b'f') => (true, Self::From),
            (1, b't') => (true, Self::To),
            (1, b'v') => (true, Self::Via),
            (1, b'l') => (true, Self::ContentLength),
            (1, b'c') => (true, Self::ContentType),
            (1, b'r') => (true, Self::ReferTo),
            (1, b'x') => (true, Self::SessionExpires),
            (1, b'm') => (true, Self::Contact),
            (2, b't') => (is(name, b"To"), Self::To),
            (3, b'v') => (is(name, b"Via"), Self::Via),
            (4, b'f') => (is(name, b"From"), Self::From),
            (4, b'c') => (is(name, b"CSeq"), Self::CSeq),
            (6, b'r') => (is(name, b"Reason"), Self::Reason),
            (4, b'd') => (is(name, b"Date"), Self::Date),
            (7, b'c') if name[2] | 0x20 == b'n' => (is(name, b"Contact"), Self::Contact),
            (7, b'c') => (is(name, b"Call-ID"), Self::CallId),
            (8, b'r') if is(name, b"Replaces") => (true, Self::Replaces),
            (8, b'r') => (is(name, b"Refer-To"), Self::ReferTo),
            (9, b'd') => (is(name, b"Diversion"), Self::Identity),
            (10, b'u') => (is(name, b"User-Agent"), Self::UserAgent),
            (12, b'c') => (is(name, b"Content-Type"), Self::ContentType),
            (12, b'h') => (is(name, b"History-Info"), Self::Identity),
            (14, b'c') => (is(name, b"Content-Length"), Self::ContentLength),
            (15, b's') => (is(name, b"Session-Expires"), Self::SessionExpires),
            (15, b'r') => (is(name, b"Remote-Party-ID"), Self::Identity),
            (19, b'p') => (is(name, b"P-Asserted-Identity"), Self::Identity),
            (20, b'p') => (is(name, b"P-Preferred-Identity"), Self::Identity),
            _ => return Self::Other,
        };
        if found {
            header
        } else {
            Self::Other
        }
    }
}

/// Whether a name is this one: as it is mostly written, else in any case.
#[inline]
fn is<const N: usize>(name: &[u8], want: &[u8; N]) -> bool {
    name.first_chunk() == Some(want) || name.eq_ignore_ascii_case(want)
}

/// One header line, with what folding adds to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'a> {
    /// Where the line starts, bytes from the start of the head.
    pub at: usize,
    /// Which header it is.
    pub name: Name,
    /// The trimmed value; folding inside it is kept.
    pub value: &'a [u8],
    /// Set for a line without a colon, or whose name does not begin and end as one.
    pub broken: bool,
}

/// The header lines of a head, which ends with an empty line or with the bytes.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    b: &'a [u8],
    /// Where the next line starts; after the last one, where the body does.
    pub pos: usize,
    /// Whether the empty line was seen.
    pub terminated: bool,
    /// Whether a line ended without CR.
    pub bare_lf: bool,
}

impl<'a> Fields<'a> {
    /// Lines of `b` from `pos`, which is a line's start.
    pub fn new(b: &'a [u8], pos: usize) -> Self {
        Self { b, pos, terminated: false, bare_lf: false }
    }

    /// Where the line at `pos` ends with its folded parts: (end of its value, start of the next line).
    #[inline]
    fn line_end(&mut self) -> (usize, usize) {
        let mut from = self.pos;
        loop {
            let Some(n) = memchr::memchr(b'\n', &self.b[from..]) else { return (self.b.len(), self.b.len()) };
            let end = from + n;
            self.bare_lf |= end == 0 || self.b[end - 1] != b'\r';
            if !matches!(self.b.get(end + 1), Some(b' ' | b'\t')) {
                return (end, end + 1);
            }
            from = end + 1;
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        let at = self.pos;
        let blank = match self.b[at..] {
            [] => return None,
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => 0,
        };
        if self.terminated {
            return None;
        }
        if blank > 0 {
            self.pos += blank;
            self.terminated = true;
            self.bare_lf |= blank == 1;
            return None;
        }
        let (end, next) = self.line_end();
        self.pos = next;
        let line = &self.b[at..end];
        let Some(colon) = find(line, [b':']) else {
            return Some(Field { at, name: Name::Other, value: b"", broken: true });
        };
        let mut name = colon;
        while name > 0 && matches!(line[name - 1], b' ' | b'\t') {
            name -= 1;
        }
        let kind = Name::of(&line[..name]);
        if kind == Name::Other {
            let broken = name == 0 || !is_token(line[0]) || !is_token(line[name - 1]);
            return Some(Field { at, name: kind, value: b"", broken });
        }
        Some(Field { at, name: kind, value: trim(&line[colon + 1..]), broken: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(b: &[u8]) -> (Vec<(Name, &[u8])>, Fields<'_>) {
        let mut f = Fields::new(b, 0);
        let v = f.by_ref().map(|x| (x.name, x.value)).collect();
        (v, f)
    }

    #[test]
    fn names_long_short_and_in_any_case() {
        let (v, f) = read(b"CALL-id: a\r\ni:b\r\nFrom \t: c\r\nSubject: x\r\nq: unknown\r\nX-From: y\r\n\r\nbody");
        let known: Vec<_> = v.into_iter().filter(|(n, _)| *n != Name::Other).collect();
        assert_eq!(known, [(Name::CallId, &b"a"[..]), (Name::CallId, b"b"), (Name::From, b"c")]);
        assert!(f.terminated && !f.bare_lf);
        assert_eq!(&f.b[f.pos..], b"body");
    }

    #[test]
    fn names_of_extensions() {
        let (v, _) = read(
            b"r: a\r\nREFER-TO: b\r\nreplaces: c\r\nReason: d\r\nx: 90\r\nsession-Expires: 90\r\nReferTo1: e\r\n\r\n",
        );
        let names: Vec<_> = v.into_iter().map(|(n, _)| n).collect();
        let (refer, timer) = (Name::ReferTo, Name::SessionExpires);
        assert_eq!(names, [refer, refer, Name::Replaces, Name::Reason, timer, timer, Name::Other]);
    }

    #[test]
    fn folding_is_kept_inside_a_value() {
        let (v, _) = read(b"Call-ID:\r\n abc\r\nTo: x\r\n\t;tag=1\r\n \r\nCSeq: 1\n A\n\n");
        assert_eq!(v, [(Name::CallId, &b"abc"[..]), (Name::To, b"x\r\n\t;tag=1"), (Name::CSeq, b"1\n A")]);
    }

    #[test]
    fn bare_line_feeds_and_a_missing_end() {
        let (v, f) = read(b"i: a\nt: b");
        assert_eq!(v, [(Name::CallId, &b"a"[..]), (Name::To, b"b")]);
        assert!(f.bare_lf && !f.terminated);
    }

    #[test]
    fn lines_without_a_name() {
        let broken = |b| Fields::new(b, 0).filter(|f| f.broken).count();
        assert_eq!(broken(b"To> x\r\n: y\r\nno colon\r\n\xaa\xaa\r\nVia: z\r\n\r\n"), 4);
    }
}
