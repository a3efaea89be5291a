//! What may be set about connections, and what a hard pressed line leaves undone.

mod common;

use common::{follower, invite, packet, rtp, sdp, tcp, udp, At, MS};
use lc_engine::follow::{is_media, Follower};
use lc_engine::hold::Hold;
use lc_engine::record::Record;
use lc_engine::tcp::Limits;
use lc_engine::verdict::Marks;

const B: At = (2, 5060);
const USERS: (&str, &str) = ("alice", "bob");

/// So many connections that each bring the beginning of a message.
fn halves(f: &mut Follower, n: u8) {
    let message = invite("late", USERS, &sdp(1, 4000));
    for host in 0..n {
        let data = tcp((10 + host, 5060), B, (1, 1), 0x18, &message[..200]);
        f.frame(&mut Marks::default(), &packet(usize::from(host), 1000 * MS, &data), u64::from(host));
    }
}

fn limited(change: impl FnOnce(&mut Limits)) -> Follower {
    let mut f = follower("alice");
    change(&mut f.connections.limits);
    f
}

#[test]
fn so_many_connections_hold_bytes() {
    let mut f = follower("alice");
    halves(&mut f, 5);
    assert_eq!((f.connections.len(), f.connections.evicted[3]), (5, 0));
    let mut f = limited(|l| l.buffers = 2);
    halves(&mut f, 5);
    assert_eq!((f.connections.len(), f.connections.evicted[3]), (2, 3));
}

#[test]
fn so_many_bytes_are_held() {
    let mut f = limited(|l| l.bytes = 1 << 10);
    halves(&mut f, 20);
    assert!(f.connections.levels().2 <= 1 << 10);
    assert!(f.connections.len() < 20);
}

#[test]
fn quiet_connections_are_forgotten_when_it_is_time_to_look() {
    let second = 1000 * MS;
    for (change, kept) in [
        ((600, 300, 60), [true, true, true]),
        ((600, 20, 60), [true, true, false]), // an unfinished message
        ((600, 20, 1), [true, false, false]), // looked for more often
        ((30, 300, 1), [true, true, false]),  // an open connection
    ] {
        let mut f = limited(|l| (l.idle, l.age, l.sweep) = (change.0 * second, change.1 * second, change.2 * second));
        halves(&mut f, 1);
        let after = [10, 15, 100].map(|seconds| {
            (0..seconds).for_each(|_| f.pass(&mut Marks::default(), second));
            !f.connections.is_empty()
        });
        assert_eq!(after, kept, "{change:?}");
    }
}

/// Media, then the SDP that names it, then media: how many frames are kept, and whether the stream was measured.
fn pressed(strain: u8) -> (usize, bool) {
    let mut f = follower("alice");
    f.calls.strain = strain;
    let (media, call) = ((1, 4000), (1, 5060));
    let mut frames: Vec<Vec<u8>> = (0..5).map(|n| udp((3, 6000), media, &rtp(9, n))).collect();
    frames.push(udp(call, B, &invite("x", USERS, &sdp(1, 4000))));
    frames.extend((5..10).map(|n| udp((3, 6000), media, &rtp(9, n))));
    let mut hold = Hold::new(10_000 * MS, 1 << 20);
    let mut out = 0;
    for (n, data) in frames.iter().enumerate() {
        let p = packet(n, 1000 * MS + n as u64 * MS, data);
        hold.begin(n as u64);
        f.frame(&mut hold, &p, n as u64);
        hold.end(&p, |_, _| out += 1);
    }
    f.finish(&mut hold);
    hold.finish(|_, _| out += 1);
    (out, f.take_records().iter().any(|r| matches!(r, Record::Stream(_))))
}

#[test]
fn a_hard_pressed_line_measures_no_streams_then_remembers_no_media() {
    assert_eq!(pressed(0), (11, true));
    assert_eq!(pressed(1), (11, false));
    assert_eq!(pressed(2), (6, false));
}

#[test]
fn media_is_told_from_sip() {
    let told = |data: &[u8]| is_media(&packet(0, 0, data));
    assert!(told(&udp((3, 6000), (1, 4000), &rtp(9, 1))));
    assert!(!told(&udp((3, 5060), B, &invite("x", USERS, ""))));
    assert!(!told(&tcp((3, 5060), B, (1, 1), 0x18, &rtp(9, 1))));
}
