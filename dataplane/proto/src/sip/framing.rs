//! Messages in a byte stream (RFC 3261 §18.3): where one ends, and where the next one begins after other bytes.
//!
//! What is found depends on the bytes alone, not on how they were cut into segments.

use super::headers::{Fields, Name};
use super::start_line::{begins, is_version_prefix, line, parse, MAX_METHOD};
use super::text::{is_token, number};

/// Longest head in a stream, bytes. What begins as a message and has no end by then is passed over.
pub const MAX_HEAD: usize = 256 << 10;
/// Longest body in a stream, bytes. A larger Content-Length is taken for a mistake: no body.
pub const MAX_BODY: usize = 1 << 20;
/// Longest first line in a stream, bytes.
const MAX_LINE: usize = 16 << 10;

/// What begins at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Something whose end is not there yet.
    NeedMore,
    /// A message of so many bytes, for [`super::parse`].
    Message {
        /// Head and body, bytes.
        len: usize,
    },
    /// Line ends between messages (RFC 5626 §4.4.1).
    Keepalive {
        /// Bytes, all CR or LF.
        len: usize,
    },
    /// No SIP.
    Skip {
        /// Bytes up to where a message may begin.
        len: usize,
    },
}

/// What begins at the start of `buf`, bytes of a stream in order; `at_end` when no more will come.
///
/// Without Content-Length there is no body; of several the first number counts, as in [`super::parse`]. At the end a
/// message that is not complete is given as far as it goes.
#[must_use]
pub fn frame(buf: &[u8], at_end: bool) -> Framing {
    Framer::default().frame(buf, at_end)
}

/// [`frame`] with a memory of what was looked at: linear also when a message comes in many small pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Framer {
    /// Up to where the end of the head was looked for.
    scanned: usize,
    /// Length of the message once its head is complete.
    total: usize,
}

impl Framer {
    /// As [`frame`]; after [`Framing::NeedMore`] the next call has the same bytes and more behind them.
    #[must_use]
    pub fn frame(&mut self, buf: &[u8], at_end: bool) -> Framing {
        let found = self.look(buf, at_end);
        if found != Framing::NeedMore {
            *self = Self::default();
        }
        found
    }

    fn look(&mut self, buf: &[u8], at_end: bool) -> Framing {
        if self.total == 0 {
            if self.scanned == 0 {
                let blank = buf.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count();
                if blank > 0 {
                    return Framing::Keepalive { len: blank };
                }
                match first_line(buf) {
                    First::Complete(len) => self.scanned = len,
                    First::Open if !at_end => return Framing::NeedMore,
                    First::Open | First::None => return skip(buf, 0, at_end),
                }
            }
            let first = self.scanned;
            match self.head_end(&buf[..buf.len().min(MAX_HEAD)]) {
                Some(head) => self.total = head + content_length(&buf[..head]),
                None if buf.len() >= MAX_HEAD => return skip(buf, first.min(buf.len()), at_end),
                None if at_end => return Framing::Message { len: buf.len() },
                None => return Framing::NeedMore,
            }
        }
        match self.total {
            len if len <= buf.len() => Framing::Message { len },
            _ if at_end => Framing::Message { len: buf.len() },
            _ => Framing::NeedMore,
        }
    }

    /// Where the empty line ends, looking on from where the last look ended.
    fn head_end(&mut self, buf: &[u8]) -> Option<usize> {
        while let Some(n) = memchr::memchr(b'\n', buf.get(self.scanned..)?) {
            let next = self.scanned + n + 1;
            match buf[next..] {
                [b'\n', ..] => return Some(next + 1),
                [b'\r', b'\n', ..] => return Some(next + 2),
                [] | [b'\r'] => {
                    self.scanned += n;
                    return None;
                }
                _ => self.scanned = next,
            }
        }
        self.scanned = buf.len();
        None
    }
}

enum First {
    /// A first line; where it ends, before its line end.
    Complete(usize),
    /// It may become one.
    Open,
    None,
}

fn first_line(buf: &[u8]) -> First {
    if !buf.first().is_none_or(|c| is_token(*c)) || !begins(buf) {
        return First::None;
    }
    match line(&buf[..buf.len().min(MAX_LINE)]) {
        (line, true) if parse(line).is_ok() => First::Complete(line.len()),
        (_, true) => First::None,
        (_, false) if buf.len() >= MAX_LINE => First::None,
        _ => First::Open,
    }
}

/// Length of the body that the head announces.
fn content_length(head: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', head)
        .filter(|n| matches!(head.get(n + 1).map(|c| c | 0x20), Some(b'l' | b'c')))
        .filter_map(|n| Fields::new(head, n + 1).next().filter(|f| f.name == Name::ContentLength))
        .find_map(|f| number(f.value))
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n <= MAX_BODY)
        .unwrap_or(0)
}

/// Passes over bytes up to where a message may begin; `from`: before that none does.
fn skip(buf: &[u8], from: usize, at_end: bool) -> Framing {
    let mut at = from;
    while at < buf.len() {
        let window = &buf[at..buf.len().min(at + MAX_LINE)];
        let (piece, ended) = line(window);
        let complete = ended || window.len() == MAX_LINE || at_end;
        if let Some(n) = candidate(piece, complete, ended) {
            return if at + n == 0 { Framing::NeedMore } else { Framing::Skip { len: at + n } };
        }
        at += piece.len() + usize::from(ended);
    }
    Framing::Skip { len: at }
}

/// Where in one line a message may begin. A complete line must be a first line from there on; of the last line of a
/// buffer it is enough that it may become one.
fn candidate(piece: &[u8], complete: bool, ended: bool) -> Option<usize> {
    let holds = |from: usize| if complete { ended && parse(&piece[from..]).is_ok() } else { begins(&piece[from..]) };
    let names_version = !complete || ends_with_version(piece);
    let mut at = 0;
    while at < piece.len() {
        if !is_token(piece[at]) {
            at += 1;
            continue;
        }
        let end = at + piece[at..].iter().take_while(|c| is_token(**c)).count();
        match piece.get(end) {
            Some(b' ') if names_version && begins(&piece[at..]) && holds(at) => return Some(at),
            Some(b'/') if end - at >= 3 && is_version_prefix(&piece[end - 3..]) && holds(end - 3) => {
                return Some(end - 3)
            }
            None if !complete => return Some(at.max(end.saturating_sub(MAX_METHOD + 1))),
            _ => {}
        }
        at = end;
    }
    None
}

fn ends_with_version(piece: &[u8]) -> bool {
    let end = piece.trim_ascii_end();
    let last = &end[end.len().saturating_sub(7)..];
    last.len() == 7 && last[..4].eq_ignore_ascii_case(b"SIP/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"INVITE sip:b@x SIP/2.0\r\nl: 5\r\n\r\nhello";
    const B: &[u8] = b"SIP/2.0 200 OK\r\nCall-ID: 1\r\n\r\n";

    /// The messages of a stream that comes in pieces cut at the given places.
    fn messages(stream: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
        let (mut out, mut start, mut framer) = (Vec::new(), 0, Framer::default());
        let ends = cuts.iter().copied().chain([stream.len()]);
        for end in ends {
            loop {
                let at_end = end == stream.len();
                match framer.frame(&stream[start..end], at_end) {
                    Framing::NeedMore => break,
                    Framing::Message { len } => {
                        out.push(stream[start..start + len].to_vec());
                        start += len;
                    }
                    Framing::Keepalive { len } | Framing::Skip { len } => {
                        assert!(len > 0 || start == end);
                        start += len;
                    }
                }
                if start == end {
                    break;
                }
            }
        }
        assert_eq!(start, stream.len(), "all bytes are consumed at the end");
        out
    }

    /// Cut at every place, and into single bytes.
    fn check(stream: &[u8], want: &[&[u8]]) {
        assert_eq!(messages(stream, &[]), want, "whole: {:?}", String::from_utf8_lossy(stream));
        for cut in 0..stream.len() {
            assert_eq!(messages(stream, &[cut]), want, "cut at {cut}: {:?}", String::from_utf8_lossy(stream));
        }
        assert_eq!(messages(stream, &(0..stream.len()).collect::<Vec<_>>()), want, "single bytes");
    }

    #[test]
    fn messages_follow_each_other() {
        check(&[A, B, A].concat(), &[A, B, A]);
        check(&[b"\r\n\r\n", A, b"\r\n\r\n", B, b"\r\n"].concat(), &[A, B]);
    }

    #[test]
    fn content_length_in_all_its_forms() {
        let with = |value: &str| [b"BYE sip:x SIP/2.0\r\n", value.as_bytes(), b"\r\n\r\n"].concat();
        for (value, body) in [
            ("Content-Length: 3", 3),
            ("CONTENT-LENGTH\t:\r\n 003", 3),
            ("l:3\r\nContent-Length: 3", 3),
            ("l: x\r\nContent-Length: 3", 3),
            ("l: 3\r\nContent-Length: 9", 3),
            ("Content-Length: -999", 0),
            ("Content-Length: 99999999999999999999999", 0),
            ("Content-Length: 1048577", 0),
            ("Subject: none", 0),
        ] {
            let head = with(value);
            let first = [&head[..], &b"abc"[..body]].concat();
            check(&[&first[..], B].concat(), &[&first, B]);
        }
    }

    #[test]
    fn bare_line_feeds() {
        let m = b"BYE sip:x SIP/2.0\nl: 2\n\nok";
        check(&[m, B].concat(), &[m, B]);
        let mixed = b"BYE sip:x SIP/2.0\r\nl: 2\n\r\nok";
        check(&[mixed, B].concat(), &[mixed, B]);
    }

    #[test]
    fn a_capture_that_starts_in_mid_stream() {
        check(&[b"ia: SIP/2.0/UDP x\r\nCSeq: 1 INVITE\r\nTo: foo bar:baz\r\n\r\n", A, B].concat(), &[A, B]);
        check(&[b"</presence>", A, B].concat(), &[A, B]);
        check(&[b"ello", B, A].concat(), &[B, A]);
        check(&[&[0x16, 3, 1, 0, 200, 1, 0, 0, 196, b'I', b'N'][..], &[0xff; 300], A].concat(), &[A]);
        check(&[&[b'x'; 200][..], b"\r\n", A].concat(), &[A]);
    }

    #[test]
    fn a_wrong_content_length_loses_one_message_at_most() {
        let long = b"INFO sip:x SIP/2.0\r\nl: 2\r\n\r\ntoo long\r\n(to be true)";
        check(&[long, A].concat(), &[&long[..30], A]);
    }

    #[test]
    fn other_protocols() {
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[]);
        check(b"220 smtp.example.com ESMTP\r\n", &[]);
        check(&[0x80; 50], &[]);
        assert_eq!(frame(&[0x16, 3, 1, 0], false), Framing::Skip { len: 4 });
        assert_eq!(frame(b"", false), Framing::NeedMore);
        assert_eq!(frame(b"hello", false), Framing::NeedMore);
    }

    #[test]
    fn the_start_of_a_message_is_waited_for() {
        for m in [A, B, b"BYE  <tel:+1> SIP/7.0\n\n"] {
            (0..m.len()).for_each(|n| assert_eq!(frame(&m[..n], false), Framing::NeedMore, "{n}"));
            assert_eq!(frame(m, false), Framing::Message { len: m.len() });
        }
    }

    #[test]
    fn at_the_end_a_message_is_given_as_far_as_it_goes() {
        assert_eq!(frame(&A[..30], false), Framing::NeedMore);
        assert_eq!(frame(&A[..30], true), Framing::Message { len: 30 });
        assert_eq!(frame(&A[..36], true), Framing::Message { len: 36 });
        assert_eq!(frame(&A[..10], true), Framing::Skip { len: 10 });
    }

    #[test]
    fn heads_are_bounded() {
        let mut big = b"INVITE sip:x SIP/2.0\r\n".to_vec();
        while big.len() < 100 << 10 {
            big.extend(b"X-Long: 0123456789012345678901234567890123456789\r\n");
        }
        let ok = [&big[..], b"\r\n"].concat();
        assert_eq!(frame(&ok, false), Framing::Message { len: ok.len() });
        while big.len() <= MAX_HEAD {
            big.extend(b"X-Long: 0123456789012345678901234567890123456789\r\n");
        }
        assert!(matches!(frame(&big, false), Framing::Skip { len } if len > MAX_HEAD - 64));
        let endless = vec![b'a'; 3 * MAX_LINE];
        assert!(matches!(frame(&endless, false), Framing::Skip { .. }));
        let open = [b"INVITE sip:".to_vec(), endless].concat();
        assert!(matches!(frame(&open, false), Framing::Skip { .. }));
    }
}
