//! Tunnels on the line: what SDP names comes first, and fragments within fragments.

mod common;

use common::*;

const USERS: (&str, &str) = ("alice", "bob");
const OTHERS: (&str, &str) = ("carol", "dave");

/// VXLAN around an Ethernet frame, between two hosts that SDP may name too.
fn vxlan(a: At, b: At, frame: &[u8]) -> Vec<u8> {
    udp(a, b, &around(frame))
}

fn around(frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0, 0, 0, 9, 0][..], frame].concat()
}

#[test]
fn a_port_that_sdp_names_is_media_and_no_tunnel() {
    let carol = |id| udp((3, 5060), (4, 5060), &invite(id, OTHERS, ""));
    let frames = timed([
        vxlan((5, 4789), (6, 4789), &carol("one")),
        udp((5, 5060), (6, 5060), &invite("two", USERS, &sdp(5, 4789))),
        vxlan((6, 4789), (5, 4789), &carol("three")),
        udp((6, 4789), (5, 4789), &rtp(1, 1)),
    ]);
    let mut f = follower("alice");
    assert_eq!(file(&mut f, &frames), [1, 3]);
    let seen: u64 = f.calls.stats.messages.values().sum();
    assert_eq!(seen, 2, "the second datagram of VXLAN is media of some kind");
    assert_eq!(kept("alice", &frames), [1, 3]);
}

#[test]
fn a_fragment_inside_a_tunnel_whose_packets_came_in_fragments() {
    let message = invite("c1", USERS, &format!("{}a=x:{}\r\n", sdp(1, 4000), "y".repeat(400)));
    let inner = fragments((1, 5060), (2, 5060), 7, &message, 256);
    let frames: Vec<Vec<u8>> =
        (0u16..).zip(&inner).flat_map(|(id, f)| fragments((5, 49000), (6, 4789), id, &around(f), 128)).collect();
    let frames = timed(frames);
    assert!(inner.len() > 2 && frames.len() > 2 * inner.len());
    let all: Vec<usize> = (0..frames.len()).collect();
    assert_eq!(kept("alice", &frames), all);
}

#[test]
fn too_many_tunnels_are_refused_and_counted() {
    let mut packet = udp((3, 5060), (4, 5060), &invite("one", USERS, ""));
    for _ in 0..9 {
        packet = ip(1, 2, 4, 0, 0, &packet[14..]);
    }
    let mut f = follower("alice");
    assert!(file(&mut f, &timed([packet])).is_empty());
    let counted = lc_wire::Refusal::ALL.iter().zip(f.refused).find(|(r, _)| r.labels() == ("tunnel", "too_many"));
    assert_eq!(counted.map(|(_, n)| n), Some(1));
}
