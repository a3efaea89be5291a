//! Whole calls through the follower, as a file and as a pipe (law 4), and hostile input (laws 1 and 5).

mod common;

use common::*;
use lc_engine::hold::Hold;
use lc_engine::record::Record;

const A: At = (1, 5060);
const B: At = (2, 5060);
const USERS: (&str, &str) = ("alice", "bob");
const OTHERS: (&str, &str) = ("carol", "dave");

/// A call between hosts `h` and `h + 1` with media on both sides, one packet of it before its SDP.
fn call(id: &str, users: (&str, &str), h: u8) -> Vec<Vec<u8>> {
    let (a, b, p, q) = ((h, 5060), (h + 1, 5060), (h, 4000), (h + 1, 5000));
    let ok = sip("SIP/2.0 200 OK", id, users, "1 INVITE", &sdp(h + 1, 5000));
    let mut frames = vec![
        udp(a, b, &invite(id, users, &sdp(h, 4000))),
        udp(q, p, &rtp(u32::from(h), 1)),
        udp(b, a, &ok),
        udp(a, b, &sip("ACK sip:x SIP/2.0", id, users, "1 ACK", "")),
    ];
    frames.extend((2..20).flat_map(|n| [udp(p, q, &rtp(u32::from(h) + 50, n)), udp(q, p, &rtp(u32::from(h), n))]));
    frames.push(udp(a, b, &sip("BYE sip:x SIP/2.0", id, users, "2 BYE", "")));
    frames.push(udp(b, a, &sip("SIP/2.0 200 OK", id, users, "2 BYE", "")));
    frames
}

#[test]
fn a_call_with_its_media_and_nobody_elses() {
    let (mine, theirs) = (call("one", USERS, 1), call("two", OTHERS, 11));
    let frames = timed(mine.into_iter().zip(theirs).flat_map(|(m, t)| [m, t]));
    let even: Vec<usize> = (0..frames.len()).step_by(2).collect();
    assert_eq!(kept("alice", &frames), even);
}

#[test]
fn what_came_before_the_match_comes_too() {
    let early = sip("SIP/2.0 100 Trying", "x", OTHERS, "1 INVITE", "");
    let late = invite("x", USERS, "");
    assert_eq!(kept("alice", &timed([udp(B, A, &early), udp((9, 9), B, b"noise"), udp(A, B, &late)])), [0, 2]);
}

#[test]
fn fragments_in_any_order() {
    let body = format!("{}a=x:{}\r\n", sdp(1, 4000), "y".repeat(900));
    let parts = fragments(A, B, 7, &invite("frag", USERS, &body), 256);
    let n = parts.len();
    for turn in 0..n {
        let mut frames = parts.clone();
        frames.rotate_left(turn);
        frames.swap(0, n - 1);
        frames.insert(1, udp((8, 8), B, b"noise"));
        frames.push(udp((1, 4000), (3, 3000), &rtp(1, 1)));
        let want: Vec<usize> = (0..n + 2).filter(|i| *i != 1).collect();
        assert_eq!(kept("alice", &timed(frames)), want, "turned by {turn}");
    }
}

/// A connection: handshake, client's bytes in the given pieces, close.
fn connection(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut seq = 1001;
    let mut frames =
        vec![tcp(A, B, (1000, 0), SYN, b""), tcp(B, A, (9, 1001), SYN_ACK, b""), tcp(A, B, (1001, 10), ACK, b"")];
    for p in pieces {
        frames.push(tcp(A, B, (seq, 10), ACK, p));
        seq = seq.wrapping_add(p.len() as u32);
    }
    frames.push(tcp(A, B, (seq, 10), FIN, b""));
    frames.push(tcp(B, A, (10, seq + 1), FIN, b""));
    frames
}

#[test]
fn a_stream_cut_at_every_byte() {
    let (one, two) = (invite("one", USERS, &sdp(1, 4000)), invite("two", OTHERS, ""));
    let stream = [&one[..], &two].concat();
    for cut in 1..stream.len() {
        let frames = timed(connection(&[&stream[..cut], &stream[cut..]]));
        let second = if cut < one.len() { Some(4) } else { None };
        let want: Vec<usize> = [0, 1, 2, 3].into_iter().chain(second).chain([5, 6]).collect();
        assert_eq!(kept("alice", &frames), want, "cut at {cut}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let frames = timed(connection(&bytes));
    let mine = 3 + one.len();
    let want: Vec<usize> = (0..mine).chain([frames.len() - 2, frames.len() - 1]).collect();
    assert_eq!(kept("alice", &frames), want);
}

#[test]
fn segments_out_of_order_and_again() {
    let (one, two) = (invite("one", USERS, ""), invite("two", OTHERS, ""));
    let mut frames = connection(&[&two, &one[..50], &one[50..]]);
    frames.swap(4, 5);
    frames.insert(6, frames[5].clone());
    assert_eq!(kept("alice", &timed(frames)), [0, 1, 2, 4, 5, 6, 7, 8]);
}

const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

/// A client's WebSocket frame; `first` is its first byte: FIN and opcode.
fn websocket(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4u8];
    let mut f = vec![first, 0x80 | 126];
    f.extend((payload.len() as u16).to_be_bytes());
    f.extend(mask);
    f.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, k)| b ^ k));
    f
}

#[test]
fn sip_over_websocket() {
    let (one, two) = (websocket(0x81, &invite("one", USERS, "")), websocket(0x81, &invite("two", OTHERS, "")));
    let frames = timed(connection(&[UPGRADE, &one[..100], &one[100..], &two]));
    let mut f = follower("alice");
    let kept = file(&mut f, &frames);
    assert!([0, 1, 2, 4, 5, 7, 8].iter().all(|n| kept.contains(n)) && !kept.contains(&6), "{kept:?}");
    assert_eq!(f.take_records().len(), 2); // the message and the call
}

#[test]
fn websocket_messages_in_parts_on_a_shared_connection() {
    let parts = |m: &[u8]| [websocket(1, &m[..60]), websocket(0, &m[60..90]), websocket(0x80, &m[90..])];
    let (one, two) = (parts(&invite("one", USERS, "")), parts(&invite("two", OTHERS, "")));
    let ping = [0x89, 0x80, 1, 2, 3, 4];
    let (head, tail) = one[1].split_at(20);
    let pieces: [&[u8]; 9] = [UPGRADE, &two[0], &two[1], &two[2], &one[0], &ping, head, tail, &one[2]];
    // 0-2 handshake, 3 upgrade, 4-6 the other's parts, 7-11 ours, 12-13 close
    let mut f = follower("alice");
    let frames = timed(connection(&pieces));
    let mine = file(&mut f, &frames);
    assert_eq!(mine, [0, 1, 2, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(kept("alice", &frames), mine);
    let Record::Sip(m) = &f.take_records()[0] else { panic!() };
    assert_eq!((m.bytes.as_ref(), m.frames.len()), (&invite("one", USERS, "")[..], 5));
}

#[test]
fn websocket_parts_without_end_are_bounded() {
    let mut f = follower("alice");
    let many: Vec<u8> = websocket(0, &[b'x'; 1000]).repeat(40);
    let pieces: Vec<&[u8]> = std::iter::once(UPGRADE).chain(std::iter::repeat_n(&many[..], 80)).collect();
    file(&mut f, &timed(connection(&pieces)));
    assert!(f.connections.evicted[3] > 0);
}

#[test]
fn a_bye_without_answer_ends_the_media() {
    let mut frames = call("one", USERS, 1);
    frames.pop();
    let mut frames = timed(frames);
    let end = frames.last().unwrap().0;
    for (ms, ssrc) in [(3500, 77), (3520, 77)] {
        frames.push((end + ms * MS, udp((1, 4000), (2, 5000), &rtp(ssrc, 900))));
    }
    let want: Vec<usize> = (0..frames.len() - 2).collect();
    assert_eq!(kept("alice", &frames), want);
}

#[test]
fn repeated_segments_cost_what_they_weigh() {
    let message = sip("OPTIONS sip:x SIP/2.0", "o", OTHERS, "1 OPTIONS", "");
    let many = message.repeat(60_000 / message.len());
    let mut frames = connection(&[]);
    frames.truncate(3);
    frames.extend((0..200).map(|_| tcp(A, B, (1002, 10), ACK, &many)));
    frames.extend((0..5000).map(|n| tcp(A, B, (70_000 + 2 * n, 10), ACK, b"x")));
    frames.push(tcp(A, B, (1001, 10), ACK, b"\n"));
    kept("alice", &timed(frames));
}

#[test]
fn the_same_time_for_ever_keeps_everything_bounded() {
    let mut f = follower("alice");
    f.calls = f.calls.limited(50);
    let mut hold = Hold::new(10_000 * MS, 1 << 20);
    let mut frames: Vec<(u64, Vec<u8>)> = Vec::new();
    for n in 0..6000u16 {
        let id = format!("c{n}");
        frames.push((0, udp(A, B, &invite(&id, OTHERS, &sdp(1, n)))));
        frames.push((0, udp((3, n), (4, 9), &rtp(u32::from(n), n))));
        frames.push((0, ip(1, 2, 17, 3, 0x2000, &[0; 64]))); // the same fragment again and again
        frames.push((0, tcp((5, n), B, (0, 0), ACK, &invite(&id, OTHERS, "")[..80])));
    }
    assert!(pipe(&mut f, &mut hold, &frames).is_empty());
    assert!(f.calls.stats.evicted[0] > 5000);
    assert!(f.fragments_refused[1] > 5000);
}

#[test]
fn random_changes_of_valid_frames() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    let mut base = call("one", USERS, 1);
    base.extend(call("two", OTHERS, 1));
    base.extend(connection(&[&invite("three", USERS, ""), b"\r\n\r\n", &invite("four", OTHERS, "")]));
    base.extend(fragments(A, B, 1, &invite("five", USERS, &sdp(1, 4000)), 64));
    for round in 0..60 {
        let mut frames = Vec::new();
        let mut now = u64::MAX / 2 * (round as u64 % 3 / 2);
        for _ in 0..400 {
            let mut f = base[random(base.len())].clone();
            for _ in 0..random(4) {
                let at = random(f.len());
                f[at] = random(256) as u8;
            }
            if random(8) == 0 {
                f.truncate(random(f.len() + 1));
            }
            now = match random(50) {
                0 => now.saturating_sub(random(1 << 34) as u64),
                1 => now.saturating_add(random(1 << 40) as u64),
                2 if random(20) == 0 => u64::MAX - random(1000) as u64,
                _ => now.saturating_add(random(30) as u64 * MS),
            };
            frames.push((now, f));
        }
        let once = file(&mut follower("alice"), &frames);
        assert_eq!(once, file(&mut follower("alice"), &frames), "the same input, the same output");
        let mut f = follower("alice");
        f.calls = f.calls.limited(3);
        pipe(&mut f, &mut Hold::new(500 * MS, 20_000), &frames);
    }
}

/// Frames of a call, one a second, with a longer talk: much is idle for some seconds at any time.
fn slow_call() -> Vec<(u64, Vec<u8>)> {
    let frames = timed(call("one", USERS, 1));
    frames.into_iter().enumerate().map(|(n, (_, f))| (1_000_000 * MS + n as u64 * 1000 * MS, f)).collect()
}

#[test]
fn one_wrong_timestamp_ends_nothing() {
    for wrong in [0, u64::MAX, 1_000_000 * MS + 7200 * 1000 * MS, 40 * 365 * 86_400 * 1000 * MS] {
        let mut frames = slow_call();
        let n = frames.len();
        frames.insert(2, (wrong, udp((8, 8), B, b"noise")));
        frames.insert(20, (wrong, udp((8, 8), (9, 9), &rtp(9, 9))));
        let parts = fragments(A, B, 7, &invite("late", USERS, &"y".repeat(900)), 256);
        let last = frames[n + 1].0;
        frames.extend(parts.into_iter().map(|f| (last + MS, f)));
        let want: Vec<usize> = (0..frames.len()).filter(|i| *i != 2 && *i != 20).collect();
        assert_eq!(kept("alice", &frames), want, "wrong: {wrong}");
    }
}

#[test]
fn a_clock_that_is_set_back_or_on_ends_no_call() {
    for (back, by) in [(true, 86_400_000 * MS), (true, 60_000 * MS), (false, 50_000 * MS)] {
        let mut frames = slow_call();
        for (ts, _) in &mut frames[15..] {
            *ts = if back { 90_000_000 * MS + *ts - by } else { *ts + by };
        }
        for (ts, _) in &mut frames[..15] {
            *ts += if back { 90_000_000 * MS } else { 0 };
        }
        let all: Vec<usize> = (0..frames.len()).collect();
        assert_eq!(kept("alice", &frames), all, "back: {back}, by {by}");
        let mut f = follower("alice");
        file(&mut f, &frames);
        let records = f.take_records();
        let last = frames.last().unwrap().0;
        assert!(records.iter().any(|r| matches!(r, Record::Sip(m) if m.ts == last)), "records keep the capture's time");
    }
}

/// Two calls side by side through a pipe; at frame `at` the selectors become `user`. Which frames came out.
fn reselected(first: &str, user: &str, at: usize) -> Vec<usize> {
    let (one, two) = (call("one", USERS, 1), call("two", OTHERS, 11));
    let frames = timed(one.into_iter().zip(two).flat_map(|(a, b)| [a, b]));
    let mut f = follower(first);
    let mut hold = Hold::new(10_000 * MS, 64 << 20);
    let mut out = Vec::new();
    for (n, (ts, data)) in frames.iter().enumerate() {
        if n == at {
            f.reselect(&mut hold, selection(user));
            hold.pass(0, |p, _| out.push(p.number as usize - 1));
        }
        let p = packet(n, *ts, data);
        hold.begin(n as u64);
        f.frame(&mut hold, &p, n as u64);
        hold.end(&p, |p, _| out.push(p.number as usize - 1));
    }
    f.finish(&mut hold);
    hold.finish(|p, _| out.push(p.number as usize - 1));
    assert_eq!((out.len() + hold.take_filtered().count(), hold.missed), (frames.len(), 0));
    out.sort_unstable();
    out
}

#[test]
fn new_selectors_take_calls_in_progress_whole_and_let_nobody_go() {
    let total = 2 * call("one", USERS, 1).len();
    let all: Vec<usize> = (0..total).collect();
    let odd: Vec<usize> = (1..total).step_by(2).collect();
    assert_eq!(reselected("nobody", "carol", 20), odd, "what is held of a call in progress is kept");
    assert_eq!(reselected("alice", "dave", 20), all, "a selected call goes on to its end");
    assert_eq!(reselected("carol", "", 20), all, "no name stands for every call");
    assert_eq!(reselected("carol", "nobody", 20), odd);
    let even: Vec<usize> = (0..total).step_by(2).collect();
    assert_eq!(reselected("nobody", "alice@a.example", 20), even, "a host is seen at the next message");
    assert!(reselected("nobody", "alice@elsewhere.org", 20).is_empty());
}

/// RFC 3891 §3: who accepts an INVITE with Replaces hangs up the call that it names.
#[test]
fn a_replaced_call_is_transferred() {
    let (c, third) = ((7, 5060), ("carol", "alice"));
    let first = |id: &str, users, more: &str| {
        let text = String::from_utf8(invite(id, users, "")).unwrap();
        text.replace(&format!(";tag=t{id}"), "").replace("CSeq:", &format!("{more}CSeq:")).into_bytes()
    };
    let replacing = first("two", third, "Replaces: one;to-tag=tone;from-tag=fone\r\n");
    let frames = timed([
        udp(A, B, &first("one", USERS, "")),
        udp(B, A, &sip("SIP/2.0 200 OK", "one", USERS, "1 INVITE", "")),
        udp(c, A, &replacing),
        udp(A, c, &sip("SIP/2.0 200 OK", "two", third, "1 INVITE", "")),
        udp(A, B, &sip("BYE sip:x SIP/2.0", "one", USERS, "2 BYE", "")),
        udp(B, A, &sip("SIP/2.0 200 OK", "one", USERS, "2 BYE", "")),
    ]);
    let mut f = follower("");
    file(&mut f, &frames);
    let told = f.take_records().into_iter().filter_map(|r| match r {
        Record::Call(c) => Some((c.call_id, c.state, c.replaces)),
        _ => None,
    });
    let mut calls: Vec<_> = told.collect();
    calls.sort_unstable();
    assert_eq!(
        calls,
        [(b"one"[..].into(), "transferred", b""[..].into()), (b"two"[..].into(), "answered", b"one"[..].into())]
    );
}
