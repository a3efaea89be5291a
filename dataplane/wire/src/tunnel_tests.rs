//! Tunnels end to end: from the frame on.

use super::*;
use crate::{decode, udp, LinkType};

const IP: [u8; 24] = [0x45, 0, 0, 24, 0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 0, 1, 192, 168, 0, 2, 1, 2, 3, 4];

/// An Ethernet frame with IPv4 from 10.0.0.`ends.0` to 10.0.0.`ends.1`.
fn outer(protocol: u8, ends: (u8, u8), payload: &[u8]) -> Vec<u8> {
    let mut f = vec![0; 12];
    f.extend([8, 0, 0x45, 0]);
    f.extend((20 + payload.len() as u16).to_be_bytes());
    f.extend([0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, ends.0, 10, 0, 0, ends.1]);
    f.extend(payload);
    f
}

fn datagram(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let mut d = [sport.to_be_bytes(), dport.to_be_bytes(), (8 + payload.len() as u16).to_be_bytes(), [0; 2]].concat();
    d.extend(payload);
    d
}

/// What a frame's tunnel carries: network, addresses, payload.
fn enters(frame: &[u8]) -> Option<(Context, String, Vec<u8>)> {
    let ip = decode(LinkType::ETHERNET, frame).unwrap();
    let inner = match ip.protocol {
        17 => {
            let u = udp::parse(ip.payload).unwrap();
            assert!(has_port(&u));
            over_udp(&ip, &u)?.unwrap()
        }
        _ => over_ip(&ip)?.unwrap(),
    };
    assert_eq!(inner.tunnels, 1);
    Some((inner.context, inner.src.to_string(), inner.payload.to_vec()))
}

fn bridged() -> Vec<u8> {
    [&[2; 12][..], &[8, 0], &IP].concat()
}

/// The same packet in each encapsulation of a network number and a pair, as bytes above IP: (protocol, bytes).
fn encapsulations(number: u8, backwards: bool) -> Vec<(u8, Vec<u8>)> {
    let teid = if backwards { 77 } else { number };
    vec![
        (4, IP.to_vec()),
        (94, IP.to_vec()),
        (47, [&[0x20, 0, 8, 0, 0, 0, 0, number][..], &IP].concat()),
        (47, [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 9, 0x10, 0, 0, number, 0, 0, 0, 0][..], &bridged()].concat()),
        (115, [&[0, 0, 0, teid][..], &bridged()].concat()),
        (17, datagram(5000, 4789, &[&[8, 0, 0, 0, 0, 0, number, 0][..], &bridged()].concat())),
        (17, datagram(5001, 6081, &[&[0, 0, 0x65, 0x58, 0, 0, number, 0][..], &bridged()].concat())),
        (17, datagram(2152, 2152, &[&[0x30, 255, 0, 24, 0, 0, 0, teid][..], &IP].concat())),
        (17, datagram(1701, 1701, &[&[0, 2, 0, teid, 0, teid, 0xff, 3, 0, 0x21][..], &IP].concat())),
        (17, datagram(40000, 37008, &[&[1, 0, 0, 1, 1][..], &bridged()].concat())),
    ]
}

#[test]
fn one_network_in_both_directions_and_another_beside_it() {
    let there = encapsulations(5, false);
    let back = encapsulations(5, true);
    let mut seen = Vec::new();
    for ((protocol, a), (_, b)) in there.iter().zip(&back) {
        let (context, src, payload) = enters(&outer(*protocol, (1, 2), a)).unwrap();
        assert_eq!((src.as_str(), payload), ("192.168.0.1", vec![1, 2, 3, 4]));
        assert_eq!(enters(&outer(*protocol, (2, 1), b)).unwrap().0, context, "{protocol} {a:?}");
        assert!(context != 0 && !seen.contains(&context));
        seen.push(context);
        let numbered = a.len() > 8 && *protocol == 17 && (a[2..4] == [0x12, 0xb5] || a[2..4] == [0x17, 0xc1]);
        let elsewhere = enters(&outer(*protocol, (1, 3), a)).unwrap().0;
        assert_eq!(elsewhere == context, numbered, "only a numbered network is one between all hosts");
    }
    for ((protocol, a), (_, b)) in there.iter().zip(&encapsulations(6, false)) {
        let differs =
            enters(&outer(*protocol, (1, 2), b)).unwrap().0 != enters(&outer(*protocol, (1, 2), a)).unwrap().0;
        let told = *protocol == 47 || (*protocol == 17 && (a[2..4] == [0x12, 0xb5] || a[2..4] == [0x17, 0xc1]));
        assert_eq!(differs, told);
    }
}

#[test]
fn ipv6_inside() {
    let mut v6 = vec![0x60, 0, 0, 0, 0, 4, 17, 64];
    v6.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    v6.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    v6.extend([9; 4]);
    let six = enters(&outer(41, (1, 2), &v6)).unwrap();
    let teredo = enters(&outer(17, (1, 2), &datagram(40000, 3544, &v6))).unwrap();
    assert_eq!((six.1.as_str(), &six.2), ("2001:db8::1", &vec![9; 4]));
    assert_eq!((teredo.1, teredo.2), (six.1, six.2));
    let back = enters(&outer(17, (2, 1), &datagram(3544, 40000, &v6))).unwrap();
    assert_eq!(back.0, teredo.0);
}

#[test]
fn depth_is_bounded() {
    let mut b = IP.to_vec();
    for _ in 0..=MAX_TUNNELS {
        b = outer(4, (1, 2), &b)[14..].to_vec();
    }
    let frame = [&[0; 12][..], &[8, 0], &b].concat();
    let mut ip = decode(LinkType::ETHERNET, &frame).unwrap();
    for depth in 1..=MAX_TUNNELS {
        ip = over_ip(&ip).unwrap().unwrap();
        assert_eq!(ip.tunnels, depth);
    }
    assert_eq!(over_ip(&ip), Some(Err(Refusal::TooManyTunnels)));
}

#[test]
fn what_else_comes_to_these_ports() {
    for (sport, dport, payload) in [
        (4789, 40000, &[8, 0, 0, 0, 0, 0, 1, 0, 1, 2][..]),
        (40000, 4789, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 5]),
        (40000, 2152, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 5]),
        (40000, 1701, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 5]),
        (4500, 4500, &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]),
        (4500, 4500, &[0xff]),
    ] {
        let frame = outer(17, (1, 2), &datagram(sport, dport, payload));
        let ip = decode(LinkType::ETHERNET, &frame).unwrap();
        let u = udp::parse(ip.payload).unwrap();
        assert_eq!(over_udp(&ip, &u), None, "{sport} {dport}");
    }
}
