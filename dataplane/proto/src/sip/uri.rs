//! The parts of a URI that name somebody (RFC 3261 §19.1, RFC 3966).

use super::start_line::scheme;

/// What a URI says about whom it names. Slices of the URI, escapes kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Uri<'a> {
    /// The user part of a sip or sips URI without a password, the number of a tel URI; empty when there is none.
    pub user: &'a [u8],
    /// The host of a sip or sips URI, an IPv6 address in its brackets; empty for another scheme.
    pub host: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI as it stands between angle brackets. Another scheme than sip, sips, tel names nobody.
    #[must_use]
    pub fn new(uri: &'a [u8]) -> Self {
        let Some(name) = scheme(uri) else { return Self::default() };
        let rest = &uri[name.len() + 1..];
        if name.eq_ignore_ascii_case(b"sip") || name.eq_ignore_ascii_case(b"sips") {
            let at = memchr::memchr(b'@', rest);
            let user = at.map_or(&b""[..], |at| &rest[..at]);
            let user = memchr::memchr(b':', user).map_or(user, |colon| &user[..colon]);
            Self { user, host: host(&rest[at.map_or(0, |at| at + 1)..]) }
        } else if name.eq_ignore_ascii_case(b"tel") {
            let end = memchr::memchr2(b';', b'?', rest).unwrap_or(rest.len());
            Self { user: &rest[..end], host: b"" }
        } else {
            Self::default()
        }
    }
}

/// The host at the start of `host[:port][;parameters][?headers]`.
pub(crate) fn host(b: &[u8]) -> &[u8] {
    let from = if b.first() == Some(&b'[') { memchr::memchr(b']', b).unwrap_or(0) } else { 0 };
    let end = b[from..].iter().position(|c| matches!(c, b':' | b';' | b'?')).map_or(b.len(), |n| from + n);
    &b[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(uri: &str) -> (&str, &str) {
        let u = Uri::new(uri.as_bytes());
        (std::str::from_utf8(u.user).unwrap(), std::str::from_utf8(u.host).unwrap())
    }

    #[test]
    fn user_and_host() {
        assert_eq!(parts("sip:alice@atlanta.com"), ("alice", "atlanta.com"));
        assert_eq!(parts("sip:alice:secretword@atlanta.com;transport=tcp"), ("alice", "atlanta.com"));
        assert_eq!(parts("sips:alice@atlanta.com?subject=project%20x&priority=urgent"), ("alice", "atlanta.com"));
        assert_eq!(parts("SIP:+1-212-555-1212:1234@gateway.com;user=phone"), ("+1-212-555-1212", "gateway.com"));
        assert_eq!(parts("sip:alice;day=tuesday@atlanta.com"), ("alice;day=tuesday", "atlanta.com"));
        assert_eq!(parts("sip:x@[2001:db8::10]:5060;lr"), ("x", "[2001:db8::10]"));
        assert_eq!(parts("sip:[2001:db8::10]"), ("", "[2001:db8::10]"));
        assert_eq!(parts("sip:atlanta.com:5060"), ("", "atlanta.com"));
        assert_eq!(parts("sip:;transport=UDP"), ("", ""));
        assert_eq!(parts("sip:x@[2001"), ("x", "[2001"));
    }

    #[test]
    fn other_schemes() {
        assert_eq!(parts("tel:+358-555-1234567;postd=pp22"), ("+358-555-1234567", ""));
        assert_eq!(parts("http://www.example.com"), ("", ""));
        assert_eq!(parts("urn:service:sos"), ("", ""));
        assert_eq!(parts("alice@atlanta.com"), ("", ""));
        assert_eq!(parts(""), ("", ""));
    }
}
