//! Tunnels: what an IP packet or a datagram carries that is a network of its own, and what that network is.
//!
//! Equal five-tuples in different tunnels stay apart: a tunnel adds to the [`Context`] of what it carries. What it adds
//! must be the same in both directions, and the same for a call's signalling and its media:
//!
//! | encapsulation | what tells its network |
//! |---|---|
//! | VXLAN, Geneve | the network identifier (VNI): the endpoints of the overlay differ from host to host |
//! | GRE | the pair of addresses, without order, and the key |
//! | ERSPAN | the pair, the session, the VLAN where the tag was taken off the mirrored frame |
//! | IP in IP, 6in4, Teredo, TZSP, ESP in tunnel mode | the pair |
//! | GTP-U, L2TP, PPTP | the pair: TEIDs, sessions and call numbers are chosen by the receiver and differ by direction |
//! | ESP in transport mode | nothing: it is the same packet, and its media may go beside it |
//! | MPLS pseudowires | nothing: labels differ by direction |
//!
//! So a user who moves to another base station in the middle of a call, or a call whose media go to another node of a
//! mesh of IP-in-IP tunnels than its signalling, is in two networks.

use crate::decode::inside;
use crate::ethernet::{IPV4, IPV6, MPLS};
use crate::ip::{Context, Ip};
use crate::refusal::Refusal;
use crate::udp::Udp;
use crate::{esp, gre, gtp, l2tp, teredo, tzsp, vxlan};

/// Tunnels within each other that are walked before the frame is refused (law 5: work per frame is bounded).
pub const MAX_TUNNELS: u8 = 8;

/// Protocol numbers (IANA) of tunnels over IP.
mod protocol {
    pub const IPIP: u8 = 4;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const IPIP_OLD: u8 = 94;
    pub const L2TP: u8 = 115;
    pub const MPLS: u8 = 137;
}

/// What tells a tunnel's network.
enum Network {
    /// A number alone.
    Number(u64),
    /// A number between two addresses.
    Pair(u64),
    /// That of the tunnel's own packets.
    Same,
}

/// What an IP packet carries where its protocol is a tunnel; none: it is none.
#[must_use]
pub fn over_ip<'a>(ip: &Ip<'a>) -> Option<Result<Ip<'a>, Refusal>> {
    let b = ip.payload;
    let (start, network) = match ip.protocol {
        protocol::IPIP | protocol::IPIP_OLD => ((IPV4, 0), Network::Pair(0)),
        protocol::IPV6 => ((IPV6, 0), Network::Pair(0)),
        protocol::GRE => match gre::header(b) {
            Ok((kind, at, id)) => ((kind, at), Network::Pair(id)),
            Err(why) => return Some(Err(why)),
        },
        protocol::ESP => return secured(ip, b),
        protocol::L2TP => (l2tp::over_ip(b)?, Network::Pair(0)),
        protocol::MPLS => ((MPLS, 0), Network::Same),
        _ => return None,
    };
    Some(enter(ip, u64::from(ip.protocol), b, start, network))
}

/// Whether a datagram may be a tunnel's, by its ports.
#[inline]
#[must_use]
pub fn has_port(u: &Udp<'_>) -> bool {
    matches!(u.dport, vxlan::PORT | vxlan::PORT_LINUX | vxlan::PORT_GPE | vxlan::PORT_GENEVE | gtp::PORT | tzsp::PORT)
        || [u.dport, u.sport].into_iter().any(|p| matches!(p, teredo::PORT | l2tp::PORT | esp::PORT))
}

/// What a datagram carries where it is a tunnel's, by its ports and its content; none: it is another datagram.
#[must_use]
pub fn over_udp<'a>(ip: &Ip<'a>, u: &Udp<'a>) -> Option<Result<Ip<'a>, Refusal>> {
    let b = u.payload;
    let either = |port| u.dport == port || u.sport == port;
    let (start, port, network) = match u.dport {
        vxlan::PORT | vxlan::PORT_LINUX | vxlan::PORT_GPE | vxlan::PORT_GENEVE => {
            let (kind, at, vni) = vxlan::header(b, u.dport)?;
            ((kind, at), u.dport, Network::Number(vni))
        }
        gtp::PORT => (gtp::header(b)?, gtp::PORT, Network::Pair(0)),
        tzsp::PORT => (tzsp::header(b)?, tzsp::PORT, Network::Pair(0)),
        _ if either(teredo::PORT) => ((IPV6, teredo::header(b)?), teredo::PORT, Network::Pair(0)),
        _ if either(l2tp::PORT) => (l2tp::over_udp(b)?, l2tp::PORT, Network::Pair(0)),
        _ if either(esp::PORT) => return secured(ip, b),
        _ => return None,
    };
    Some(enter(ip, 1 << 16 | u64::from(port), b, start, network))
}

/// A packet of ESP without encryption: in transport mode it carries what the packet around it would.
fn secured<'a>(ip: &Ip<'a>, b: &'a [u8]) -> Option<Result<Ip<'a>, Refusal>> {
    if ip.truncated {
        return None;
    }
    let (next, payload) = esp::null(b, ip.src, ip.dst)?;
    let kind = u64::from(protocol::ESP);
    Some(match next {
        4 => enter(ip, kind, payload, (IPV4, 0), Network::Pair(0)),
        41 => enter(ip, kind, payload, (IPV6, 0), Network::Pair(0)),
        _ => deeper(ip).map(|tunnels| Ip { tunnels, protocol: next, payload, fragment: None, ..*ip }),
    })
}

fn deeper(ip: &Ip<'_>) -> Result<u8, Refusal> {
    if ip.tunnels >= MAX_TUNNELS {
        return Err(Refusal::TooManyTunnels);
    }
    Ok(ip.tunnels + 1)
}

fn enter<'a>(ip: &Ip<'a>, kind: u64, b: &'a [u8], start: (u16, usize), network: Network) -> Result<Ip<'a>, Refusal> {
    let tunnels = deeper(ip)?;
    let context = match network {
        Network::Number(n) => digest(ip.context, &[kind, n]),
        Network::Pair(n) => {
            let (a, b) = if ip.src <= ip.dst { (ip.src.0, ip.dst.0) } else { (ip.dst.0, ip.src.0) };
            digest(ip.context, &[kind, n, a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64])
        }
        Network::Same => ip.context,
    };
    inside(b, start, context, tunnels)
}

/// A number for a network within another; never that of one without tunnels.
fn digest(around: Context, words: &[u64]) -> Context {
    let fold = |h: u64, w: &u64| {
        let wide = u128::from(h ^ w) * 0x9e37_79b9_7f4a_7c15_u128;
        (wide as u64 ^ (wide >> 64) as u64).rotate_left(23) ^ 0x2545_f491_4f6c_dd1d
    };
    words.iter().fold(fold(0x5851_f42d_4c95_7f2d, &around), fold) | 1 << 63
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
