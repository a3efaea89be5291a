//! SDP (RFC 4566, offers and answers of RFC 3264): where media go, and what they are.

mod attributes;
mod body;
mod media;

use std::net::IpAddr;

pub use media::{Direction, Media, RtpMap};

/// Media sections that are read.
pub const MAX_MEDIA: usize = 64;
/// Formats, payload maps, candidates and groups that are read, of each as many.
pub const MAX_ITEMS: usize = 128;

/// One session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// The sections in their order: an answer has those of its offer (RFC 3264 §6).
    pub media: Vec<Media>,
    /// `a=group` lines: semantics, then the `mid`s (RFC 5888, RFC 8843).
    pub groups: Vec<Vec<String>>,
}

/// Finds the SDP in a body by its content type: application/sdp, or a part of a multipart body (RFC 2046 §5.1).
///
/// A body without a content type is taken for what it says it is. None when there is no SDP.
#[must_use]
pub fn find(content_type: &[u8], body: &[u8]) -> Option<Session> {
    Some(parse(body::sdp(content_type, body, 0)?))
}

/// Reads a session description. Lines that are not understood are passed over.
#[must_use]
pub fn parse(body: &[u8]) -> Session {
    let mut session = Session::default();
    let mut defaults = Media::default();
    for line in body.split(|c| *c == b'\n') {
        let line = line.trim_ascii_end();
        let [kind, b'=', value @ ..] = line else { continue };
        if *kind == b'm' {
            if session.media.len() == MAX_MEDIA {
                break;
            }
            session.media.push(Media::new(value, &defaults));
            continue;
        }
        let media = session.media.last_mut();
        match kind {
            b'c' => media.unwrap_or(&mut defaults).connection(value),
            b'a' => match (media, value.strip_prefix(b"group:")) {
                (None, Some(group)) if session.groups.len() < MAX_ITEMS => session.groups.push(words(group)),
                (media, _) => media.unwrap_or(&mut defaults).attribute(value),
            },
            _ => {}
        }
    }
    session
}

fn words(b: &[u8]) -> Vec<String> {
    b.split(|c| *c == b' ').filter(|w| !w.is_empty()).take(MAX_ITEMS).map(text).collect()
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

/// A number in decimal digits.
fn parsed<T: std::str::FromStr>(b: &[u8]) -> Option<T> {
    std::str::from_utf8(b).ok()?.parse().ok()
}

/// `IN IP4 224.2.36.42/127`: the address in words, without a time to live.
fn address(value: &[u8]) -> Option<&[u8]> {
    let mut words = value.split(|c| *c == b' ').filter(|w| !w.is_empty());
    words.next().filter(|net| net.eq_ignore_ascii_case(b"IN"))?;
    words.next()?;
    words.next()?.split(|c| *c == b'/').next()
}

fn ip(word: &[u8]) -> Option<IpAddr> {
    parsed(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4566 §5, with more sections.
    const EXAMPLE: &[u8] = b"v=0\r\n\
        o=jdoe 2890844526 2890842807 IN IP4 10.47.16.5\r\n\
        s=SDP Seminar\r\n\
        c=IN IP4 224.2.17.12/127\r\n\
        t=2873397496 2873404696\r\n\
        a=recvonly\r\n\
        a=group:BUNDLE 1 2\r\n\
        m=audio 49170/2 RTP/AVP 0 96\r\n\
        a=rtpmap:96 opus/48000/2\r\n\
        a=mid:1\r\n\
        m=video 51372 RTP/AVP 99\r\n\
        c=IN IP6 2001:db8::7\r\n\
        a=rtpmap:99 h263-1998/90000\r\n\
        a=sendrecv\r\n\
        m=image 0 udptl t38\r\n";

    #[test]
    fn media_inherit_from_the_session() {
        let s = parse(EXAMPLE);
        assert_eq!(s.groups, [["BUNDLE", "1", "2"]]);
        let [audio, video, image] = &s.media[..] else { panic!("three sections") };
        assert_eq!((&*audio.kind, audio.port, audio.count, &*audio.proto), ("audio", 49170, 2, "RTP/AVP"));
        assert_eq!(audio.addr, ip(b"224.2.17.12"));
        assert_eq!(audio.formats, ["0", "96"]);
        assert_eq!(audio.rtpmap, [RtpMap { payload_type: 96, name: "opus".into(), clock: 48000 }]);
        assert_eq!((audio.direction, audio.mid.as_deref()), (Direction::RecvOnly, Some("1")));
        assert_eq!((video.addr, video.direction), (ip(b"2001:db8::7"), Direction::SendRecv));
        assert_eq!((image.port, &*image.proto, &image.formats[..]), (0, "udptl", &["t38".to_string()][..]));
        assert_eq!(image.connection, "224.2.17.12");
    }

    #[test]
    fn by_content_type() {
        assert!(find(b"application/sdp", EXAMPLE).is_some());
        assert!(find(b"Application/SDP ; charset=x", EXAMPLE).is_some());
        assert!(find(b"", EXAMPLE).is_some());
        assert!(find(b"", b"hello").is_none());
        assert!(find(b"text/plain", EXAMPLE).is_none());
        assert!(find(b"application/sdp", b"").is_none());
    }

    #[test]
    fn lines_that_make_no_sense() {
        let s =
            parse(b"m=\nm=audio\nm=audio x RTP/AVP\nm=audio 99999 RTP/AVP 0\nc=IN\nc=\na=\na=rtpmap:x\n=\n\n\xff\xff");
        assert_eq!(s.media.len(), 4);
        assert!(s.media.iter().all(|m| m.port == 0));
        assert!(parse(&b"m=audio 1 RTP/AVP 0\n".repeat(1000)).media.len() == MAX_MEDIA);
    }

    #[test]
    fn hosts_that_are_no_address() {
        let one = |c: &[u8]| parse(&[b"m=audio 2 RTP/AVP 0\r\nc=", c, b"\r\n"].concat()).media.remove(0);
        let m = one(b"IN IP4 host.example.com");
        assert_eq!((m.addr, &*m.connection), (None, "host.example.com"));
        assert_eq!(one(b"IN IP4 0.0.0.0").addr, ip(b"0.0.0.0"));
        assert_eq!(one(b"ATM NSAP 1").addr, None);
    }
}
