//! Framing of SIP on a stream.

use lc_proto::sip::{self, Framer, Framing};

/// The messages of a stream whose bytes come up to each of `ends`; every step gets on, or waits for more bytes.
fn messages(stream: &[u8], ends: &[usize], with_memory: bool) -> Vec<(usize, usize)> {
    let (mut out, mut at, mut framer, mut steps) = (Vec::new(), 0, Framer::default(), 0);
    for end in ends {
        let at_end = *end == stream.len();
        while at < *end {
            steps += 1;
            assert!(steps <= stream.len() + ends.len(), "more steps than bytes");
            let buf = &stream[at..*end];
            match if with_memory { framer.frame(buf, at_end) } else { sip::frame(buf, at_end) } {
                Framing::NeedMore => {
                    assert!(!at_end, "waits for more at the end");
                    break;
                }
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
    out
}

/// Cutting a stream does not change its messages. The first byte says how many cuts follow, two bytes each.
pub fn sip_framing(data: &[u8]) {
    let Some((n, rest)) = data.split_first() else { return };
    let n = usize::from(*n % 8).min(rest.len() / 2);
    let (cuts, stream) = rest.split_at(2 * n);
    if stream.is_empty() {
        return;
    }
    let cut = |c: &[u8]| usize::from(u16::from_le_bytes([c[0], c[1]])) % stream.len();
    let mut ends: Vec<usize> = cuts.chunks_exact(2).map(cut).collect();
    ends.sort_unstable();
    ends.push(stream.len());
    let whole = messages(stream, &[stream.len()], false);
    for memory in [false, true] {
        assert_eq!(messages(stream, &ends, memory), whole);
    }
}
