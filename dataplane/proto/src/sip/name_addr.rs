//! Names and addresses in header values: From, To and the lists of identities (RFC 3261 §20.10).

use super::text::{after_quoted, find, has_blank_or_control, is_space, trim};
use super::uri::Uri;

/// One name and address, as slices of the header value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NameAddr<'a> {
    /// The display name, quotes and escapes kept; empty when there is none.
    pub display: &'a [u8],
    /// The URI without angle brackets; empty when none could be read.
    pub uri: &'a [u8],
    /// Who the URI names; see [`Uri::user`].
    pub user: &'a [u8],
    /// Where; see [`Uri::host`].
    pub host: &'a [u8],
    /// The tag parameter, empty when there is none.
    pub tag: &'a [u8],
    /// All header parameters, from the first semicolon.
    pub params: &'a [u8],
}

impl<'a> NameAddr<'a> {
    /// Reads one value. The flag is false when it is no name and address: quotes or brackets are not balanced, or
    /// the URI has no scheme.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> (Self, bool) {
        let Some((display, inner, params)) = split(value) else { return (Self::default(), false) };
        let uri = trim(inner);
        let spaced = uri.len() < inner.len(); // RFC 4475 §3.1.2.14
        let Uri { user, host } = Uri::new(uri);
        let clean = !spaced
            && is_display(display)
            && !has_blank_or_control(uri)
            && (!host.is_empty() || find(uri, [b':']).is_some());
        (Self { display, uri, user, host, tag: param(params, b"tag").unwrap_or_default(), params }, clean)
    }
}

/// The URI alone; empty when none could be read.
#[inline]
pub(crate) fn uri(value: &[u8]) -> &[u8] {
    split(value).map_or(b"", |(_, inner, _)| trim(inner))
}

/// Display name, URI with what white space the brackets hold, parameters.
fn split(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let Some(i) = bracket(value)? else {
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        return Some((b"", trim(&value[..end]), &value[end..]));
    };
    let end = i + memchr::memchr(b'>', &value[i..])?;
    Some((trim(&value[..i]), &value[i + 1..end], trim(&value[end + 1..])))
}

/// Where the bracket before the URI is. The first None: a quoted name that does not end; the second: a bare URI.
fn bracket(value: &[u8]) -> Option<Option<usize>> {
    let mut at = 0;
    while let Some(i) = memchr::memchr2(b'<', b'"', &value[at..]) {
        let i = at + i;
        let before = &value[at..i];
        if at == 0 && memchr::memchr(b';', before).is_some_and(|end| memchr::memchr(b':', &before[..end]).is_some()) {
            return Some(None); // in the parameters of a bare URI
        }
        if value[i] == b'<' {
            return Some(Some(i));
        }
        match after_quoted(&value[i..]) {
            Some(n) => at = i + n,
            None if trim(before).is_empty() => return None,
            None => return Some(memchr::memchr(b'<', &value[i..]).map(|n| i + n)),
        }
    }
    Some(None)
}

/// A quoted string, or words without separators but white space (RFC 4475 §3.1.2.15 has a comma in one).
fn is_display(b: &[u8]) -> bool {
    b.is_empty() || b[0] == b'"' || !b.iter().any(|c| matches!(c, b',' | b';' | b':' | b'@' | b'"' | b'>'))
}

/// The value of a header parameter; empty when it has no value. White space around `;` and `=` is allowed.
pub(crate) fn param<'a>(params: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = params;
    while let Some(start) = memchr::memchr(b';', rest) {
        rest = &rest[start + 1..];
        if let Some(value) = rest.strip_prefix(name).and_then(|r| r.strip_prefix(b"=")) {
            let end = value.iter().position(|c| *c <= b' ' || matches!(c, b';' | b',' | b'"')).unwrap_or(value.len());
            if end == value.len() || matches!(value[end], b';' | b',') {
                return Some(&value[..end]);
            }
        }
        let end = rest.iter().position(|c| matches!(c, b';' | b'=' | b'"' | b',')).unwrap_or(rest.len());
        let found = trim(&rest[..end]).eq_ignore_ascii_case(name);
        if rest.get(end) != Some(&b'=') {
            if found {
                return Some(b"");
            }
            rest = &rest[end..];
            continue;
        }
        let value = &rest[end + 1..];
        let lead = value.iter().take_while(|c| is_space(**c)).count();
        let len = match value.get(lead) {
            Some(b'"') => lead + after_quoted(&value[lead..]).unwrap_or(value.len() - lead),
            _ => value.iter().position(|c| matches!(c, b';' | b',')).unwrap_or(value.len()),
        };
        if found {
            return Some(trim(&value[..len]));
        }
        rest = &value[len..];
    }
    None
}

/// The values of a comma-separated header; commas in quotes and in brackets do not separate.
#[derive(Clone, Debug)]
pub(crate) struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    pub fn new(value: &'a [u8]) -> Self {
        Self(value)
    }
}

impl<'a> Iterator for List<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let b = self.0;
        let mut at = 0;
        while let Some(i) = memchr::memchr3(b',', b'"', b'<', &b[at..]) {
            at += i;
            match b[at] {
                b',' => {
                    self.0 = &b[at + 1..];
                    return Some(&b[..at]);
                }
                b'"' => at += after_quoted(&b[at..]).unwrap_or(b.len() - at),
                _ => at += memchr::memchr(b'>', &b[at..]).unwrap_or(b.len() - at),
            }
        }
        self.0 = b"";
        Some(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (String, String, String, bool) {
        let (n, clean) = NameAddr::parse(value.as_bytes());
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (text(n.display), text(n.uri), text(n.tag), clean)
    }

    fn want(display: &str, uri: &str, tag: &str, clean: bool) -> (String, String, String, bool) {
        (display.into(), uri.into(), tag.into(), clean)
    }

    #[test]
    fn forms_of_rfc_3261() {
        let good = [
            (
                r#""A. G. Bell" <sip:agb@bell-telephone.com> ;tag=a48s"#,
                r#""A. G. Bell""#,
                "sip:agb@bell-telephone.com",
                "a48s",
            ),
            ("sip:+12125551212@server.phone2net.com;tag=887s", "", "sip:+12125551212@server.phone2net.com", "887s"),
            ("Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8", "Anonymous", "sip:c8oqz84zk7z@privacy.org", "hyh8"),
            ("<sip:a@b;tag=no>;x;TAG = yes ", "", "sip:a@b;tag=no", "yes"),
            ("\r\n sip:v@c ;\r\n\ttag    = 1918181833n", "", "sip:v@c", "1918181833n"),
            (r#"<sip:a@b>;x="<sip:q@w>;tag=1";tag=2"#, "", "sip:a@b", "2"),
            (r#"sip:a@b;x="<sip:q@w>";tag=2"#, "", "sip:a@b", "2"),
        ];
        for (value, display, uri, tag) in good {
            assert_eq!(read(value), want(display, uri, tag, true), "{value}");
        }
    }

    #[test]
    fn quotes_hide_uris() {
        let value = r#""J Rosenberg \\\"" <sip:jdrosen@example.com>"#;
        assert_eq!(read(value), want(r#""J Rosenberg \\\"""#, "sip:jdrosen@example.com", "", true));
        let value = r#""q\" <sip:alice@x>" <sip:bob@y>"#;
        assert_eq!(read(value).1, "sip:bob@y");
    }

    #[test]
    fn wrong_ones() {
        assert_eq!(read(r#""Mr. J. User <sip:j.user@example.com>"#), want("", "", "", false));
        assert_eq!(read("<sip:a@b;tag=1"), want("", "", "", false));
        assert_eq!(read("\"W, T\" < sip:t@e.org >"), want("\"W, T\"", "sip:t@e.org", "", false));
        assert_eq!(read("Bell, Alexander <sip:a@b>;tag=43"), want("Bell, Alexander", "sip:a@b", "43", false));
        assert_eq!(read(r#"\"arik\" <sip:a@b>;tag=6"#), want(r#"\"arik\""#, "sip:a@b", "6", false));
        assert_eq!(read("x\" <sip:a@b>"), want("x\"", "sip:a@b", "", false));
        assert_eq!(read(r#"x "<sip:q@w>" <sip:a@b>"#).1, "sip:a@b");
        assert_eq!(read("bob"), want("", "bob", "", false));
        assert_eq!(read(""), want("", "", "", false));
    }

    #[test]
    fn parameters() {
        assert_eq!(param(b";branch=z9hG4bK ;rport", b"branch"), Some(&b"z9hG4bK"[..]));
        assert_eq!(param(b";rport;branch=1", b"rport"), Some(&b""[..]));
        assert_eq!(param(b";;,;,,", b"branch"), None);
        assert_eq!(param(b";a=\";branch=1\"", b"branch"), None);
        assert_eq!(param(b";a=\";branch=1", b"branch"), None);
    }

    #[test]
    fn lists() {
        let list = |s: &'static str| {
            List::new(s.as_bytes()).map(|b| std::str::from_utf8(trim(b)).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            list(r#""A, B" <sip:a@b>, <tel:+1>,<sip:x,y@z>"#),
            [r#""A, B" <sip:a@b>"#, "<tel:+1>", "<sip:x,y@z>"]
        );
        assert_eq!(list("a,,b"), ["a", "", "b"]);
        assert_eq!(list("<a,b"), ["<a,b"]);
        assert_eq!(list("\"a,b"), ["\"a,b"]);
        assert!(list("").is_empty());
    }
}
