//! Parsers of one piece of bytes.

use std::hint::black_box;

use lc_engine::bpf::{Instruction, Program};
use lc_proto::sip::{self, NameAddr, Uri};
use lc_proto::tls::{KeyLog, Session, Step};
use lc_proto::users::{Backend, Patterns};
use lc_proto::{hep, rtcp, rtp, sdp, websocket};
use lc_wire::build::udp_frame;
use lc_wire::{decode as wire, esp, ip_offset, tcp, tunnel, udp, Addr, Ip, LinkType, Refusal};

/// A frame of the link type that the first byte chooses, down to UDP or TCP.
pub fn decode(data: &[u8]) {
    let Some((choice, frame)) = data.split_first() else { return };
    let link = LinkType::SUPPORTED[usize::from(*choice) % LinkType::SUPPORTED.len()];
    if let Some((at, _)) = ip_offset(link, frame) {
        assert!(at <= frame.len());
    }
    let Ok(ip) = wire(link, frame) else { return };
    assert!(ip_offset(link, frame).is_some(), "IP without an offset");
    assert!(ip.payload.len() <= frame.len());
    let (udp, tcp) = (udp::parse(ip.payload), tcp::parse(ip.payload));
    assert!(udp.map_or(0, |u| u.payload.len()) <= ip.payload.len());
    assert!(tcp.map_or(0, |t| t.payload.len()) <= ip.payload.len());
}

/// A packet above which protocol the first byte says (or a datagram to one of the tunnels' ports), through all its tunnels.
pub fn tunnels(data: &[u8]) {
    let [choice, payload @ ..] = data else { return };
    let ports = [4789, 8472, 4790, 6081, 2152, 3544, 1701, 4500, 37008];
    let protocol = [4, 41, 47, 50, 94, 115, 137].get(usize::from(*choice)).copied().unwrap_or(17);
    let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
    let ip = Ip { context: 0, tunnels: 0, src, dst, protocol, fragment: None, truncated: false, payload };
    let back = Ip { src: dst, dst: src, ..ip };
    if protocol == 17 {
        let dport = ports[usize::from(*choice) % ports.len()];
        let u = udp::Udp { sport: 40_000, dport, payload };
        assert!(tunnel::has_port(&u));
        walk(tunnel::over_udp(&ip, &u), payload.len());
        if let (Some(Ok(a)), Some(Ok(b))) = (tunnel::over_udp(&ip, &u), tunnel::over_udp(&back, &u)) {
            assert_eq!(a.context, b.context);
        }
    } else {
        walk(tunnel::over_ip(&ip), payload.len());
    }
    if let Some((_, data)) = esp::null(payload, src, dst) {
        assert!(data.len() + 22 <= payload.len());
    }
}

/// Inwards: less is left each time, and not for ever.
fn walk(mut found: Option<Result<Ip<'_>, Refusal>>, mut left: usize) {
    for depth in 1.. {
        let Some(Ok(ip)) = found else { return };
        assert!(ip.payload.len() <= left && usize::from(ip.tunnels) == depth && ip.tunnels <= tunnel::MAX_TUNNELS);
        left = ip.payload.len();
        let inside = udp::parse(ip.payload).ok().filter(|u| ip.protocol == 17 && tunnel::has_port(u));
        found = if let Some(u) = inside { tunnel::over_udp(&ip, &u) } else { tunnel::over_ip(&ip) };
    }
}

/// A key log on the lines before an empty one, then records: a byte of direction and length, and so many bytes.
pub fn tls(data: &[u8]) {
    let at = data.windows(2).position(|w| w == b"\n\n").unwrap_or(0);
    let (text, mut rest) = data.split_at(at);
    let mut log = KeyLog::default();
    log.add(text);
    log.grows = text.len() % 2 == 1;
    let (mut session, mut streams) = (Session::default(), [Vec::new(), Vec::new()]);
    while let [choice, more @ ..] = rest {
        let n = (usize::from(choice >> 1) * 8).min(more.len());
        let side = usize::from(choice & 1);
        streams[side].extend_from_slice(&more[..n]);
        rest = &more[n..];
        while let Step::Record(len, plain) = session.record(side, &streams[side], &log) {
            assert!(len >= 5 && len <= streams[side].len() && plain.len() <= len);
            streams[side].drain(..len);
        }
    }
    if let Some(random) = session.random() {
        let mut again = KeyLog::default();
        again.add(log.text(random).as_bytes());
        assert_eq!(again.get(random).filter(|_| log.get(random).is_some()), log.get(random));
    }
}

/// One SIP message; both ways to match agree.
pub fn sip(data: &[u8]) {
    assert_eq!(sip::starts(data), sip::parse(data).is_ok());
    let Ok(m) = sip::parse(data) else { return };
    assert!(m.head_len <= m.total_len && m.total_len <= data.len());
    assert_eq!(m.body, &data[m.head_len..m.total_len]);
    assert!(m.problems.iter().count() < 64);
    let patterns = ["alice", "+49*", "*x*", "b*@x", "*@biloxi.com"];
    let [fast, slow] = [Backend::CpuSimd, Backend::Disabled].map(|b| Patterns::compile_for(&patterns, b).unwrap());
    let one = m.identity_uris().any(|u| slow.matches_uri(u));
    assert_eq!(fast.matches(&m), one);
    assert_eq!(slow.matches(&m), one);
    if let Some(session) = sdp::find(m.content_type, m.body) {
        assert!(session.media.len() <= sdp::MAX_MEDIA);
    }
}

/// A header value with a name and an address, and a URI.
pub fn name_addr(data: &[u8]) {
    let inside = |part: &[u8]| assert!(part.len() <= data.len());
    let (n, _) = NameAddr::parse(data);
    [n.display, n.uri, n.user, n.host, n.tag, n.params].iter().for_each(|part| inside(part));
    let u = Uri::new(data);
    [u.user, u.host].iter().for_each(|part| inside(part));
    let again = Uri::new(n.uri);
    assert_eq!((again.user, again.host), (n.user, n.host));
}

/// A session description: alone, and as a part of a body whose content type is the first line.
pub fn sdp(data: &[u8]) {
    let session = sdp::parse(data);
    assert!(session.media.len() <= sdp::MAX_MEDIA && session.groups.len() <= sdp::MAX_ITEMS);
    for m in &session.media {
        assert!(m.formats.len() <= sdp::MAX_ITEMS && m.rtpmap.len() <= sdp::MAX_ITEMS);
    }
    let at = data.iter().position(|c| *c == b'\n').unwrap_or(0);
    black_box(sdp::find(&data[..at], &data[at..]));
}

/// RTP and RTCP.
pub fn rtp_rtcp(data: &[u8]) {
    black_box((rtp::parse(data), rtcp::parse(data)));
}

/// A HEP packet; what can be read makes a frame that is read again.
pub fn hep(data: &[u8]) {
    let length = hep::length(data);
    let Ok(h) = hep::parse(data) else { return };
    assert!(h.version < 3 || length == Ok(Some(data.len())));
    assert!(h.payload.len() + h.key.len() <= data.len());
    let mut frame = Vec::new();
    if !udp_frame(&mut frame, (h.src, h.ports[0]), (h.dst, h.ports[1]), h.vlan, h.payload) {
        return;
    }
    let ip = wire(LinkType::ETHERNET, &frame).expect("a frame that we made");
    let u = udp::parse(ip.payload).expect("a datagram that we made");
    assert_eq!((ip.src, ip.dst, [u.sport, u.dport], u.payload), (h.src, h.dst, h.ports, h.payload));
}

/// WebSocket frames, one after the other, and the request for one.
pub fn websocket(data: &[u8]) {
    if let Some(len) = websocket::upgrade_len(data) {
        assert!(len <= data.len());
    }
    black_box((websocket::is_upgrade(data), websocket::may_upgrade(data)));
    let (mut at, mut steps) = (0, 0);
    while let websocket::Framing::Frame(f) = websocket::frame(&data[at..]) {
        assert!(f.header_len > 0 && at + f.header_len + f.payload_len <= data.len());
        let payload = &data[at + f.header_len..at + f.header_len + f.payload_len];
        let mut twice = payload.to_vec();
        websocket::unmask(&mut twice, f.mask);
        websocket::unmask(&mut twice, f.mask);
        assert_eq!(twice, payload);
        at += f.header_len + f.payload_len;
        steps += 1;
        assert!(steps <= data.len());
    }
}

/// Patterns on the lines before an empty one, then URIs: both matchers agree.
pub fn users(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (patterns, uris) = text.split_once("\n\n").unwrap_or((&text, "sip:alice@x"));
    let patterns: Vec<&str> = patterns.lines().take(16).collect();
    let fast = Patterns::compile_for(&patterns, Backend::CpuSimd);
    let slow = Patterns::compile_for(&patterns, Backend::Disabled);
    assert_eq!(fast.is_ok(), slow.is_ok());
    let (Ok(fast), Ok(slow)) = (fast, slow) else { return };
    for uri in uris.lines().take(16) {
        assert_eq!(fast.matches_uri(uri.as_bytes()), slow.matches_uri(uri.as_bytes()), "{patterns:?} {uri:?}");
    }
}

/// A BPF program of so many instructions (first byte), run over the rest.
pub fn bpf(data: &[u8]) {
    let Some((n, rest)) = data.split_first() else { return };
    let code: Vec<Instruction> = rest
        .chunks_exact(8)
        .take(usize::from(*n))
        .map(|i| Instruction {
            code: u16::from_le_bytes([i[0], i[1]]),
            jt: i[2],
            jf: i[3],
            k: u32::from_le_bytes([i[4], i[5], i[6], i[7]]),
        })
        .collect();
    let frame = &rest[code.len() * 8..];
    if let Ok(program) = Program::new(code) {
        for wire in [frame.len() as u32, u32::MAX] {
            assert_eq!(program.matches(frame, wire), program.matches(frame, wire));
        }
    }
}
