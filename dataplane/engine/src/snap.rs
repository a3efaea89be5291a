//! `--rtp-snap`: a packet's headers without its speech.

use lc_proto::{rtcp, rtp, sip};
use lc_wire::{decode, udp, Packet};

use crate::owners::Of;

/// How many bytes of a followed frame are kept when so many bytes of an RTP packet's payload are: all of them, unless it
/// is RTP. Of a fragment that is not its datagram's first nothing is kept but the headers.
#[must_use]
pub fn length(p: &Packet<'_>, of: &Of<'_>, speech: usize) -> usize {
    let Ok(ip) = decode(p.link, p.data) else { return p.data.len() };
    if ip.protocol != 17 {
        return p.data.len();
    }
    let payload = match ip.fragment {
        Some(f) if f.offset > 0 => return if of.speech { start(p, ip.payload) } else { p.data.len() },
        Some(_) if !of.speech => return p.data.len(),
        _ => ip.payload.get(udp::HEADER..).unwrap_or_default(),
    };
    if sip::starts(payload) || (matches!(payload.get(1), Some(192..=223)) && rtcp::parse(payload).is_some()) {
        return p.data.len();
    }
    let Some(found) = rtp::parse(payload) else { return p.data.len() };
    (start(p, payload) + found.payload_offset + speech).min(p.data.len())
}

/// Where a part of the frame begins in it.
fn start(p: &Packet<'_>, part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(p.data.as_ptr() as usize).min(p.data.len())
}

#[cfg(test)]
mod tests {
    use lc_wire::LinkType;

    use super::*;

    /// IPv4 and UDP around a payload; `offset` in the datagram, bytes.
    fn frame(payload: &[u8], offset: u16, more: bool) -> Vec<u8> {
        let mut f = vec![0; 12];
        let len = u16::try_from(28 + payload.len()).unwrap() - if offset > 0 { 8 } else { 0 };
        f.extend([8, 0, 0x45, 0]);
        f.extend(len.to_be_bytes());
        f.extend([0, 1]);
        f.extend((offset / 8 | u16::from(more) << 13).to_be_bytes());
        f.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        if offset == 0 {
            let udp = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
            f.extend([0x4e, 0x20, 0x4e, 0x22, udp[0], udp[1], 0, 0]);
        }
        f.extend(payload);
        f
    }

    fn kept(data: &[u8], speech: bool, bytes: usize) -> usize {
        let p = Packet { ts: 0, number: 1, orig_len: 0, source: 0, link: LinkType::ETHERNET, data };
        length(&p, &Of { speech, ..Of::NONE }, bytes)
    }

    #[test]
    fn headers_stay_and_speech_goes() {
        let mut rtp = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
        rtp.extend([0xd5; 160]);
        let data = frame(&rtp, 0, false);
        assert_eq!((kept(&data, false, 0), kept(&data, false, 4)), (14 + 20 + 8 + 12, 14 + 20 + 8 + 16));
        assert_eq!(kept(&data, false, 1000), data.len());
        rtp[0] = 0x91; // one contributing source, and an extension of one word
        rtp.splice(12..12, [0, 0, 0, 9, 0xbe, 0xde, 0, 1, 1, 1, 1, 1]);
        assert_eq!(kept(&frame(&rtp, 0, false), false, 0), 14 + 20 + 8 + 24);
    }

    #[test]
    fn signalling_and_reports_stay_whole() {
        let report = [0x80, 201, 0, 1, 1, 2, 3, 4];
        for payload in [&report[..], b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]] {
            let data = frame(payload, 0, false);
            assert_eq!(kept(&data, false, 0), data.len());
        }
    }

    #[test]
    fn fragments_go_by_what_the_follower_said() {
        let mut rtp = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
        rtp.extend([0xd5; 1000]);
        let (first, later) = (frame(&rtp, 0, true), frame(&[0xd5; 300], 1024, false));
        assert_eq!((kept(&first, true, 0), kept(&later, true, 0)), (14 + 20 + 8 + 12, 14 + 20));
        assert_eq!((kept(&first, false, 0), kept(&later, false, 0)), (first.len(), later.len()));
    }
}
