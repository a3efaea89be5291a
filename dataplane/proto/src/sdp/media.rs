//! A media section: its `m=` and `c=` lines (RFC 4566 §5.7, §5.14).

use std::net::IpAddr;

use super::{address, ip, parsed, text};

/// Who sends (RFC 4566 §6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Direction {
    /// Both; also when nothing is said.
    #[default]
    SendRecv,
    /// Only who wrote this.
    SendOnly,
    /// Only the other side.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// As the attribute spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// What a payload type means (`a=rtpmap`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpMap {
    /// 0 to 127.
    pub payload_type: u8,
    /// Encoding name.
    pub name: String,
    /// Clock rate, Hz; 0 when it is no number.
    pub clock: u32,
}

/// One media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// Where its media are received: the section's own address, else the session's. 0.0.0.0 (an old way to hold a
    /// call) is given as it stands; none for a host name and for what is no address.
    pub addr: Option<IpAddr>,
    /// That address in words, empty when there is none.
    pub connection: String,
    /// The port; 0 for a section that is refused or not used.
    pub port: u16,
    /// Pairs of ports from there on (`49170/2`), at least 1.
    pub count: u16,
    /// `RTP/AVP`, `RTP/SAVPF`, `udptl`, …
    pub proto: String,
    /// Formats: payload types, for RTP.
    pub formats: Vec<String>,
    /// Who sends.
    pub direction: Direction,
    /// `a=rtcp` (RFC 3605): address when it is given, and port.
    pub rtcp: Option<(Option<IpAddr>, u16)>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// `a=mid` (RFC 5888).
    pub mid: Option<String>,
    /// `a=bundle-only` (RFC 8843).
    pub bundle_only: bool,
    /// `a=rtpmap` lines.
    pub rtpmap: Vec<RtpMap>,
    /// `a=fmtp` lines: payload type and its parameters.
    pub fmtp: Vec<(u8, String)>,
    /// UDP endpoints of `a=candidate` lines (RFC 8839): host, server reflexive, relayed.
    pub candidates: Vec<(IpAddr, u16)>,
    /// `a=ptime`, ms.
    pub ptime: Option<u32>,
}

impl Media {
    /// From the value of an `m=` line; what the session says holds until the section says otherwise.
    pub(super) fn new(value: &[u8], session: &Self) -> Self {
        let mut fields = value.split(|c| *c == b' ').filter(|w| !w.is_empty());
        let kind = text(fields.next().unwrap_or_default());
        let mut ports = fields.next().unwrap_or_default().split(|c| *c == b'/');
        let port = ports.next().and_then(parsed).unwrap_or(0);
        let count = ports.next().and_then(parsed).unwrap_or(1).max(1);
        let proto = text(fields.next().unwrap_or_default());
        let formats = fields.take(super::MAX_ITEMS).map(text).collect();
        Self { kind, port, count, proto, formats, ..session.clone() }
    }

    pub(super) fn connection(&mut self, value: &[u8]) {
        let word = address(value).unwrap_or_default();
        self.connection = text(word);
        self.addr = ip(word);
    }

    /// `a=rtcp:53020 IN IP6 2001:db8::1`.
    pub(super) fn rtcp(&mut self, value: &[u8]) {
        let port = value.split(|c| *c == b' ').next().unwrap_or_default();
        if let Some(port_number) = parsed(port) {
            self.rtcp = Some((address(&value[port.len()..]).and_then(ip), port_number));
        }
    }
}
