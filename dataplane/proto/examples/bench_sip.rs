//! Prints what reading and matching costs, ns a message: `cargo run --release --example bench_sip`.

use std::hint::black_box;
use std::time::Instant;

use lc_proto::users::{Backend, Patterns};
use lc_proto::{rtp, sdp, sip};

const INVITE: &[u8] = b"INVITE sip:+4930555001234@10.0.0.20:5060;user=phone SIP/2.0\r\n\
Via: SIP/2.0/UDP 10.0.0.10:5060;branch=z9hG4bK74bf9a2c11de;rport\r\n\
Via: SIP/2.0/UDP 192.0.2.17:5062;received=198.51.100.7;branch=z9hG4bK1234567890\r\n\
Max-Forwards: 69\r\n\
From: \"Somebody Else\" <sip:+4930555009876@example.net>;tag=3f2a91bc\r\n\
To: <sip:+4930555001234@example.net;user=phone>\r\n\
Call-ID: 5b1d3c8e7a2f4096b5c1@10.0.0.10\r\n\
CSeq: 102 INVITE\r\n\
Contact: <sip:c83be1f@10.0.0.10:5060>\r\n\
P-Asserted-Identity: <sip:+4930555009876@example.net>\r\n\
User-Agent: Example PBX 18.2\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 213\r\n\
\r\n\
v=0\r\n\
o=- 1122334455 1 IN IP4 10.0.0.11\r\n\
s=-\r\n\
c=IN IP4 10.0.0.11\r\n\
t=0 0\r\n\
m=audio 20004 RTP/AVP 8 0 101\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=sendrecv\r\n\
a=ptime:20\r\n";

const RTP: [u8; 172] = [0x80; 172];

/// Best of 300 short runs, ns a turn: what it costs while nothing else takes the core.
fn measure(name: &str, turns: u32, mut turn: impl FnMut()) {
    let best = (0..300)
        .map(|_| {
            let start = Instant::now();
            (0..turns).for_each(|_| turn());
            start.elapsed().as_secs_f64() * 1e9 / f64::from(turns)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<44} {best:8.1} ns");
}

fn main() {
    println!("message of {} bytes", INVITE.len());
    measure("starts, RTP", 20_000, || {
        black_box(sip::starts(black_box(&RTP)));
    });
    measure("starts, SIP", 20_000, || {
        black_box(sip::starts(black_box(INVITE)));
    });
    measure("rtp::parse", 20_000, || {
        black_box(rtp::parse(black_box(&RTP)));
    });
    measure("parse", 2_000, || {
        let _ = black_box(sip::parse(black_box(INVITE)));
    });
    measure("frame", 2_000, || {
        black_box(sip::frame(black_box(INVITE), false));
    });
    measure("parse and sdp::find", 2_000, || {
        if let Ok(m) = sip::parse(black_box(INVITE)) {
            black_box(sdp::find(m.content_type, m.body));
        }
    });
    let many: Vec<String> = (0..100_000).map(|n| format!("+4989{n:07}")).collect();
    let ranges: Vec<String> =
        (0..1000).map(|n| format!("+4989{n:03}*")).chain((0..1000).map(|n| format!("*9{n:05}"))).collect();
    for (name, patterns) in [("1 number", &many[..1]), ("100,000 numbers", &many), ("2,000 ranges", &ranges)] {
        for backend in [Backend::CpuSimd, Backend::Disabled] {
            if backend == Backend::Disabled && patterns.len() > 1 {
                continue;
            }
            let Ok(p) = Patterns::compile_for(patterns, backend) else { continue };
            let label = format!("{name}, {}", backend.as_str());
            measure(&format!("parse and match, {label}"), 2_000, || {
                black_box(sip::parse(black_box(INVITE)).is_ok_and(|m| p.matches(&m)));
            });
            let users: Vec<String> = (0..4096).map(|n| format!("sip:+4989{:07}@example.net", n * 48 + 1)).collect();
            let mut n = 0;
            measure(&format!("matches_uri, {label}"), 20_000, || {
                n = (n + 1) & 4095;
                black_box(p.matches_uri(users[n].as_bytes()));
            });
        }
    }
}
