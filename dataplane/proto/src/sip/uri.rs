//! The parts of a URI that name somebody (RFC 3261 §19.1, RFC 3966).

use super::text::find;

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
        let Some(first) = uri.first_chunk::<4>() else { return Self::default() };
        match u32::from_be_bytes(*first) | 0x2020_2020 {
            SIP => Self::sip(&uri[4..]),
            SIPS if uri.get(4) == Some(&b':') => Self::sip(&uri[5..]),
            TEL => Self { user: until(&uri[4..], [b';', b'?']), host: b"" },
            _ => Self::default(),
        }
    }

    /// What follows `sip:`.
    #[inline]
    fn sip(rest: &'a [u8]) -> Self {
        let Some(at) = find(rest, [b'@']) else { return Self { user: b"", host: host(rest) } };
        Self { user: until(&rest[..at], [b':']), host: host(&rest[at + 1..]) }
    }
}

/// Up to the first byte that ends it.
#[inline]
fn until<const N: usize>(b: &[u8], ends: [u8; N]) -> &[u8] {
    &b[..find(b, ends).unwrap_or(b.len())]
}

/// In small letters; a colon is one.
const SIP: u32 = u32::from_be_bytes(*b"sip:");
const SIPS: u32 = u32::from_be_bytes(*b"sips");
const TEL: u32 = u32::from_be_bytes(*b"tel:");

/// The host at the start of `host[:port][;parameters][?headers]`.
#[inline]
pub(crate) fn host(b: &[u8]) -> &[u8] {
    let bracket = if b.first() == Some(&b'[') { memchr::memchr(b']', b).unwrap_or(0) } else { 0 };
    let rest = until(&b[bracket..], [b':', b';', b'?']);
    &b[..bracket + rest.len()]
}

/// Whether what follows the host of a sip or sips URI is no port: an IPv6 address without its brackets (RFC 5118 §4.2).
pub(crate) fn has_bad_port(uri: &[u8]) -> bool {
    let rest = match uri.first_chunk::<4>().map(|first| u32::from_be_bytes(*first) | 0x2020_2020) {
        Some(SIP) => &uri[4..],
        Some(SIPS) if uri.get(4) == Some(&b':') => &uri[5..],
        _ => return false,
    };
    let rest = &rest[find(rest, [b'@']).map_or(0, |at| at + 1)..];
    match &rest[host(rest).len()..] {
        [b':', port @ ..] => {
            let port = until(port, [b';', b'?']);
            port.is_empty() || port.len() > 5 || !port.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
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
        assert_eq!(parts("sIpS:x@y"), ("x", "y"));
        assert_eq!(parts("si\u{1a}:x@y"), ("", ""));
    }

    #[test]
    fn ports() {
        for good in
            ["sip:a@b:5060", "sip:[::1]:5070;x=y", "sips:b:1?a", "sip:[::1]", "tel:1:x", "sip:a:b@c", "sip:a@b;x=:"]
        {
            assert!(!has_bad_port(good.as_bytes()), "{good}");
        }
        for bad in ["sip:2001:db8::10", "sip:a@2001:db8::10;lr", "sip:b:", "sip:b:123456", "sips:b:-1"] {
            assert!(has_bad_port(bad.as_bytes()), "{bad}");
        }
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
