//! Transfers: REFER with what NOTIFY says of it (RFC 3515), and Replaces (RFC 3891).

use lc_proto::sip::{Message, StartLine};

/// Longest target or Call-ID that is remembered, bytes.
const MAX: usize = 256;

/// How far a REFER is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Refer {
    #[default]
    None,
    Asked,
    Accepted,
    Done,
}

/// What is known of a transfer.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    to: Box<[u8]>,
    refer: Refer,
    /// Whether another call took this one's place.
    pub replaced: bool,
    /// Call-ID of the call that this one replaces.
    pub replaces: Box<[u8]>,
}

type Maybe = Option<Box<Transfer>>;

impl Transfer {
    /// A REFER in the dialog.
    pub fn asked(this: &mut Maybe, m: &Message<'_>) {
        let t = this.get_or_insert_default();
        t.to = uri(m.more_headers.refer_to).into();
        t.refer = Refer::Asked;
    }

    /// Its answer.
    pub fn answered(this: &mut Maybe, status: u16) {
        let Some(t) = this.as_mut().filter(|t| t.refer != Refer::None) else { return };
        match status {
            200..=299 if t.refer == Refer::Asked => t.refer = Refer::Accepted,
            401 | 407 | ..=299 => {}
            _ => t.refer = Refer::None,
        }
    }

    /// A NOTIFY of the REFER; whether the transfer has come about.
    pub fn notified(&mut self, m: &Message<'_>) -> bool {
        let fragment = m.content_type.to_ascii_lowercase().starts_with(b"message/sipfrag");
        let status = fragment.then(|| status(m.body)).flatten();
        match status {
            Some(200..=299) if self.refer != Refer::None => self.refer = Refer::Done,
            Some(300..) => self.refer = Refer::None,
            _ => {}
        }
        self.refer == Refer::Done
    }

    /// An INVITE that may replace another call.
    pub fn replacing(this: &mut Maybe, m: &Message<'_>) {
        let id = m.more_headers.replaces.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
        if !id.is_empty() {
            this.get_or_insert_default().replaces = id[..id.len().min(MAX)].into();
        }
    }

    /// Whether the call, when it hangs up, went elsewhere.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.replaced || matches!(self.refer, Refer::Accepted | Refer::Done)
    }

    /// Where a REFER sent it.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        if matches!(self.refer, Refer::Accepted | Refer::Done) {
            &self.to
        } else {
            b""
        }
    }
}

/// The URI of a Refer-To header without its headers and parameters.
fn uri(value: &[u8]) -> &[u8] {
    let (address, _) = lc_proto::sip::NameAddr::parse(value);
    let end = address.uri.iter().position(|c| matches!(c, b'?' | b';')).unwrap_or(address.uri.len());
    &address.uri[..end.min(MAX)]
}

/// Status of the response that a body of message/sipfrag holds (RFC 3420).
fn status(body: &[u8]) -> Option<u16> {
    match lc_proto::sip::parse(body).ok()?.start {
        StartLine::Response { status, .. } => Some(status),
        StartLine::Request { .. } => None,
    }
}
