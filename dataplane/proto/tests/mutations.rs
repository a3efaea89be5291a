//! Properties that hold for any bytes: no panic, parsers that agree with each other, framing that does not depend on
//! how a stream is cut. The bytes are samples with random changes, the same ones on every run.

use lc_proto::sip::{self, Framer, Framing};
use lc_proto::users::Patterns;
use lc_proto::{rtcp, rtp, sdp, websocket};

const SAMPLES: &[&[u8]] = &[
    b"INVITE sip:bob@biloxi.com SIP/2.0\r\nVia: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bK776asdhds\r\n\
      Max-Forwards: 70\r\nTo: \"B, \\\"ob\" <sip:bob@biloxi.com>\r\nFrom: Alice <sip:alice@atlanta.com>;tag=19\r\n\
      P-Asserted-Identity: \"x\" <sip:+49123@x;user=phone>, <tel:+1-2>\r\nCall-ID: a84b4c76e66710\r\n\
      CSeq: 314159 INVITE\r\nContent-Type: application/sdp\r\nContent-Length: 73\r\n\r\n\
      v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio 4000/2 RTP/AVP 0 96\r\na=rtpmap:96 opus/48000\r\n",
    b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP x\r\ni: 1\r\nf:\r\n sip:a@b\r\n ;tag=1\r\nt: sip:c@d\r\nCSeq: 35 INVITE\r\nl: 0\r\n\r\n",
    b"MESSAGE tel:+1 SIP/2.0\nVia: SIP/2.0/TCP a\nDiversion: <sip:%41@[::1]:5060?a=b>\nHistory-Info: <sip:h@x>;index=1\n\
      Content-Type: multipart/mixed; boundary=\"b\"\nContent-Length: 57\n\n\
      --b\nContent-Type: application/sdp\n\nv=0\nm=audio 2 RTP/AVP 0\n--b--",
    b"\r\n\r\n",
    b"some garbage> OPTIONS sip:x SIP/2.0\r\nCall-ID: 5\r\n\r\n",
    &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
    &[0xb1, 201, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 7, 3],
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
];

/// Bytes and words that parsers look for.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\r\n ",
    b":",
    b";",
    b",",
    b"<",
    b">",
    b"\"",
    b"\\",
    b"@",
    b"%",
    b"=",
    b"*",
    b"\0",
    b"\xff",
    b"sip:",
    b"SIP/2.0",
    b"SIP/2.0 200 OK\r\n",
    b"BYE sip:a@b SIP/2.0\r\n",
    b"l: 5\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"From: <sip:a@b>\r\n",
    b";tag=",
    b"m=audio ",
    b"a=candidate:",
    b"--b",
    b"boundary=",
];

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % n.max(1) as u64).unwrap()
    }

    fn mutate(&mut self, b: &mut Vec<u8>) {
        for _ in 0..=self.below(5) {
            let at = self.below(b.len() + 1);
            let end = (at + self.below(20)).min(b.len());
            match self.below(5) {
                0 if at < b.len() => b[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(b.drain(at..end)),
                2 => {
                    let again = b[at..end].to_vec();
                    b.splice(at..at, again);
                }
                3 => b.truncate(at.max(1)),
                _ => drop(b.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied())),
            }
        }
    }

    fn sample(&mut self) -> Vec<u8> {
        SAMPLES[self.below(SAMPLES.len())].to_vec()
    }
}

#[test]
fn any_bytes_are_read_without_panic() {
    let patterns = Patterns::compile(&["alice", "+49*", "*x*", "b*@x"]).unwrap();
    let mut random = Random(1);
    for _ in 0..60_000 {
        let mut b = random.sample();
        random.mutate(&mut b);
        assert_eq!(sip::starts(&b), sip::parse(&b).is_ok(), "{:?}", String::from_utf8_lossy(&b));
        if let Ok(m) = sip::parse(&b) {
            assert!(m.head_len <= m.total_len && m.total_len <= b.len());
            assert_eq!(m.body, &b[m.head_len..m.total_len]);
            let one = m.identity_uris().any(|u| patterns.matches_uri(u));
            assert_eq!(patterns.matches(&m), one, "{:?}", String::from_utf8_lossy(&b));
            let _ = (sdp::find(m.content_type, m.body), m.problems.iter().count());
        }
        let _ = (sdp::parse(&b), rtp::parse(&b), rtcp::parse(&b), websocket::upgrade_len(&b));
        if let websocket::Framing::Frame(f) = websocket::frame(&b) {
            assert!(f.header_len + f.payload_len <= b.len());
        }
    }
}

/// The messages of a stream whose bytes come up to each of `ends`.
fn messages(stream: &[u8], ends: &[usize], with_memory: bool) -> Vec<(usize, usize)> {
    let (mut out, mut at, mut framer) = (Vec::new(), 0, Framer::default());
    for end in ends {
        let at_end = *end == stream.len();
        while at < *end {
            let buf = &stream[at..*end];
            match if with_memory { framer.frame(buf, at_end) } else { sip::frame(buf, at_end) } {
                Framing::NeedMore => break,
                Framing::Message { len } => {
                    assert!(sip::parse(&buf[..len]).is_ok());
                    out.push((at, len));
                    at += len;
                }
                Framing::Keepalive { len } | Framing::Skip { len } => {
                    assert!(len > 0);
                    at += len;
                }
            }
        }
    }
    assert_eq!(at, stream.len());
    out
}

#[test]
fn cutting_a_stream_does_not_change_its_messages() {
    let mut random = Random(2);
    for _ in 0..20_000 {
        let mut stream: Vec<u8> = (0..=random.below(4)).flat_map(|_| random.sample()).collect();
        if random.below(3) > 0 {
            random.mutate(&mut stream);
        }
        if stream.is_empty() {
            continue;
        }
        let whole = messages(&stream, &[stream.len()], false);
        let mut ends: Vec<usize> = (0..random.below(8)).map(|_| random.below(stream.len())).collect();
        ends.sort_unstable();
        ends.push(stream.len());
        for memory in [false, true] {
            assert_eq!(messages(&stream, &ends, memory), whole, "{ends:?} {:?}", String::from_utf8_lossy(&stream));
        }
    }
}

/// Quadratic work would take minutes here.
#[test]
fn large_hostile_input_is_read_in_linear_time() {
    let patterns = Patterns::compile(&["*a*b*", "alice@*.x"]).unwrap();
    let units: [&[u8]; 16] = [
        b"\"",
        b"\\\"",
        b"<",
        b",",
        b",<",
        b";tag=",
        b";a=\"",
        b"a b:",
        b"a  ",
        b"\r\n ",
        b"\r\n",
        b"a SIP/2.0 ",
        b"SIP/2.0 ",
        b"\r\nDiversion: <sip:a@b>",
        b"m=audio 1 RTP/AVP 0\n",
        b"--b\n",
    ];
    for unit in units {
        let filler = unit.repeat((1 << 20) / unit.len());
        for head in [
            &b""[..],
            b"BYE sip:x SIP/2.0\r\nFrom: ",
            b"BYE sip:x SIP/2.0\r\nDiversion: ",
            b"BYE sip:x SIP/2.0\r\nVia: ;",
            b"BYE sip:x SIP/2.0\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n",
        ] {
            let b = [head, &filler].concat();
            if let Ok(m) = sip::parse(&b) {
                let _ = (patterns.matches(&m), m.identity_uris().count(), sdp::find(m.content_type, m.body));
            }
            messages(&b, &[b.len()], true);
        }
        let _ = (sdp::parse(&filler), sdp::find(&[b"multipart/x;", &filler[..]].concat(), &filler));
    }
}
