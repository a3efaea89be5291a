//! The first line of a message (RFC 3261 §7.1, §7.2), and the cheap test whether one begins here.

use super::problems::{Problem, Problems, Refusal};
use super::text::{has_blank_or_control, is_space, is_token, trim};
use super::uri::has_bad_port;

/// Longest method, bytes.
pub const MAX_METHOD: usize = 64;
const MAX_SCHEME: usize = 64;
/// Blank lines before the first line that are passed over (RFC 3261 §7.5), bytes.
const MAX_BLANK: usize = 16;

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartLine<'a> {
    /// A request.
    Request {
        /// As it stands, case kept.
        method: &'a [u8],
        /// The Request-URI as it stands.
        uri: &'a [u8],
    },
    /// A response.
    Response {
        /// 100 to 999; 0 when it is no such number.
        status: u16,
        /// The reason phrase, empty when there is none.
        reason: &'a [u8],
    },
}

/// How many bytes of blank lines stand before the first line.
pub(crate) fn blank(b: &[u8]) -> usize {
    b.iter().take(MAX_BLANK).take_while(|c| matches!(c, b'\r' | b'\n')).count()
}

/// Whether a SIP message begins here: its first line is complete, and [`super::parse`] accepts it.
///
/// Blank lines before it are passed over. Most other traffic fails at its first byte.
#[inline]
#[must_use]
pub fn starts(b: &[u8]) -> bool {
    match b.first() {
        Some(c) if is_token(*c) => begins(b) && parse(line(b).0).is_ok(),
        Some(b'\r' | b'\n') => {
            let b = &b[blank(b)..];
            b.first().is_some_and(|c| is_token(*c)) && begins(b) && parse(line(b).0).is_ok()
        }
        _ => false,
    }
}

/// The first line without its end, and whether it has one.
pub(crate) fn line(b: &[u8]) -> (&[u8], bool) {
    memchr::memchr2(b'\r', b'\n', b).map_or((b, false), |end| (&b[..end], true))
}

/// Whether a first line may begin here, as far as its method or version and the scheme go; bytes may end early.
pub(crate) fn begins(b: &[u8]) -> bool {
    is_version_prefix(b) || request_prefix(b)
}

/// Whether it begins as `SIP/2.0 200` does; bytes may end early.
pub(crate) fn is_version_prefix(b: &[u8]) -> bool {
    let n = b.len().min(4);
    if !b[..n].eq_ignore_ascii_case(&b"SIP/"[..n]) {
        return false;
    }
    let digit = |i: usize| b.get(i).is_none_or(u8::is_ascii_digit);
    digit(4) && b.get(5).is_none_or(|c| *c == b'.') && digit(6) && b.get(7).is_none_or(|c| *c == b' ')
}

/// Whether it begins as `INVITE sip:` does; bytes may end early.
fn request_prefix(b: &[u8]) -> bool {
    let method = token(b);
    if method > MAX_METHOD {
        return false;
    }
    let rest = &b[method..];
    let gap = rest.iter().take_while(|c| matches!(c, b' ' | b'\t')).count();
    if rest.first() != Some(&b' ') {
        return rest.is_empty();
    }
    let uri = &rest[gap..];
    let uri = uri.strip_prefix(b"<").unwrap_or(uri);
    match scheme(uri) {
        Some(_) => true,
        None => {
            uri.len() <= MAX_SCHEME
                && uri.iter().all(|c| is_scheme(*c))
                && uri.first().is_none_or(u8::is_ascii_alphabetic)
        }
    }
}

/// Bytes of the method at the start, at most one more than is allowed.
#[inline]
fn token(b: &[u8]) -> usize {
    let b = &b[..b.len().min(MAX_METHOD + 1)];
    let mut n = 0;
    while n < b.len() && is_token(b[n]) {
        n += 1;
    }
    n
}

fn is_scheme(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.')
}

/// The scheme before the colon (RFC 3986 §3.1).
pub(crate) fn scheme(uri: &[u8]) -> Option<&[u8]> {
    let n = uri.iter().take(MAX_SCHEME).take_while(|c| is_scheme(**c)).count();
    (uri.first()?.is_ascii_alphabetic() && uri.get(n) == Some(&b':')).then(|| &uri[..n])
}

/// Reads a first line, given without its line end; adds what is wrong with it.
pub(crate) fn parse_into<'a>(line: &'a [u8], problems: &mut Problems) -> Result<StartLine<'a>, Refusal> {
    if line.len() > 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return response(line, problems);
    }
    let end = token(line);
    if end == 0 || end > MAX_METHOD || line.get(end) != Some(&b' ') {
        return Err(Refusal::Method);
    }
    let rest = &line[end + 1..];
    let body = trim(rest);
    let last = memchr::memrchr2(b' ', b'\t', body).ok_or(Refusal::Version)?;
    let version = is_version(&body[last + 1..])?;
    let uri = trim(&body[..last]);
    let bare = uri.strip_prefix(b"<").unwrap_or(uri);
    scheme(bare).ok_or(Refusal::RequestUri)?;
    problems.add_if(uri.len() != last || body.len() != rest.len(), Problem::StartLineSpace);
    problems.add_if(!version, Problem::Version);
    problems.add_if(bare.len() != uri.len() || has_bad_port(bare), Problem::RequestUri);
    if has_blank_or_control(uri) {
        problems.add_if(uri.iter().any(|c| is_space(*c)), Problem::StartLineSpace);
        problems.add_if(uri.iter().any(|c| *c < b' ' && *c != b'\t'), Problem::RequestUri);
    }
    Ok(StartLine::Request { method: &line[..end], uri })
}

/// As [`parse_into`], for who asks only whether it is one.
pub(crate) fn parse(line: &[u8]) -> Result<StartLine<'_>, Refusal> {
    parse_into(line, &mut Problems::default())
}

/// Whether it is version 2.0 (true) or another one of SIP (false).
fn is_version(b: &[u8]) -> Result<bool, Refusal> {
    match b {
        [s, i, p, b'/', major, b'.', minor]
            if [*s, *i, *p].eq_ignore_ascii_case(b"SIP") && major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Ok((*major, *minor) == (b'2', b'0'))
        }
        _ => Err(Refusal::Version),
    }
}

fn response<'a>(line: &'a [u8], problems: &mut Problems) -> Result<StartLine<'a>, Refusal> {
    let end = line.iter().position(|c| *c == b' ').ok_or(Refusal::Version)?;
    let version = is_version(&line[..end])?;
    let rest = &line[end..];
    let gap = rest.iter().take_while(|c| **c == b' ').count();
    let rest = &rest[gap..];
    let digits = rest.iter().take_while(|c| c.is_ascii_digit()).count();
    if digits == 0 || rest.get(digits).is_some_and(|c| !is_space(*c)) {
        return Err(Refusal::StatusCode);
    }
    let status = rest[..digits].iter().take(4).fold(0u16, |n, c| n * 10 + u16::from(c - b'0'));
    let good = digits == 3 && status >= 100;
    problems.add_if(!good, Problem::StatusCode);
    problems.add_if(!version, Problem::Version);
    problems.add_if(gap > 1, Problem::StartLineSpace);
    Ok(StartLine::Response { status: if good { status } else { 0 }, reason: trim(&rest[digits..]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(line: &[u8]) -> Vec<&'static str> {
        let mut p = Problems::default();
        parse_into(line, &mut p).unwrap();
        p.iter().map(Problem::as_str).collect()
    }

    #[test]
    fn requests_and_responses() {
        assert_eq!(
            parse(b"INVITE sip:bob@biloxi.com SIP/2.0"),
            Ok(StartLine::Request { method: b"INVITE", uri: b"sip:bob@biloxi.com" })
        );
        assert_eq!(parse(b"SIP/2.0 200 OK"), Ok(StartLine::Response { status: 200, reason: b"OK" }));
        assert_eq!(parse(b"SIP/2.0 100 "), Ok(StartLine::Response { status: 100, reason: b"" }));
        assert_eq!(parse(b"sip/2.0 100"), Ok(StartLine::Response { status: 100, reason: b"" }));
        let odd = b"!interesting-Method0123456789_*+`.%indeed'~ urn:service:sos SIP/2.0";
        assert!(parse(odd).is_ok() && problems(odd).is_empty());
    }

    #[test]
    fn wrong_but_readable() {
        assert_eq!(problems(b"INVITE sip:user@example.com; lr SIP/2.0"), ["start_line_space"]);
        assert_eq!(problems(b"INVITE  sip:user@example.com  SIP/2.0"), ["start_line_space"]);
        assert_eq!(problems(b"OPTIONS sip:user@example.com SIP/2.0  "), ["start_line_space"]);
        assert_eq!(problems(b"INVITE <sip:user@example.com> SIP/2.0"), ["request_uri"]);
        assert_eq!(problems(b"INVITE sip:us\0er@example.com SIP/2.0"), ["request_uri"]);
        assert_eq!(problems(b"OPTIONS sip:t.watson@example.org SIP/7.0"), ["version"]);
        assert_eq!(problems(b"SIP/2.0 4294967301 better not break the receiver"), ["status_code"]);
        assert_eq!(problems(b"SIP/2.0 40  Request Timeout"), ["status_code"]);
    }

    /// Found by fuzzing: such a line was a message when it came at once, and none when it came in pieces.
    #[test]
    fn what_is_a_first_line_begins_as_one_at_every_length() {
        for letters in [1, MAX_SCHEME - 1, MAX_SCHEME, MAX_SCHEME + 1, MAX_SCHEME + 2] {
            let line = format!("a \t  {}:x SIP/2.0", "L".repeat(letters)).into_bytes();
            assert_eq!(parse(&line).is_ok(), letters <= MAX_SCHEME, "{letters}");
            let open = (1..=line.len()).all(|n| begins(&line[..n]));
            assert_eq!(open, letters <= MAX_SCHEME, "{letters}");
        }
    }

    #[test]
    fn no_sip() {
        assert_eq!(parse(b"SIP/2.0 4v1 nonce"), Err(Refusal::StatusCode));
        assert_eq!(parse(b"SIP/x.0 100 Trying"), Err(Refusal::Version));
        assert_eq!(parse(b"SIP/2.0/UDP 10.0.0.1"), Err(Refusal::Version));
        assert_eq!(parse(b"INVITEKsip:a@b SIP/2.0"), Err(Refusal::Method));
        assert_eq!(parse(b"OPTIONS rtsp://a/b RTSP/1.0"), Err(Refusal::Version));
        assert_eq!(parse(b"GET / HTTP/1.1"), Err(Refusal::Version));
        assert_eq!(parse(b"INVITE bob SIP/2.0"), Err(Refusal::RequestUri));
        assert_eq!(parse(b"INVITE SIP/2.0"), Err(Refusal::Version));
        assert_eq!(parse(b""), Err(Refusal::Method));
        assert_eq!(parse(&[b'A'; 100]), Err(Refusal::Method));
    }

    #[test]
    fn starts_with_a_whole_first_line() {
        for m in [&b"INVITE sip:a@b SIP/2.0\r\nVia: x"[..], b"SIP/2.0 180 Ringing\r\n", b"BYE  <tel:+1> SIP/2.0\n"] {
            assert!(starts(m) && starts(&[b"\r\n\r\n", m].concat()));
        }
        assert!(!starts(b"INVITE sip:a@b SI"));
    }

    #[test]
    fn starts_refuses_other_traffic() {
        for b in [
            &b""[..],
            b"\r\n\r\n",
            &[0x80, 0, 1, 2],
            &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
            b"GET / HTTP/1.1\r\n",
            b"M-SEARCH * HTTP/1.1\r\n",
            b"OPTIONS rtsp://a RTSP/1.0\r\n",
            b"Via: SIP/2.0/UDP",
            b"SIP/2.0/UDP 1.2.3.4",
            b"hello",
        ] {
            assert!(!starts(b), "{:?}", String::from_utf8_lossy(b));
        }
    }
}
