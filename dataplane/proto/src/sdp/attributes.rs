//! Attributes of a media section (RFC 4566 §6 and the RFCs named at each).

use std::net::IpAddr;

use super::media::{Direction, Media, RtpMap};
use super::{ip, parsed, text, MAX_ITEMS};

impl Media {
    /// Takes the value of an `a=` line.
    pub(super) fn attribute(&mut self, value: &[u8]) {
        let colon = memchr::memchr(b':', value).unwrap_or(value.len());
        let rest = value.get(colon + 1..).unwrap_or_default().trim_ascii();
        match &value[..colon] {
            b"sendrecv" => self.direction = Direction::SendRecv,
            b"sendonly" => self.direction = Direction::SendOnly,
            b"recvonly" => self.direction = Direction::RecvOnly,
            b"inactive" => self.direction = Direction::Inactive,
            b"rtcp" => self.rtcp(rest),
            b"rtcp-mux" => self.rtcp_mux = true,
            b"mid" => self.mid = Some(text(rest)),
            b"bundle-only" => self.bundle_only = true,
            b"ptime" => self.ptime = parsed(rest),
            b"rtpmap" if self.rtpmap.len() < MAX_ITEMS => self.rtpmap.extend(rtpmap(rest)),
            b"fmtp" if self.fmtp.len() < MAX_ITEMS => self.fmtp.extend(fmtp(rest)),
            b"candidate" if self.candidates.len() < MAX_ITEMS => {
                if let Some(c) = candidate(rest).filter(|c| !self.candidates.contains(c)) {
                    self.candidates.push(c);
                }
            }
            _ => {}
        }
    }
}

/// `96 opus/48000/2`.
fn rtpmap(value: &[u8]) -> Option<RtpMap> {
    let space = memchr::memchr(b' ', value)?;
    let mut parts = value[space..].trim_ascii().split(|c| *c == b'/');
    let name = text(parts.next()?);
    let clock = parts.next().and_then(parsed).unwrap_or(0);
    Some(RtpMap { payload_type: parsed(&value[..space]).filter(|t| *t < 128)?, name, clock })
}

/// `18 annexb=no`.
fn fmtp(value: &[u8]) -> Option<(u8, String)> {
    let space = memchr::memchr(b' ', value)?;
    Some((parsed(&value[..space]).filter(|t| *t < 128)?, text(value[space..].trim_ascii())))
}

/// `1 1 UDP 2130706431 10.0.1.1 8998 typ host` (RFC 8839 §5.1).
fn candidate(value: &[u8]) -> Option<(IpAddr, u16)> {
    let mut words = value.split(|c| *c == b' ').filter(|w| !w.is_empty()).skip(2);
    words.next().filter(|t| t.eq_ignore_ascii_case(b"UDP"))?;
    Some((ip(words.nth(1)?)?, parsed(words.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lines: &[&str]) -> Media {
        let mut m = Media::default();
        lines.iter().for_each(|l| m.attribute(l.as_bytes()));
        m
    }

    #[test]
    fn rtcp_by_port_and_by_address() {
        assert_eq!(with(&["rtcp:53020"]).rtcp, Some((None, 53020)));
        assert_eq!(with(&["rtcp:53020 IN IP4 126.16.64.4"]).rtcp, Some((ip(b"126.16.64.4"), 53020)));
        assert_eq!(
            with(&["rtcp:53020 IN IP6 2001:2345:6789:ABCD:EF01:2345:6789:ABCD"]).rtcp.unwrap().0,
            ip(b"2001:2345:6789:abcd:ef01:2345:6789:abcd")
        );
        assert_eq!(with(&["rtcp:x"]).rtcp, None);
        assert!(with(&["rtcp-mux"]).rtcp_mux);
    }

    #[test]
    fn candidates_over_udp() {
        let m = with(&[
            "candidate:1 1 UDP 2130706431 10.0.1.1 8998 typ host",
            "candidate:1 1 udp 2130706431 10.0.1.1 8998 typ host",
            "candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 10.0.1.1 rport 8998",
            "candidate:3 1 TCP 1 10.0.1.1 9 typ host tcptype active",
            "candidate:4 1 UDP 1 x.local 9 typ host",
            "candidate:",
        ]);
        assert_eq!(m.candidates, [(ip(b"10.0.1.1").unwrap(), 8998), (ip(b"192.0.2.3").unwrap(), 45664)]);
    }

    #[test]
    fn the_rest() {
        let m = with(&[
            "sendonly",
            "mid:a",
            "ptime:20",
            "bundle-only",
            "rtpmap:0 PCMU/8000",
            "rtpmap:200 X/1",
            "fmtp:18  annexb=no",
            "fmtp:x annexb=no",
            "rtpmap:31 LPC",
        ]);
        assert_eq!(
            (m.direction, m.mid.as_deref(), m.ptime, m.bundle_only),
            (Direction::SendOnly, Some("a"), Some(20), true)
        );
        assert_eq!(m.fmtp, [(18, "annexb=no".to_string())]);
        assert_eq!(
            m.rtpmap.iter().map(|r| (r.payload_type, &*r.name, r.clock)).collect::<Vec<_>>(),
            [(0, "PCMU", 8000), (31, "LPC", 0)]
        );
    }
}
