//! Frames from structured bytes: a byte chooses what comes next, the following ones fill it in. So a fuzzer finds calls,
//! fragments and streams that it would hardly find among bare frames.

use lc_wire::LinkType;

/// Frames of one input at most.
pub const MAX_FRAMES: usize = 512;

/// One frame: time in ns, link type, bytes.
pub type Frame = (u64, LinkType, Vec<u8>);

const PORTS: [u16; 8] = [5060, 5061, 4000, 4001, 5000, 5001, 80, 65535];
const USERS: [&str; 4] = ["alice", "bob", "+4912345", "a%6cice"];
const STARTS: [&str; 16] = [
    "INVITE sip:bob@b SIP/2.0",
    "ACK sip:bob@b SIP/2.0",
    "BYE sip:bob@b SIP/2.0",
    "CANCEL sip:bob@b SIP/2.0",
    "PRACK sip:bob@b SIP/2.0",
    "UPDATE sip:bob@b SIP/2.0",
    "REFER sip:bob@b SIP/2.0",
    "REGISTER sip:b SIP/2.0",
    "SIP/2.0 100 Trying",
    "SIP/2.0 183 Progress",
    "SIP/2.0 200 OK",
    "SIP/2.0 302 Moved",
    "SIP/2.0 401 Who",
    "SIP/2.0 487 Gone",
    "SIP/2.0 503 Busy",
    "OPTIONS sip:b SIP/2.0",
];
const METHODS: [&str; 8] = ["INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "REGISTER", "OPTIONS"];
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "inactive", "recvonly"];

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn one(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn two(&mut self) -> u16 {
        u16::from_le_bytes([self.one(), self.one()])
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.one()) % from.len()]
    }
}

/// The frames that the bytes describe.
pub fn frames(data: &[u8]) -> Vec<Frame> {
    let (mut b, mut out, mut now) = (Bytes(data), Vec::new(), 1_000_000_000_000);
    while !b.0.is_empty() && out.len() < MAX_FRAMES {
        match b.one() % 8 {
            0 => {
                let link = b.pick(&LinkType::SUPPORTED);
                let n = usize::from(b.one());
                out.push((now, link, b.take(n).to_vec()));
            }
            1 => {
                let at = b.two();
                let payload = payload(&mut b);
                out.push((now, LinkType::ETHERNET, ipv4(at, 17, 0, 0, &udp(at, &payload), None)));
            }
            2 => fragmented(&mut b, now, &mut out),
            3 => segments(&mut b, now, &mut out),
            4 => {
                let shift = u32::from(b.one() % 20);
                now = now.saturating_add(u64::from(b.two()) << shift << 8);
            }
            5 => {
                let at = b.two();
                let payload = payload(&mut b);
                out.push((now, LinkType::ETHERNET, ipv6(at, 17, &udp(at, &payload))));
            }
            6 => {
                let (back, at, byte) = (usize::from(b.one()) % 8, usize::from(b.two()), b.one());
                if let Some((_, link, mut frame)) = out.iter().rev().nth(back).cloned() {
                    match frame.len() {
                        0 => {}
                        n if byte == 0 => frame.truncate(at % n),
                        n => frame[at % n] = byte,
                    }
                    out.push((now, link, frame));
                }
            }
            _ => {
                let (at, vlan) = (b.two(), b.two());
                let payload = payload(&mut b);
                out.push((now, LinkType::ETHERNET, ipv4(at, 17, 0, 0, &udp(at, &payload), Some(vlan))));
            }
        }
        now += 1_000_000;
    }
    out.truncate(MAX_FRAMES);
    out
}

/// Hosts in the low, ports in the high bits.
fn hosts(at: u16) -> (u8, u8) {
    ((at & 3) as u8 + 1, (at >> 2 & 3) as u8 + 1)
}

fn ports(at: u16) -> (u16, u16) {
    (PORTS[usize::from(at >> 4 & 7)], PORTS[usize::from(at >> 7 & 7)])
}

fn ipv4(at: u16, protocol: u8, id: u16, fragment: u16, payload: &[u8], vlan: Option<u16>) -> Vec<u8> {
    let (src, dst) = hosts(at);
    let mut f = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src];
    if let Some(tag) = vlan {
        f.extend([0x81, 0x00]);
        f.extend((tag & 0xf003).to_be_bytes());
    }
    f.extend([8, 0, 0x45, 0]);
    f.extend((20 + payload.len() as u16).to_be_bytes());
    f.extend(id.to_be_bytes());
    f.extend(fragment.to_be_bytes());
    f.extend([64, protocol, 0, 0, 10, 0, 0, src, 10, 0, 0, dst]);
    f.extend(payload);
    f
}

fn ipv6(at: u16, next: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = hosts(at);
    let mut f = vec![2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x86, 0xdd, 0x60, 0, 0, 0];
    f.extend((payload.len() as u16).to_be_bytes());
    f.extend([next, 64]);
    for host in [src, dst] {
        f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    f.extend(payload);
    f
}

fn udp(at: u16, payload: &[u8]) -> Vec<u8> {
    let (sport, dport) = ports(at);
    let mut d = [sport.to_be_bytes(), dport.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes(), [0; 2]].concat();
    d.extend(payload);
    d
}

/// A datagram in fragments, in an order and with a loss that the bytes choose.
fn fragmented(b: &mut Bytes<'_>, now: u64, out: &mut Vec<Frame>) {
    let (at, id, size, order) = (b.two(), u16::from(b.one() % 4), 8 * (1 + usize::from(b.one() % 32)), b.one());
    let datagram = udp(at, &payload(b));
    let last = (datagram.len() - 1) / size;
    let mut parts: Vec<Vec<u8>> = datagram
        .chunks(size)
        .enumerate()
        .map(|(n, part)| {
            let field = (if n < last { 0x2000 } else { 0 }) | (n * size / 8) as u16;
            ipv4(at, 17, id, field, part, None)
        })
        .collect();
    let n = parts.len();
    parts.rotate_left(usize::from(order & 7) % n);
    if order & 8 != 0 {
        parts.reverse();
    }
    if order & 16 != 0 {
        parts.pop();
    }
    if order & 32 != 0 {
        parts.extend_from_within(..n / 2);
    }
    out.extend(parts.into_iter().map(|f| (now, LinkType::ETHERNET, f)));
}

/// A part of a stream: one payload in segments around a sequence number.
fn segments(b: &mut Bytes<'_>, now: u64, out: &mut Vec<Frame>) {
    let (at, seq, flags, pieces) = (b.two(), u32::from(b.two()), b.one() & 0x17, usize::from(b.one() % 8));
    let back = at & 0x400 != 0;
    let stream = payload(b);
    let size = stream.len() / (pieces + 1) + 1;
    let at =
        if back { at & 0xfc00 | at >> 2 & 3 | (at & 3) << 2 | (at >> 7 & 7) << 4 | (at >> 4 & 7) << 7 } else { at };
    let (sport, dport) = ports(at);
    let whole = [&stream[..]];
    let chunks: Vec<&[u8]> = if stream.is_empty() { whole.to_vec() } else { stream.chunks(size).collect() };
    for (n, part) in chunks.into_iter().enumerate() {
        let mut s = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
        s.extend(seq.wrapping_add((n * size) as u32).wrapping_add(0xffff_8000).to_be_bytes());
        s.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        s.extend(part);
        out.push((now, LinkType::ETHERNET, ipv4(at, 6, 0, 0, &s, None)));
    }
}

fn payload(b: &mut Bytes<'_>) -> Vec<u8> {
    match b.one() % 8 {
        0 => {
            let n = usize::from(b.one());
            b.take(n).to_vec()
        }
        1 => message(b),
        2 | 3 => {
            let (kind, sequence, ssrc) = (b.one(), b.two(), b.one() % 4);
            let mut p = vec![0x80, kind];
            p.extend(sequence.to_be_bytes());
            p.extend((u32::from(sequence) * 160).to_be_bytes());
            p.extend([0, 0, 0, ssrc]);
            let n = usize::from(b.one() % 40);
            p.extend(b.take(n));
            p
        }
        4 => {
            let (kind, n) = (200 + b.one() % 8, usize::from(b.one() % 64));
            let mut p = vec![0x81, kind, 0, b.one() % 16, 0, 0, 0, 1];
            p.extend(b.take(n));
            p
        }
        5 => {
            let mut p = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
            p.extend(b.take(12));
            p
        }
        6 => {
            let m = message(b);
            let mut p = vec![0x80 | b.one() % 11, 0x80 | 126];
            p.extend((m.len() as u16).to_be_bytes());
            p.extend([0; 4]);
            p.extend(m);
            p
        }
        _ => b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n\r\n".to_vec(),
    }
}

/// Up to three messages, the last one perhaps cut.
fn message(b: &mut Bytes<'_>) -> Vec<u8> {
    let (start, users, call, cseq, body) = (b.pick(&STARTS), b.one(), b.one() % 8, b.one() % 4, b.one());
    let (from, to) = (USERS[usize::from(users & 3)], USERS[usize::from(users >> 2 & 3)]);
    let sdp = if body & 1 == 0 { String::new() } else { session(b, body) };
    let method = METHODS[usize::from(users >> 4) % 8];
    let extra = usize::from(b.one() % 48);
    let mut m = format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{call}{cseq}\r\nFrom: <sip:{from}@a>;tag=f{call}\r\n\
         To: <sip:{to}@b>;tag=t{call}\r\nCall-ID: c{call}\r\nCSeq: {cseq} {method}\r\n"
    )
    .into_bytes();
    m.extend(b.take(extra));
    if !sdp.is_empty() {
        m.extend(b"\r\nContent-Type: application/sdp");
    }
    m.extend(format!("\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len()).into_bytes());
    if body & 0x40 != 0 {
        m.truncate(usize::from(b.two()) % m.len());
    }
    if body & 0x80 != 0 {
        m = m.repeat(2);
    }
    m
}

fn session(b: &mut Bytes<'_>, body: u8) -> String {
    let (host, port, direction) = (b.one() % 4 + 1, b.pick(&PORTS), DIRECTIONS[usize::from(body >> 1 & 3)]);
    let more =
        if body & 8 != 0 { format!("m=video {} RTP/AVP 99\r\na=rtcp-mux\r\n", b.pick(&PORTS)) } else { String::new() };
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.{host}\r\ns=-\r\nc=IN IP4 10.0.0.{host}\r\nt=0 0\r\na={direction}\r\n\
         m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n{more}"
    )
}
