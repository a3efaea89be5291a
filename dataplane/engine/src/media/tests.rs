//! Whose media it is, case by case.

use lc_wire::Addr;

use super::flows::IDLE_ORPHAN;
use super::*;
use crate::stream::Arrival;

const X: Ref = Ref { slot: 1, serial: 1 };
const Y: Ref = Ref { slot: 2, serial: 2 };
const MS: u64 = 1_000_000;

fn end(host: u8, port: u16) -> End {
    End { context: 0, addr: Addr::v4([10, 0, 0, host]), port }
}

fn key(a: End, b: End) -> FlowKey {
    FlowKey { context: 0, src: a.addr, dst: b.addr, sport: a.port, dport: b.port }
}

fn claim(m: &mut Media, end: End, call: Ref, now: u64) -> Ref {
    m.claim(end, call, (How::Named, false), &[], now).unwrap()
}

fn rtp(m: &mut Media, a: End, b: End, ssrc: u32, sequence: u16, now: u64) -> Vec<Ref> {
    let flow = m.flow(key(a, b), now).unwrap();
    m.packet(flow, Seen { kind: Kind::Rtp, ssrc, sequence, now }).as_slice().to_vec()
}

#[test]
fn a_port_is_never_enough() {
    let mut m = Media::default();
    m.claim(end(1, 4000), X, (How::Named, false), &[], 0);
    assert_eq!(rtp(&mut m, end(1, 4000), end(2, 5000), 7, 1, 0), [X]);
    assert_eq!(rtp(&mut m, end(3, 4000), end(2, 5000), 7, 1, 0), []);
    assert_eq!(rtp(&mut m, end(2, 5000), end(1, 4002), 7, 1, 0), []);
}

#[test]
fn the_next_owner_of_a_port_is_not_confused_with_the_last() {
    let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
    let (ea, eb) = (claim(&mut m, a, X, 0), claim(&mut m, b, X, 0));
    assert_eq!(rtp(&mut m, a, b, 7, 1, 20 * MS), [X]);
    m.drain(ea, X);
    m.drain(eb, X);
    assert_eq!(rtp(&mut m, a, b, 7, 2, 40 * MS), [X]); // the tail of its own stream
    assert_eq!(rtp(&mut m, a, b, 8, 900, 60 * MS), []); // another stream
    m.claim(a, Y, (How::Named, false), &[], 300 * MS);
    assert_eq!(rtp(&mut m, a, b, 7, 3, 700 * MS), [Y]); // even with the same SSRC
}

#[test]
fn a_claim_without_bye_gives_way_to_a_newer_one() {
    let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
    m.claim(a, X, (How::Named, false), &[], 0);
    m.claim(b, X, (How::Named, false), &[], 0);
    rtp(&mut m, a, b, 7, 1, 20 * MS);
    let ea = claim(&mut m, a, Y, 5000 * MS);
    m.claim(b, Y, (How::Named, false), &[ea], 5200 * MS);
    assert_eq!(rtp(&mut m, a, b, 9, 1, 5300 * MS), [Y]);
}

#[test]
fn two_legs_share_endpoints_that_both_name_before_media() {
    let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
    let ea = claim(&mut m, a, X, 0);
    m.claim(a, Y, (How::Named, false), &[], 10 * MS);
    m.claim(b, Y, (How::Named, false), &[ea], 100 * MS);
    assert_eq!(rtp(&mut m, b, a, 7, 1, 105 * MS), [Y]); // media overtakes the second answer
    m.claim(b, X, (How::Named, false), &[ea], 110 * MS);
    assert_eq!(rtp(&mut m, b, a, 7, 2, 125 * MS), [Y, X]);
}

#[test]
fn an_implied_rtcp_port_gives_way_to_a_named_one() {
    let (a, odd, b, mut m) = (end(1, 4000), end(1, 4001), end(2, 5001), Media::default());
    m.claim(a, X, (How::Named, true), &[], 0);
    let flow = m.flow(key(odd, b), 0).unwrap();
    let rtcp = Seen { kind: Kind::Rtcp, ssrc: 1, sequence: 0, now: 0 };
    assert_eq!(m.packet(flow, rtcp).as_slice(), [X]);
    m.claim(odd, Y, (How::Named, false), &[], 5);
    assert_eq!(m.packet(flow, rtcp).as_slice(), [Y]);
}

#[test]
fn media_before_sdp_is_adopted() {
    let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
    let flow = m.flow(key(a, b), 0).unwrap();
    assert_eq!(rtp(&mut m, a, b, 7, 1, 0), []);
    m.wait(flow, 33, 0, u64::MAX);
    let eb = claim(&mut m, b, X, 150 * MS);
    let adopted = m.adopt(&[eb], 150 * MS);
    assert_eq!((adopted[0].frames.as_slice(), adopted[0].owners.as_slice()), (&[33][..], &[X][..]));
    assert_eq!(rtp(&mut m, a, b, 7, 2, 160 * MS), [X]);
}

#[test]
fn idle_flows_and_unclaimed_endpoints_are_forgotten() {
    let (a, b, mut m) = (end(1, 4000), end(2, 5000), Media::default());
    let flow = m.flow(key(a, b), 0).unwrap();
    m.wait(flow, 5, 0, u64::MAX);
    assert_eq!(m.sweep(IDLE_ORPHAN + SECOND), [5]);
    assert_eq!(m.sizes(), (0, 0));
}

#[test]
fn each_limit_has_its_own_counter() {
    let mut m = Media::default();
    let flow = m.flow(key(end(1, 4000), end(2, 5000)), 0).unwrap();
    let a = Arrival {
        ts: 0,
        sequence: 0,
        timestamp: 0,
        payload_type: 0,
        marker: false,
        bytes: 172,
        payload: 160,
        first: None,
    };
    assert_eq!((0..40).filter(|ssrc| m.stream(flow, *ssrc, a, (0, 1)).is_some()).count(), 32);
    assert_eq!(m.evicted, Evicted { streams: 8, ..Evicted::default() });
    m.sweep(IDLE_ORPHAN + SECOND);
    assert_eq!(m.evicted, Evicted { streams: 8, idle_flows: 1, ..Evicted::default() });
    let mut m = Media::default();
    for n in 0..=MAX_ENDS as u128 {
        m.claim(End { addr: Addr(n), ..end(1, 1) }, X, (How::Named, false), &[], 0);
    }
    assert_eq!(m.evicted, Evicted { endpoints: 1, ..Evicted::default() });
}
