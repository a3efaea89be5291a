//! Where the SDP is in a body (RFC 2046 §5.1.1, RFC 3261 §7.4).

use crate::sip::text::{after_quoted, trim};

/// Multipart bodies in multipart bodies that are opened.
const MAX_DEPTH: u8 = 3;

/// The session description in a body.
pub(super) fn sdp<'a>(content_type: &[u8], body: &'a [u8], depth: u8) -> Option<&'a [u8]> {
    let end = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    let kind = trim(&content_type[..end]);
    if body.is_empty() {
        None
    } else if kind.eq_ignore_ascii_case(b"application/sdp") || (kind.is_empty() && body.starts_with(b"v=0")) {
        Some(body)
    } else if depth < MAX_DEPTH && kind.len() > 10 && kind[..10].eq_ignore_ascii_case(b"multipart/") {
        let boundary = boundary(&content_type[end..])?;
        parts(body, boundary).find_map(|part| {
            let (kind, body) = open(part);
            sdp(kind, body, depth + 1)
        })
    } else {
        None
    }
}

/// The boundary parameter, without quotes.
fn boundary(params: &[u8]) -> Option<&[u8]> {
    let mut rest = params;
    while let Some(start) = memchr::memchr(b';', rest) {
        rest = trim(&rest[start + 1..]);
        let equals = memchr::memchr(b'=', rest)?;
        let value = trim(&rest[equals + 1..]);
        let (value, len) = match value.first() {
            Some(b'"') => {
                let len = after_quoted(value)?;
                (&value[1..len - 1], len)
            }
            _ => {
                let len = memchr::memchr(b';', value).unwrap_or(value.len());
                (trim(&value[..len]), len)
            }
        };
        if trim(&rest[..equals]).eq_ignore_ascii_case(b"boundary") {
            return (!value.is_empty()).then_some(value);
        }
        let at = rest.len() - trim_start(&rest[equals + 1..]).len();
        rest = &rest[(at + len).min(rest.len())..];
    }
    None
}

fn trim_start(b: &[u8]) -> &[u8] {
    &b[b.iter().take_while(|c| crate::sip::text::is_space(**c)).count()..]
}

/// What stands between delimiter lines.
fn parts<'a, 'b>(body: &'a [u8], boundary: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
    let mut from = delimiter(body, boundary, 0).map(|(_, after)| after);
    std::iter::from_fn(move || {
        let start = from?;
        let Some((end, after)) = delimiter(body, boundary, start) else {
            from = None;
            return body.get(start..);
        };
        from = (!body[end..].starts_with(&[b"--", boundary, b"--"].concat())).then_some(after);
        Some(&body[start..end])
    })
}

/// The next delimiter line from `from`: (its start, the start of the next line).
fn delimiter(body: &[u8], boundary: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    while at < body.len() {
        let next = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |n| at + n + 1);
        if body[at..next].strip_prefix(b"--").is_some_and(|l| l.starts_with(boundary)) {
            return Some((at, next));
        }
        at = next;
    }
    None
}

/// The content type of a part, and its body.
fn open(part: &[u8]) -> (&[u8], &[u8]) {
    let (mut kind, mut at): (&[u8], usize) = (b"text/plain", 0);
    while at < part.len() {
        let next = memchr::memchr(b'\n', &part[at..]).map_or(part.len(), |n| at + n + 1);
        let line = trim(&part[at..next]);
        at = next;
        if line.is_empty() {
            break;
        }
        if let Some(colon) = memchr::memchr(b':', line) {
            let name = trim(&line[..colon]);
            if name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"c") {
                kind = trim(&line[colon + 1..]);
            }
        }
    }
    (kind, &part[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"preamble\r\n--b1\r\nContent-Type: text/plain\r\n\r\nhello v=0\r\n\
        --b1\r\nContent-type : Application/SDP\r\nContent-ID: x\r\n\r\nv=0\r\ns=-\r\n--b1--\r\nepilogue";

    #[test]
    fn a_part_of_a_multipart_body() {
        for kind in [&b"multipart/mixed;boundary=b1"[..], b"Multipart/Mixed; type=\"a;b=c\"; BOUNDARY = \"b1\" ; x=y"] {
            assert_eq!(sdp(kind, BODY, 0), Some(&b"v=0\r\ns=-\r\n"[..]));
        }
        assert_eq!(sdp(b"multipart/mixed", BODY, 0), None);
        assert_eq!(sdp(b"multipart/mixed;boundary=b2", BODY, 0), None);
        assert_eq!(sdp(b"multipart/mixed;boundary=\"", BODY, 0), None);
    }

    #[test]
    fn multipart_in_multipart_and_a_missing_end() {
        let outer = [b"--o\nContent-Type: multipart/alternative; boundary=b1\n\n", BODY].concat();
        assert_eq!(sdp(b"multipart/related;boundary=o", &outer, 0), Some(&b"v=0\r\ns=-\r\n"[..]));
        let cut = &BODY[..BODY.len() - 20];
        assert!(sdp(b"multipart/mixed;boundary=b1", cut, 0).is_some());
    }
}
