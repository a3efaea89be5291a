//! WebSocket, as far as SIP over it needs (RFC 6455 §4, §5.2; RFC 7118).

use crate::sip::text::{is_space, trim};

/// Longest frame that is waited for, bytes.
pub const MAX_PAYLOAD: u64 = 1 << 20;
/// Longest HTTP head of an upgrade, bytes.
pub const MAX_UPGRADE: usize = 16 << 10;

/// Why bytes are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Refusal {
    /// Reserved bits are set: an extension, such as compression, that is not read.
    Extension,
    /// An opcode that RFC 6455 does not define.
    Opcode,
    /// A control frame in fragments or over 125 bytes.
    Control,
    /// Over [`MAX_PAYLOAD`].
    TooLong,
}

impl Refusal {
    /// Every case.
    pub const ALL: [Self; 4] = [Self::Extension, Self::Opcode, Self::Control, Self::TooLong];

    /// The reason as counters name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extension => "websocket_extension",
            Self::Opcode => "websocket_opcode",
            Self::Control => "websocket_control",
            Self::TooLong => "websocket_too_long",
        }
    }
}

/// One frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes before the payload.
    pub header_len: usize,
    /// Bytes of the payload.
    pub payload_len: usize,
    /// What a client's payload is masked with; none from a server.
    pub mask: Option<[u8; 4]>,
    /// 0 continuation, 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub opcode: u8,
    /// Set on the last frame of a message.
    pub fin: bool,
}

impl Frame {
    /// Whether it carries a part of a message; control frames may stand between parts.
    #[must_use]
    pub fn is_data(&self) -> bool {
        self.opcode < 8
    }
}

/// What begins at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A frame whose end is not there yet.
    NeedMore,
    /// A whole frame: header and payload are in the buffer.
    Frame(Frame),
    /// No frame, or none that is read.
    Refused(Refusal),
}

/// What begins at the start of `buf`, bytes of a stream in order.
#[must_use]
pub fn frame(buf: &[u8]) -> Framing {
    let [first, second, rest @ ..] = buf else { return Framing::NeedMore };
    let (opcode, fin) = (first & 15, first & 0x80 != 0);
    if first & 0x70 != 0 {
        return Framing::Refused(Refusal::Extension);
    }
    if !matches!(opcode, 0..=2 | 8..=10) {
        return Framing::Refused(Refusal::Opcode);
    }
    let short = second & 0x7f;
    if opcode >= 8 && (!fin || short > 125) {
        return Framing::Refused(Refusal::Control);
    }
    let extra = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(bytes) = rest.get(..extra) else { return Framing::NeedMore };
    let len = if extra == 0 { u64::from(short) } else { bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)) };
    if len > MAX_PAYLOAD {
        return Framing::Refused(Refusal::TooLong);
    }
    let Ok(payload_len) = usize::try_from(len) else { return Framing::Refused(Refusal::TooLong) };
    let masked = second & 0x80 != 0;
    let header_len = 2 + extra + if masked { 4 } else { 0 };
    if buf.len() < header_len + payload_len {
        return Framing::NeedMore;
    }
    let mask = if masked { buf[2 + extra..].first_chunk().copied() } else { None };
    Framing::Frame(Frame { header_len, payload_len, mask, opcode, fin })
}

/// Takes the mask off a frame's whole payload; masking is its own inverse (RFC 6455 §5.3).
pub fn unmask(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(mask) = mask else { return };
    for four in payload.chunks_mut(4) {
        four.iter_mut().zip(mask).for_each(|(b, m)| *b ^= m);
    }
}

/// Whether an HTTP head that makes a connection a WebSocket is at the start of `b`: the request (GET with
/// `Upgrade: websocket`) or its answer (101 with the same).
#[must_use]
pub fn is_upgrade(b: &[u8]) -> bool {
    upgrade_len(b).is_some()
}

/// As [`is_upgrade`]: the head's length with its empty line, bytes; none also while it is not complete.
#[must_use]
pub fn upgrade_len(b: &[u8]) -> Option<usize> {
    if !may_upgrade(b) {
        return None;
    }
    let b = &b[..b.len().min(MAX_UPGRADE)];
    let len = memchr::memmem::find(b, b"\r\n\r\n")? + 4;
    let mut lines = b[..len].split(|c| *c == b'\n').skip(1);
    lines.any(is_upgrade_line).then_some(len)
}

/// Whether an upgrade could begin with these bytes, which may end early.
#[must_use]
pub fn may_upgrade(b: &[u8]) -> bool {
    let begins = |want: &[u8]| {
        let n = b.len().min(want.len());
        b[..n] == want[..n]
    };
    begins(b"GET ") || begins(b"HTTP/1.1 101")
}

fn is_upgrade_line(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else { return false };
    trim(&line[..colon]).eq_ignore_ascii_case(b"upgrade")
        && line[colon + 1..].split(|c| *c == b',' || is_space(*c)).any(|word| word.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_6455_section_5_7() {
        let hello = |mask, header_len| Framing::Frame(Frame { header_len, payload_len: 5, mask, opcode: 1, fin: true });
        assert_eq!(frame(&[0x81, 5, 0x48, 0x65, 0x6c, 0x6c, 0x6f]), hello(None, 2));
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(frame(&masked), hello(Some([0x37, 0xfa, 0x21, 0x3d]), 6));
        let mut payload = masked[6..].to_vec();
        unmask(&mut payload, Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(payload, b"Hello");
        for n in 0..masked.len() {
            assert_eq!(frame(&masked[..n]), Framing::NeedMore);
        }
    }

    #[test]
    fn long_lengths() {
        let mut b = vec![0x82, 0x7e, 1, 0];
        b.resize(4 + 256, 7);
        assert!(matches!(frame(&b), Framing::Frame(Frame { header_len: 4, payload_len: 256, .. })));
        let mut b = vec![0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(frame(&b), Framing::NeedMore);
        b.resize(10 + 65536, 7);
        assert!(matches!(frame(&b), Framing::Frame(Frame { header_len: 10, payload_len: 65536, .. })));
        let huge = [0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(frame(&huge), Framing::Refused(Refusal::TooLong));
    }

    #[test]
    fn refusals() {
        assert_eq!(frame(&[0xc1, 0]), Framing::Refused(Refusal::Extension));
        assert_eq!(frame(&[0x83, 0]), Framing::Refused(Refusal::Opcode));
        assert_eq!(frame(&[0x09, 0]), Framing::Refused(Refusal::Control));
        assert_eq!(frame(&[0x89, 126, 0, 200]), Framing::Refused(Refusal::Control));
        assert_eq!(Refusal::ALL.map(Refusal::as_str).len(), 4);
    }

    #[test]
    fn fragments_with_a_ping_between_them() {
        let mut b: &[u8] = &[0x01, 3, b'H', b'e', b'l', 0x89, 0, 0x80, 2, b'l', b'o'];
        let mut message = Vec::new();
        let mut fins = Vec::new();
        while let Framing::Frame(f) = frame(b) {
            if f.is_data() {
                message.extend_from_slice(&b[f.header_len..f.header_len + f.payload_len]);
                fins.push((f.opcode, f.fin));
            }
            b = &b[f.header_len + f.payload_len..];
        }
        assert_eq!((&message[..], &fins[..]), (&b"Hello"[..], &[(1, false), (0, true)][..]));
    }

    #[test]
    fn upgrades() {
        let get = b"GET /sip HTTP/1.1\r\nHost: a\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(upgrade_len(get), Some(get.len()));
        assert_eq!(upgrade_len(&get[..get.len() - 1]), None);
        assert!(may_upgrade(b"GE") && may_upgrade(b"") && !may_upgrade(b"POST "));
        assert!(is_upgrade(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x01x"));
        assert!(!is_upgrade(b"GET / HTTP/1.1\r\nHost: websocket\r\n\r\nUpgrade: websocket\r\n\r\n"));
        assert!(!is_upgrade(b"HTTP/1.1 200 OK\r\nUpgrade: websocket\r\n\r\n"));
    }
}
