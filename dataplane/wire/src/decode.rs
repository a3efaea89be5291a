//! From a frame to what its IP packet carries.

use crate::capture::LinkType;
use crate::ethernet::{self, be16, is_vlan};
use crate::ip::{Context, Ip};
use crate::refusal::Refusal;
use crate::{ipv4, ipv6, link, mpls, ppp};

/// Tags walked before a frame is refused (law 5: work per frame is bounded).
pub const MAX_TAGS: usize = 8;

/// Walks tags, sessions and labels down to IP, from what has this EtherType on: (EtherType, offset, context).
#[inline]
fn network(
    frame: &[u8],
    (mut kind, mut at): (u16, usize),
    mut context: Context,
) -> Result<(u16, usize, Context), Refusal> {
    for _ in 0..=MAX_TAGS {
        match kind {
            ethernet::IPV4 | ethernet::IPV6 => return Ok((kind, at, context)),
            ethernet::BRIDGED => {
                let inner = frame.get(at..).ok_or(Refusal::LinkShort)?;
                let start = at;
                (kind, at) = ethernet::header(inner)?;
                at += start;
            }
            ethernet::PPP => (kind, at) = ppp::header(frame, at)?,
            ethernet::MPLS | ethernet::MPLS_UP => (kind, at) = mpls::header(frame, at)?,
            ethernet::PPPOE => {
                let session;
                (kind, at, session) = ppp::pppoe(frame, at)?;
                context = mix(context, 1 << 17 | u64::from(session));
            }
            tag if is_vlan(tag) => {
                let tci = be16(frame, at).ok_or(Refusal::VlanShort)?;
                kind = be16(frame, at + 2).ok_or(Refusal::VlanShort)?;
                at += 4;
                if tci & 0xfff != 0 {
                    context = mix(context, 1 << 16 | u64::from(tci & 0xfff));
                }
                if kind < 1536 {
                    (kind, at) = ethernet::snap(frame, at)?;
                }
            }
            _ => return Err(Refusal::NotIp),
        }
    }
    Err(Refusal::TooManyTags)
}

/// Adds one tag to a context; exact for three tags, a hash beyond.
fn mix(context: Context, tag: u64) -> Context {
    context.rotate_left(18) ^ context.wrapping_mul(context >> 46) ^ tag
}

/// The IP packet in a frame.
///
/// # Errors
/// The [`Refusal`] that says where the walk ended; `NotIp` for frames that carry no IP.
#[inline]
pub fn decode(link: LinkType, frame: &[u8]) -> Result<Ip<'_>, Refusal> {
    let (kind, at, context) = network(frame, link::header(link, frame)?, 0)?;
    let ip = if kind == ethernet::IPV4 { ipv4::parse(frame, at) } else { ipv6::parse(frame, at) };
    ip.map(|ip| Ip { context, ..ip })
}

/// The IP packet in what a tunnel carries: `start` is its EtherType and where it begins, `context` that of the tunnel.
///
/// # Errors
/// As [`decode`].
pub(crate) fn inside(b: &[u8], start: (u16, usize), context: Context, tunnels: u8) -> Result<Ip<'_>, Refusal> {
    let (kind, at, context) = network(b, start, context)?;
    let ip = if kind == ethernet::IPV4 { ipv4::parse(b, at) } else { ipv6::parse(b, at) };
    ip.map(|ip| Ip { context, tunnels, ..ip })
}

/// Offset of the IP header in a frame and its EtherType; `None` where there is no IP.
#[must_use]
pub fn ip_offset(link: LinkType, frame: &[u8]) -> Option<(usize, u16)> {
    let (kind, at, _) = network(frame, link::header(link, frame).ok()?, 0).ok()?;
    (at < frame.len()).then_some((at, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tags: &[(u16, u16)]) -> Vec<u8> {
        let mut f = vec![0u8; 12];
        for (tpid, tci) in tags {
            f.extend(tpid.to_be_bytes());
            f.extend(tci.to_be_bytes());
        }
        f.extend([8, 0, 0x45, 0, 0, 21, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 42]);
        f
    }

    fn context(tags: &[(u16, u16)]) -> Context {
        let f = frame(tags);
        let ip = decode(LinkType::ETHERNET, &f).unwrap();
        assert_eq!(ip.payload, [42]);
        ip.context
    }

    #[test]
    fn tags_make_the_context() {
        let (q, s) = (0x8100, 0x88a8);
        let all = [
            context(&[]),
            context(&[(q, 100)]),
            context(&[(q, 200)]),
            context(&[(s, 500), (q, 10)]),
            context(&[(s, 500), (q, 20)]),
            context(&[(s, 501), (q, 10)]),
            context(&[(q, 10)]),
            context(&[(q, 1), (q, 2), (q, 3)]),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
        assert_eq!(context(&[(q, 0xa000 | 100)]), context(&[(q, 100)])); // priority bits
        assert_eq!(context(&[(q, 0xa000)]), context(&[])); // priority tag only
    }

    #[test]
    fn limits_and_other_types() {
        assert_eq!(decode(LinkType::ETHERNET, &frame(&[(0x8100, 1); 9])).unwrap_err(), Refusal::TooManyTags);
        let mut arp = frame(&[]);
        (arp[12], arp[13]) = (8, 6);
        assert_eq!(decode(LinkType::ETHERNET, &arp).unwrap_err(), Refusal::NotIp);
        assert_eq!(ip_offset(LinkType::ETHERNET, &frame(&[(0x8100, 7)])), Some((18, 0x0800)));
        assert_eq!(ip_offset(LinkType::ETHERNET, &arp), None);
    }

    #[test]
    fn pppoe_sessions_and_mpls() {
        let ip = &frame(&[])[14..];
        let mut f = vec![0u8; 12];
        f.extend([0x88, 0x64, 0x11, 0, 0, 9, 0, 23, 0, 0x21]);
        f.extend(ip);
        assert_ne!(decode(LinkType::ETHERNET, &f).unwrap().context, 0);
        let mut m = vec![0u8; 12];
        m.extend([0x88, 0x47, 0, 1, 1, 64]);
        m.extend(ip);
        assert_eq!(decode(LinkType::ETHERNET, &m).unwrap().context, 0);
    }
}
