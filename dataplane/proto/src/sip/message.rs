//! A whole message (RFC 3261 §7): start line, the headers that matter, body.

use super::headers::{Field, Fields, Name};
use super::name_addr::{param, uri, List, NameAddr};
use super::problems::{Problem, Problems, Refusal};
use super::start_line::{blank, line, parse_into, StartLine};
use super::text::{after_quoted, find, is_space, number, trim};

/// Identity headers that are remembered; what comes after them is found again when it is asked for.
const IDENTITIES: usize = 6;

/// One message. All slices are of the bytes it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: StartLine<'a>,
    /// Call-ID, empty when there is none.
    pub call_id: &'a [u8],
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// The number of CSeq.
    pub cseq: Option<u32>,
    /// The method of CSeq, empty when there is none.
    pub cseq_method: &'a [u8],
    /// The branch of the top Via, empty when there is none.
    pub branch: &'a [u8],
    /// User-Agent, empty when there is none.
    pub user_agent: &'a [u8],
    /// Content-Type with its parameters, empty when there is none.
    pub content_type: &'a [u8],
    /// Content-Length when it is a number.
    pub content_length: Option<u64>,
    /// As many bytes after the head as Content-Length says and there are; all of them when it says nothing.
    pub body: &'a [u8],
    /// Bytes up to the body.
    pub head_len: usize,
    /// Bytes of head and body.
    pub total_len: usize,
    /// What is wrong with it.
    pub problems: Problems,
    /// Headers of extensions.
    pub more_headers: Extensions<'a>,
    identities: [&'a [u8]; IDENTITIES],
    identity_count: usize,
    /// Header lines from the first identity that found no room.
    more: &'a [u8],
}

/// Headers of extensions that tell what becomes of a call; each the first of its kind, empty when there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    /// Reason (RFC 3326).
    pub reason: &'a [u8],
    /// Refer-To (RFC 3515).
    pub refer_to: &'a [u8],
    /// Replaces (RFC 3891).
    pub replaces: &'a [u8],
    /// Session-Expires (RFC 4028).
    pub session_expires: &'a [u8],
}

/// Reads one message from the start of a datagram, or from the bytes that [`super::frame`] cut out of a stream.
///
/// # Errors
/// Only for what is no SIP; everything else is read as far as it goes and labelled in [`Message::problems`].
pub fn parse(b: &[u8]) -> Result<Message<'_>, Refusal> {
    let from = blank(b);
    if from == b.len() {
        return Err(Refusal::Empty);
    }
    let mut problems = Problems::default();
    let (first, ended) = line(&b[from..]);
    let start = parse_into(first, &mut problems)?;
    let mut at = from + first.len();
    if ended {
        let crlf = b[at..].starts_with(b"\r\n");
        problems.add_if(!crlf, Problem::LineEnding);
        at += if crlf { 2 } else { 1 };
    }
    let mut m = Message::new(start, problems);
    let mut fields = Fields::new(b, at);
    for f in fields.by_ref() {
        m.field(b, &f);
    }
    m.problems.add_if(fields.bare_lf, Problem::LineEnding);
    m.problems.add_if(!fields.terminated, Problem::HeadUnterminated);
    m.finish(&b[fields.pos..], fields.pos);
    Ok(m)
}

impl<'a> Message<'a> {
    fn new(start: StartLine<'a>, problems: Problems) -> Self {
        Self {
            start,
            call_id: b"",
            from: NameAddr::default(),
            to: NameAddr::default(),
            cseq: None,
            cseq_method: b"",
            branch: b"",
            user_agent: b"",
            content_type: b"",
            content_length: None,
            body: b"",
            head_len: 0,
            total_len: 0,
            problems: {
                let mut all = problems;
                for p in MISSING {
                    all.add(p);
                }
                all
            },
            more_headers: Extensions::default(),
            identities: [b""; IDENTITIES],
            identity_count: 0,
            more: b"",
        }
    }

    /// Whether this is the first header of its kind.
    #[inline]
    fn first(&mut self, missing: Problem) -> bool {
        let first = self.problems.has(missing);
        self.problems.remove(missing);
        self.problems.add_if(!first, Problem::Repeated);
        first
    }

    #[inline]
    fn field(&mut self, b: &'a [u8], f: &Field<'a>) {
        match f.name {
            Name::Other => self.problems.add_if(f.broken, Problem::HeaderSyntax),
            Name::CallId => {
                if self.first(Problem::CallIdMissing) {
                    self.call_id = f.value;
                }
            }
            Name::From => {
                if self.first(Problem::FromMissing) {
                    self.from = address(f.value, Problem::From, &mut self.problems);
                } else {
                    self.identity(b, f);
                }
            }
            Name::To => {
                if self.first(Problem::ToMissing) {
                    self.to = address(f.value, Problem::To, &mut self.problems);
                } else {
                    self.identity(b, f);
                }
            }
            Name::CSeq => {
                if self.first(Problem::CSeqMissing) {
                    self.cseq(f.value);
                }
            }
            Name::Via => {
                self.problems.add_if(has_empty_part(f.value), Problem::Via);
                if self.problems.has(Problem::ViaMissing) {
                    self.problems.remove(Problem::ViaMissing);
                    self.branch = branch(f.value);
                }
            }
            Name::ContentLength => self.content_length(f.value),
            Name::ContentType if self.content_type.is_empty() => self.content_type = f.value,
            Name::UserAgent if self.user_agent.is_empty() => self.user_agent = f.value,
            Name::ContentType | Name::UserAgent => {}
            Name::Contact => self.problems.add_if(!is_contact(f.value), Problem::Contact),
            Name::Date => self.problems.add_if(!f.value.ends_with(b"GMT"), Problem::Date),
            Name::Identity => self.identity(b, f),
            Name::Reason => keep(&mut self.more_headers.reason, f.value),
            Name::ReferTo => keep(&mut self.more_headers.refer_to, f.value),
            Name::Replaces => keep(&mut self.more_headers.replaces, f.value),
            Name::SessionExpires => keep(&mut self.more_headers.session_expires, f.value),
        }
    }

    fn identity(&mut self, b: &'a [u8], f: &Field<'a>) {
        if self.identity_count < IDENTITIES {
            self.identities[self.identity_count] = f.value;
            self.identity_count += 1;
        } else if self.more.is_empty() {
            self.more = &b[f.at..];
        }
    }

    fn cseq(&mut self, value: &'a [u8]) {
        let digits = value.iter().position(|c| !c.is_ascii_digit()).unwrap_or(value.len());
        self.cseq = number(&value[..digits]).and_then(|n| u32::try_from(n).ok());
        let rest = &value[digits..];
        if rest.first().is_none_or(|c| is_space(*c)) {
            self.cseq_method = trim(rest);
        }
        let good = self.cseq.is_some_and(|n| n < 1 << 31) && !self.cseq_method.is_empty();
        self.problems.add_if(!good, Problem::CSeq);
    }

    fn content_length(&mut self, value: &[u8]) {
        match (number(value), self.content_length) {
            (None, _) => self.problems.add(Problem::ContentLength),
            (n, None) => self.content_length = n,
            (n, old) => self.problems.add_if(n != old, Problem::ContentLengthConflict),
        }
    }

    fn finish(&mut self, rest: &'a [u8], head_len: usize) {
        let room = rest.len();
        let said = self.content_length.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let len = said.map_or(room, |n| n.min(room));
        self.problems.add_if(said.is_some_and(|n| n > room), Problem::BodyShort);
        self.problems.add_if(len < room, Problem::TrailingBytes);
        self.body = &rest[..len];
        self.head_len = head_len;
        self.total_len = head_len + len;
        if let StartLine::Request { method, .. } = self.start {
            let other = !self.cseq_method.is_empty() && method != self.cseq_method;
            self.problems.add_if(other, Problem::CSeqMethod);
        }
    }

    /// The Request-URI; empty for a response. Angle brackets around it, which are wrong, are taken off.
    #[must_use]
    pub fn request_uri(&self) -> &'a [u8] {
        match self.start {
            StartLine::Request { uri, .. } => {
                let uri = uri.strip_prefix(b"<").unwrap_or(uri);
                uri.strip_suffix(b">").unwrap_or(uri)
            }
            StartLine::Response { .. } => b"",
        }
    }

    /// Every URI that says whose message it is: the Request-URI, From, To, and all values of all
    /// P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID, Diversion, History-Info headers (and of a From or
    /// To that is repeated).
    pub fn identity_uris(&self) -> impl Iterator<Item = &'a [u8]> {
        [self.request_uri(), self.from.uri, self.to.uri]
            .into_iter()
            .chain(self.other_identities())
            .filter(|u| !u.is_empty())
    }

    /// [`Self::identity_uris`] without the first three.
    pub(crate) fn other_identities(&self) -> impl Iterator<Item = &'a [u8]> {
        let known = self.identities;
        let more = Fields::new(self.more, 0)
            .filter(|f| matches!(f.name, Name::Identity | Name::From | Name::To))
            .map(|f| f.value);
        known.into_iter().take(self.identity_count).chain(more).flat_map(List::new).map(uri)
    }

    /// Whether it has other identities than Request-URI, From and To.
    pub(crate) fn has_other_identities(&self) -> bool {
        self.identity_count > 0
    }
}

/// The first header of its kind.
fn keep<'a>(place: &mut &'a [u8], value: &'a [u8]) {
    if place.is_empty() {
        *place = value;
    }
}

const MISSING: [Problem; 5] =
    [Problem::CallIdMissing, Problem::FromMissing, Problem::ToMissing, Problem::CSeqMissing, Problem::ViaMissing];

fn address<'a>(value: &'a [u8], wrong: Problem, problems: &mut Problems) -> NameAddr<'a> {
    let (address, clean) = NameAddr::parse(value);
    problems.add_if(!clean, wrong);
    address
}

/// The branch of the first value of a Via header (RFC 3261 §20.42).
fn branch(via: &[u8]) -> &[u8] {
    let Some(start) = memchr::memchr2(b';', b',', via) else { return b"" };
    if via[start] == b',' {
        return b"";
    }
    param(first_value(&via[start..]), b"branch").unwrap_or_default()
}

/// Whether parameters or values are empty: two separators without anything between them, or one at the end. What stands
/// in quotes is not looked at.
fn has_empty_part(b: &[u8]) -> bool {
    let mut rest = b;
    while let Some(i) = find(rest, [b';', b',', b'"']) {
        if rest[i] == b'"' {
            rest = &rest[i + after_quoted(&rest[i..]).unwrap_or(rest.len() - i)..];
            continue;
        }
        rest = &rest[i + 1..];
        let next = rest.iter().find(|c| !is_space(**c));
        if next.is_none_or(|c| matches!(c, b';' | b',')) {
            return true;
        }
    }
    false
}

/// Whether a Contact's last value is one: `*`, or an address whose URI stands in brackets where it must.
fn is_contact(value: &[u8]) -> bool {
    match memchr::memrchr(b'>', value) {
        Some(end) => !has_empty_part(&value[end..]),
        None => memchr::memchr(b'?', value).is_none() && !has_empty_part(value),
    }
}

/// Up to the comma before the next value.
fn first_value(params: &[u8]) -> &[u8] {
    match memchr::memchr(b',', params) {
        None => params,
        Some(_) => List::new(params).next().unwrap_or_default(),
    }
}
