//! Streams of whole calls: what their records say.

mod common;

use common::*;
use lc_engine::record::{Record, StreamRecord};
use lc_engine::stream::codecs::Unrated;

const A: At = (1, 5060);
const B: At = (2, 5060);
const USERS: (&str, &str) = ("alice", "bob");
const P: At = (1, 4000);
const Q: At = (2, 5000);

fn described(host: u8, port: u16, profile: &str, formats: &str, attributes: &str) -> String {
    let head = format!("v=0\r\no=- 1 1 IN IP4 10.0.0.{host}\r\ns=-\r\nc=IN IP4 10.0.0.{host}\r\nt=0 0\r\n");
    format!("{head}m=audio {port} {profile} {formats}\r\n{attributes}")
}

/// Frames of a call with an offer and an answer, the media between, 20 ms apart.
fn call(offer: &str, answer: &str, media: Vec<Vec<u8>>) -> Vec<(u64, Vec<u8>)> {
    let ok = sip("SIP/2.0 200 OK", "x", USERS, "1 INVITE", answer);
    let mut frames = vec![
        udp(A, B, &invite("x", USERS, offer)),
        udp(B, A, &ok),
        udp(A, B, &sip("ACK sip:x SIP/2.0", "x", USERS, "1 ACK", "")),
    ];
    frames.extend(media);
    frames.into_iter().enumerate().map(|(n, f)| (1_000_000 * MS + n as u64 * 20 * MS, f)).collect()
}

fn streams(frames: &[(u64, Vec<u8>)]) -> Vec<StreamRecord> {
    let mut f = follower("alice");
    file(&mut f, frames);
    let records = f.take_records();
    records.into_iter().filter_map(|r| if let Record::Stream(s) = r { Some(*s) } else { None }).collect()
}

/// What the call's record says of media that went one way.
fn one_way(media: Vec<Vec<u8>>) -> Option<bool> {
    let mut f = follower("alice");
    file(&mut f, &call(&sdp(1, 4000), &sdp(2, 5000), media));
    f.take_records().into_iter().find_map(|r| if let Record::Call(c) = r { Some(c.one_way) } else { None }).unwrap()
}

fn packet(ssrc: u32, n: u16, payload_type: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x80, payload_type];
    p.extend(n.to_be_bytes());
    p.extend((u32::from(n) * 160).to_be_bytes());
    p.extend(ssrc.to_be_bytes());
    p.extend(payload);
    p
}

fn codec(r: &StreamRecord) -> &str {
    &r.types[0].1
}

#[test]
fn payload_types_mean_what_their_receiver_says() {
    let offer = described(1, 4000, "RTP/AVP", "96", "a=rtpmap:96 AMR/8000\r\n");
    let answer = described(2, 5000, "RTP/AVP", "96", "a=rtpmap:96 iLBC/8000\r\n");
    let mut media: Vec<_> = (0..10).map(|n| udp(P, Q, &packet(1, n, 96, &[0; 38]))).collect();
    media.extend((0..10).map(|n| udp(Q, P, &packet(2, n, 96, &[0; 32]))));
    let told = streams(&call(&offer, &answer, media));
    let to = |port: u16| told.iter().find(|r| r.ends.dport == port).unwrap();
    assert_eq!((codec(to(5000)), codec(to(4000))), ("iLBC", "AMR"));
    assert_eq!(to(5000).rating.unwrap_err(), Unrated::NoFigure);
    assert!((to(4000).rating.unwrap().r - 88.2).abs() < 1e-9, "12.2 kbit/s: 93.2 - 5");
}

#[test]
fn srtp_is_measured_but_not_read() {
    let offer = described(1, 4000, "RTP/SAVP", "0 101", "a=rtpmap:101 telephone-event/8000\r\n");
    let answer = described(2, 5000, "RTP/SAVP", "0 101", "a=rtpmap:101 telephone-event/8000\r\n");
    let media = (0..10).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 170]))).collect();
    let told = streams(&call(&offer, &answer, media));
    assert!(told[0].srtp);
    assert_eq!((told[0].stream.packets, told[0].stream.lost(), codec(&told[0])), (10, 0, "PCMU"));
    assert!(told[0].rating.is_ok());
}

#[test]
fn a_source_behind_an_address_translator_is_latched() {
    let (offer, answer) = (sdp(1, 4000), sdp(2, 5000));
    let outside: At = (99, 61000);
    let media =
        (0..10).flat_map(|n| [udp(outside, Q, &packet(1, n, 0, &[0; 160])), udp(P, Q, &packet(2, n, 0, &[0; 160]))]);
    let told = streams(&call(&offer, &answer, media.collect()));
    let of = |ssrc: u32| told.iter().find(|r| r.stream.ssrc == ssrc).unwrap();
    assert!(of(1).latched && !of(2).latched);
}

#[test]
fn another_source_follows_and_stun_is_no_media() {
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let mut media = vec![udp(P, Q, &stun)];
    media.extend((0..10).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 160]))));
    media.extend((500..510).map(|n| udp(P, Q, &packet(9, n, 0, &[0; 160]))));
    let frames = call(&sdp(1, 4000), &sdp(2, 5000), media);
    let told = streams(&frames);
    let seen: Vec<_> = told.iter().map(|r| (r.stream.ssrc, r.stream.packets, r.follows)).collect();
    assert_eq!(seen, [(1, 10, None), (9, 10, Some(1))]);
    assert_eq!(kept("alice", &frames).len(), frames.len(), "its frame is the call's all the same");
}

#[test]
fn media_after_the_goodbye_is_counted() {
    let mut media: Vec<_> = (0..10).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 160]))).collect();
    media.push(udp(A, B, &sip("BYE sip:x SIP/2.0", "x", USERS, "2 BYE", "")));
    media.push(udp(B, A, &sip("SIP/2.0 200 OK", "x", USERS, "2 BYE", "")));
    media.extend((10..13).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 160]))));
    let told = streams(&call(&sdp(1, 4000), &sdp(2, 5000), media));
    assert_eq!((told[0].stream.packets, told[0].stream.more.after_end), (13, 3));
}

#[test]
fn reports_on_the_same_port_are_the_streams() {
    let answer = described(2, 5000, "RTP/AVP", "0", "a=rtcp-mux\r\n");
    let offer = described(1, 4000, "RTP/AVP", "0", "a=rtcp-mux\r\n");
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 2, 0, 0, 0, 1, 128, 0, 0, 5, 0, 0, 0, 9, 0, 0, 0, 80];
    report.extend([0; 8]);
    let mut media: Vec<_> = (0..10).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 160]))).collect();
    media.push(udp(Q, P, &report));
    let told = streams(&call(&offer, &answer, media));
    let heard = told[0].rtcp.as_ref().unwrap().heard.unwrap();
    assert_eq!((heard.by, heard.block.fraction, heard.block.lost, heard.block.jitter), (2, 128, 5, 80));
}

#[test]
fn media_that_goes_one_way_only_is_told() {
    let there = || (0..10).map(|n| udp(P, Q, &packet(1, n, 0, &[0; 160])));
    let back = |n: u16| (0..n).map(|n| udp(Q, P, &packet(2, n, 0, &[0; 160])));
    assert_eq!(one_way(vec![]), None);
    assert_eq!(one_way(there().collect()), Some(true));
    assert_eq!(one_way(there().chain(back(2)).collect()), Some(true));
    assert_eq!(one_way(there().chain(back(9)).collect()), Some(false));
    let translated = (0..10).map(|n| udp((99, 61000), P, &packet(2, n, 0, &[0; 160])));
    assert_eq!(one_way(there().chain(translated).collect()), Some(false));
}
