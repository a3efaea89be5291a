//! Many calls at once: memory of each, CPU nanoseconds of a message and of an RTP packet by how many there are.
//! `bench_calls [CALLS…]`, by default 1000 10000 50000 200000. Every call is set up (INVITE with SDP, 100, 180, 200
//! with SDP, ACK) and then talks in both directions; packets come in random order of calls. `CALLS/LIMIT` sets so many
//! up where only LIMIT find a place: the oldest are evicted, the newest talk.

use lc_engine::calls::Calls;
use lc_engine::follow::Follower;
use lc_engine::select::{Selection, VOIP};
use lc_engine::verdict::Decided;
use lc_wire::{LinkType, Packet};

const MS: u64 = 1_000_000;
const T0: u64 = 1_700_000_000_000 * MS;
/// RTP packets in a round of measuring.
const PACKETS: u64 = 1 << 20;

/// Processor time of this thread, ns.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// Resident memory, bytes.
fn resident() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    stat.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(0.0) * 4096.0
}

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    f.extend((28 + payload.len() as u16).to_be_bytes());
    f.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    f.extend(from.0);
    f.extend(to.0);
    f.extend([from.1.to_be_bytes(), to.1.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes(), [0; 2]].concat());
    f.extend(payload);
    f
}

/// A caller's or a callee's address and port for media: each call has two of its own.
fn end(call: u64, callee: bool) -> ([u8; 4], u16) {
    let host = (call / 20_000) as u8;
    ([10, 20 + u8::from(callee), host, 1], (10_000 + 2 * (call % 20_000)) as u16)
}

fn sdp(call: u64, callee: bool) -> String {
    let ([a, b, c, d], port) = end(call, callee);
    let ip = format!("{a}.{b}.{c}.{d}");
    format!(
        "v=0\r\no=- {call} 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

fn sip(start: &str, call: u64, method: &str, to_tag: bool, body: &str) -> Vec<u8> {
    let tag = if to_tag { format!(";tag=callee{call:08x}") } else { String::new() };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let head = format!(
        "{start}\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{call:012x};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:+4930{call:09}@example.net>;tag=caller{call:08x}\r\nTo: <sip:+4940{call:09}@sbc.example.net>{tag}\r\n"
    );
    let rest = format!("Call-ID: {call:024x}@10.0.0.1\r\nCSeq: 1 {method}\r\n{kind}Content-Length: {}", body.len());
    format!("{head}{rest}\r\n\r\n{body}").into_bytes()
}

fn rtp(call: u64, callee: bool, sequence: u16) -> Vec<u8> {
    let mut p = vec![0x80, 8];
    p.extend(sequence.to_be_bytes());
    p.extend((u32::from(sequence) * 160).to_be_bytes());
    p.extend(((call as u32) << 1 | u32::from(callee)).to_be_bytes());
    p.extend([0x55; 160]);
    udp(end(call, callee), end(call, !callee), &p)
}

struct Line {
    follower: Follower,
    now: u64,
    n: u64,
}

impl Line {
    fn take(&mut self, data: &[u8]) {
        let orig_len = data.len() as u32;
        let p = Packet { ts: self.now, number: self.n + 1, orig_len, source: 0, link: LinkType::ETHERNET, data };
        self.follower.frame(&mut Decided, &p, self.n);
        self.follower.take_records();
        self.n += 1;
        self.now += 1000;
    }

    fn calls(&self) -> &Calls {
        &self.follower.calls
    }
}

/// The messages that set a call up.
fn setup(call: u64) -> [Vec<u8>; 5] {
    let (a, b) = (([10, 0, 0, 1], 5060), ([10, 0, 0, 2], 5060));
    let invite = format!("INVITE sip:+4940{call:09}@sbc.example.net SIP/2.0");
    [
        udp(a, b, &sip(&invite, call, "INVITE", false, &sdp(call, false))),
        udp(b, a, &sip("SIP/2.0 100 Trying", call, "INVITE", false, "")),
        udp(b, a, &sip("SIP/2.0 180 Ringing", call, "INVITE", true, "")),
        udp(b, a, &sip("SIP/2.0 200 OK", call, "INVITE", true, &sdp(call, true))),
        udp(a, b, &sip("ACK sip:10.0.0.2:5060 SIP/2.0", call, "ACK", true, "")),
    ]
}

fn measure((calls, limit): (u64, u64)) {
    let mut line = Line { follower: Follower::new(Selection::new(None, [], VOIP), false, None), now: T0, n: 0 };
    line.follower.calls = Calls::new(Selection::new(None, [], VOIP), false, None).limited(limit as usize);
    let (before, mut spent) = (resident(), 0.0);
    for call in 0..calls {
        let messages = setup(call);
        let start = cpu();
        messages.iter().for_each(|m| line.take(m));
        spent += cpu() - start;
    }
    let signalled = resident();
    let in_table = line.calls().len() as u64;
    let (oldest, talks) = (calls.saturating_sub(limit), calls.min(limit));
    let random = |k: u64| oldest + (k.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % talks;
    let frames = |from: u64| (from..from + 4096).map(move |k| rtp(random(k), k & 1 == 1, (k / calls) as u16));
    (oldest..calls).for_each(|call| [false, true].iter().for_each(|callee| line.take(&rtp(call, *callee, 0))));
    let talking = resident();
    let mut cost = 0.0;
    for batch in 0..PACKETS / 4096 {
        let some: Vec<_> = frames(batch * 4096).collect();
        let start = cpu();
        some.iter().for_each(|f| line.take(f));
        cost += cpu() - start;
    }
    let evicted: u64 = line.calls().stats.evicted.iter().sum();
    let each = |bytes: f64| bytes / talks as f64;
    println!(
        "{calls:>8} {in_table:>8} {evicted:>8} {:>12.0} {:>12.0} {:>10.0} {:>10.0}",
        each(signalled - before),
        each(talking - before),
        spent / (calls * 5) as f64,
        cost / PACKETS as f64
    );
}

fn main() {
    let one = |n: String| match n.split_once('/') {
        Some((calls, limit)) => Some((calls.parse().ok()?, limit.parse().ok()?)),
        None => n.parse().ok().map(|calls| (calls, calls)),
    };
    let asked: Vec<(u64, u64)> = std::env::args().skip(1).filter_map(one).collect();
    let sizes = if asked.is_empty() { [1000, 10_000, 50_000, 200_000].map(|n| (n, n)).to_vec() } else { asked };
    println!("   calls in table  evicted B/call setup B/call media ns/message  ns/RTP");
    sizes.into_iter().for_each(measure);
}
