//! Frames made by hand, and a line that follows them.
#![allow(dead_code)] // not every test uses everything

use lc_engine::follow::Follower;
use lc_engine::hold::Hold;
use lc_engine::select::{Selection, VOIP};
use lc_engine::verdict::Marks;
use lc_proto::users::Patterns;
use lc_wire::{LinkType, Packet};

pub const MS: u64 = 1_000_000;
pub const SYN: u8 = 2;
pub const SYN_ACK: u8 = 18;
pub const ACK: u8 = 16;
pub const FIN: u8 = 17;

/// A host (the last byte of 10.0.0.x) and a port.
pub type At = (u8, u16);

/// An Ethernet frame with IPv4; `frag` is the field with flags and offset.
pub fn ip(src: u8, dst: u8, protocol: u8, id: u16, frag: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    f.extend((20 + payload.len() as u16).to_be_bytes());
    f.extend(id.to_be_bytes());
    f.extend(frag.to_be_bytes());
    f.extend([64, protocol, 0, 0, 10, 0, 0, src, 10, 0, 0, dst]);
    f.extend(payload);
    f
}

fn udp_header(a: At, b: At, payload: &[u8]) -> Vec<u8> {
    let mut d = [a.1.to_be_bytes(), b.1.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes(), [0; 2]].concat();
    d.extend(payload);
    d
}

pub fn udp(a: At, b: At, payload: &[u8]) -> Vec<u8> {
    ip(a.0, b.0, 17, 0, 0, &udp_header(a, b, payload))
}

/// The fragments of a datagram, `size` bytes each (a multiple of 8).
pub fn fragments(a: At, b: At, id: u16, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let d = udp_header(a, b, payload);
    let last = (d.len() - 1) / size;
    let flags = |n: usize| (if n < last { 0x2000 } else { 0 }) | (n * size / 8) as u16;
    d.chunks(size).enumerate().map(|(n, part)| ip(a.0, b.0, 17, id, flags(n), part)).collect()
}

pub fn tcp(a: At, b: At, (seq, ack): (u32, u32), flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut s = [a.1.to_be_bytes(), b.1.to_be_bytes()].concat();
    s.extend(seq.to_be_bytes());
    s.extend(ack.to_be_bytes());
    s.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    s.extend(payload);
    ip(a.0, b.0, 6, 0, 0, &s)
}

pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut p = vec![0x80, 0];
    p.extend(sequence.to_be_bytes());
    p.extend((u32::from(sequence) * 160).to_be_bytes());
    p.extend(ssrc.to_be_bytes());
    p.extend([0x55; 160]);
    p
}

pub fn sdp(host: u8, port: u16) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 10.0.0.{host}\r\ns=-\r\nc=IN IP4 10.0.0.{host}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
    )
}

/// A message of the dialog from `users.0` to `users.1`; `body` is SDP or nothing.
pub fn sip(start: &str, id: &str, users: (&str, &str), cseq: &str, body: &str) -> Vec<u8> {
    let (from, to) = users;
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let head = format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{id}{cseq}\r\nFrom: <sip:{from}@a.example>;tag=f{id}"
    );
    let rest = format!(
        "To: <sip:{to}@b.example>;tag=t{id}\r\nCall-ID: {id}\r\nCSeq: {cseq}\r\n{kind}Content-Length: {}",
        body.len()
    );
    format!("{head}\r\n{rest}\r\n\r\n{body}").into_bytes()
}

pub fn invite(id: &str, users: (&str, &str), body: &str) -> Vec<u8> {
    sip(&format!("INVITE sip:{}@b.example SIP/2.0", users.1), id, users, "1 INVITE", body)
}

pub fn selection(user: &str) -> Selection {
    let users = Patterns::compile(if user.is_empty() { &[][..] } else { std::slice::from_ref(&user) }).unwrap();
    Selection::new(Some(users), [], VOIP)
}

pub fn follower(user: &str) -> Follower {
    Follower::new(selection(user), true, None)
}

pub fn packet(n: usize, ts: u64, data: &[u8]) -> Packet<'_> {
    Packet { ts, number: n as u64 + 1, orig_len: data.len() as u32, source: 0, link: LinkType::ETHERNET, data }
}

/// Frames of (time, bytes) as a file: which ones are kept.
pub fn file(f: &mut Follower, frames: &[(u64, Vec<u8>)]) -> Vec<usize> {
    let mut marks = Marks::default();
    for (n, (ts, data)) in frames.iter().enumerate() {
        f.frame(&mut marks, &packet(n, *ts, data), n as u64);
    }
    f.finish(&mut marks);
    (0..frames.len()).filter(|n| marks.0.get(*n as u64)).collect()
}

/// The same as a pipe; after every frame `in = selected + filtered + held` must hold.
pub fn pipe(f: &mut Follower, hold: &mut Hold, frames: &[(u64, Vec<u8>)]) -> Vec<usize> {
    let (mut out, mut filtered) = (Vec::new(), 0);
    for (n, (ts, data)) in frames.iter().enumerate() {
        let p = packet(n, *ts, data);
        hold.begin(n as u64);
        f.frame(hold, &p, n as u64);
        hold.end(&p, |p, _| out.push(p.number as usize - 1));
        filtered += hold.take_filtered().count();
        assert_eq!(n + 1, out.len() + filtered + hold.len(), "after frame {n}");
        assert_eq!(hold.len() as u64, hold.held_of(0));
    }
    f.finish(hold);
    hold.finish(|p, _| out.push(p.number as usize - 1));
    filtered += hold.take_filtered().count();
    assert_eq!((frames.len(), hold.len()), (out.len() + filtered, 0));
    out
}

/// As both: they must agree.
pub fn kept(user: &str, frames: &[(u64, Vec<u8>)]) -> Vec<usize> {
    let whole = file(&mut follower(user), frames);
    let mut hold = Hold::new(10_000 * MS, 64 << 20);
    let mut held = pipe(&mut follower(user), &mut hold, frames);
    held.sort_unstable();
    assert_eq!(whole, held, "file and pipe");
    whole
}

/// Frames one millisecond apart.
pub fn timed(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<(u64, Vec<u8>)> {
    frames.into_iter().enumerate().map(|(n, f)| (1_000_000 * MS + n as u64 * MS, f)).collect()
}
