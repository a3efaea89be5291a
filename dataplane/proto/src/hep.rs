//! HEP, what capture agents send to Homer: version 3 in chunks ("HEP/EEP Protocol", revision 12), and the fixed headers of
//! versions 1 and 2 as agents send them over UDP.

use lc_wire::Addr;

/// Length of what every packet of version 3 begins with, bytes.
pub const HEADER: usize = 6;
/// Protocol type of SIP.
pub const SIP: u8 = 1;
/// Protocol type of RTP.
pub const RTP: u8 = 4;
/// Protocol type of RTCP: the datagram itself, or JSON made of it.
pub const RTCP: u8 = 5;

const MAGIC: &[u8; 4] = b"HEP3";
const CHUNK: usize = 6;

/// One captured message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hep<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// Protocol above IP that carried it.
    pub transport: u8,
    /// Sender.
    pub src: Addr,
    /// Receiver, of the same family.
    pub dst: Addr,
    /// Their ports; 0 where there is none.
    pub ports: [u16; 2],
    /// When it was captured, ns; none in version 1.
    pub ts: Option<u64>,
    /// What it is: [`SIP`], [`RTP`], [`RTCP`], others.
    pub protocol: u8,
    /// Number of the agent.
    pub agent: u32,
    /// VLAN.
    pub vlan: Option<u16>,
    /// Authentication key; empty: none.
    pub key: &'a [u8],
    /// The message.
    pub payload: &'a [u8],
    /// Chunks of other vendors and types, left out.
    pub unknown: u32,
}

/// Why a packet is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Cut in its header.
    Short,
    /// None of the three versions.
    Version,
    /// Its length is not that of what came.
    Length,
    /// A chunk ends outside of the packet, or has another length than its type.
    Chunk,
    /// No address of sender or receiver, or of two families.
    Address,
    /// Nothing was captured, or it is compressed.
    Payload,
}

impl Refusal {
    /// Every reason, in order.
    pub const ALL: [Self; 6] = [Self::Short, Self::Version, Self::Length, Self::Chunk, Self::Address, Self::Payload];

    /// As counters spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Version => "version",
            Self::Length => "length",
            Self::Chunk => "chunk",
            Self::Address => "address",
            Self::Payload => "payload",
        }
    }
}

/// Length of the packet of version 3 that a stream goes on with.
///
/// # Errors
/// The stream holds something else. `Ok(None)`: too few bytes to tell.
pub fn length(stream: &[u8]) -> Result<Option<usize>, Refusal> {
    let head = &stream[..stream.len().min(MAGIC.len())];
    if *head != MAGIC[..head.len()] {
        return Err(Refusal::Version);
    }
    let Some([a, b]) = stream.get(4..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    match usize::from(u16::from_be_bytes([*a, *b])) {
        n if n < HEADER => Err(Refusal::Length),
        n => Ok(Some(n)),
    }
}

/// The message in a packet.
///
/// # Errors
/// The packet is none that can be read; see [`Refusal`].
pub fn parse(b: &[u8]) -> Result<Hep<'_>, Refusal> {
    match b.first() {
        Some(1 | 2) => old(b),
        _ => match length(b)? {
            None => Err(Refusal::Short),
            Some(n) if n != b.len() => Err(Refusal::Length),
            Some(_) => chunks(&b[HEADER..]),
        },
    }
}

fn empty<'a>(version: u8) -> Hep<'a> {
    Hep {
        version,
        transport: 17,
        src: Addr(0),
        dst: Addr(0),
        ports: [0; 2],
        ts: None,
        protocol: SIP,
        agent: 0,
        vlan: None,
        key: &[],
        payload: &[],
        unknown: 0,
    }
}

/// Version 3.
fn chunks(b: &[u8]) -> Result<Hep<'_>, Refusal> {
    let (mut h, mut rest) = (empty(3), b);
    let (mut ends, mut seconds, mut micros) = ([None; 4], None, 0);
    h.protocol = 0;
    while !rest.is_empty() {
        let head: &[u8; CHUNK] = rest.first_chunk().ok_or(Refusal::Chunk)?;
        let [vendor, kind, len] = [0, 2, 4].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
        let value = rest.get(CHUNK..usize::from(len)).ok_or(Refusal::Chunk)?;
        rest = &rest[usize::from(len)..];
        match (vendor, kind) {
            (0, 1) => _ = fixed::<1>(value)?, // the addresses tell the family
            (0, 2) => h.transport = fixed::<1>(value)?[0],
            (0, 3 | 4) => ends[usize::from(kind - 3)] = Some(Addr::v4(fixed(value)?)),
            (0, 5 | 6) => ends[usize::from(kind - 3)] = Some(Addr::v6(fixed(value)?)),
            (0, 7 | 8) => h.ports[usize::from(kind - 7)] = u16::from_be_bytes(fixed(value)?),
            (0, 9) => seconds = Some(u32::from_be_bytes(fixed(value)?)),
            (0, 10) => micros = u32::from_be_bytes(fixed(value)?).min(999_999),
            (0, 11) => h.protocol = fixed::<1>(value)?[0],
            (0, 12) => h.agent = u32::from_be_bytes(fixed(value)?),
            (0, 14) => h.key = value,
            (0, 15) => h.payload = value,
            (0, 18) => h.vlan = Some(u16::from_be_bytes(fixed(value)?) & 0xfff),
            _ => h.unknown += 1,
        }
    }
    (h.src, h.dst) = match ends {
        [Some(src), Some(dst), ..] | [_, _, Some(src), Some(dst)] => (src, dst),
        _ => return Err(Refusal::Address),
    };
    h.ts = seconds.map(|s| u64::from(s) * 1_000_000_000 + u64::from(micros) * 1000);
    if h.payload.is_empty() {
        return Err(Refusal::Payload);
    }
    Ok(h)
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], Refusal> {
    value.try_into().map_err(|_| Refusal::Chunk)
}

/// Versions 1 and 2: a header of eight bytes, addresses, in version 2 the time and the agent, and the message. Ports and
/// addresses are in network order, the time is in that of the agents' machines (little endian).
fn old(b: &[u8]) -> Result<Hep<'_>, Refusal> {
    let head: &[u8; 8] = b.first_chunk().ok_or(Refusal::Short)?;
    let [version, len, family, transport] = [head[0], head[1], head[2], head[3]];
    let mut h = empty(version);
    h.transport = transport;
    h.ports = [4, 6].map(|at| u16::from_be_bytes([head[at], head[at + 1]]));
    let rest = &b[8..];
    let (src, dst, at) = match family {
        2 => (pair(rest, 0).map(Addr::v4), pair(rest, 4).map(Addr::v4), 16),
        10 => (pair(rest, 0).map(Addr::v6), pair(rest, 16).map(Addr::v6), 40),
        _ => return Err(Refusal::Address),
    };
    (h.src, h.dst) = (src.ok_or(Refusal::Short)?, dst.ok_or(Refusal::Short)?);
    // some agents count the time into the length, some do not
    let end = if version == 2 { at + 12 } else { at };
    if usize::from(len) != at && usize::from(len) != end {
        return Err(Refusal::Length);
    }
    if version == 2 {
        let word = |from: usize| pair::<4>(b, from).map(u32::from_le_bytes);
        let (seconds, micros) = word(at).zip(word(at + 4)).ok_or(Refusal::Short)?;
        h.ts = Some(u64::from(seconds) * 1_000_000_000 + u64::from(micros.min(999_999)) * 1000);
        h.agent = pair(b, at + 8).map_or(0, |n: [u8; 2]| u32::from(u16::from_le_bytes(n)));
    }
    h.payload = b.get(end..).filter(|p| !p.is_empty()).ok_or(Refusal::Payload)?;
    Ok(h)
}

fn pair<const N: usize>(b: &[u8], at: usize) -> Option<[u8; N]> {
    b.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chunks as they stand in revision 12's example: type and value.
    fn packet(chunks: &[(u16, &[u8])]) -> Vec<u8> {
        let mut b = b"HEP3\0\0".to_vec();
        for (kind, value) in chunks {
            b.extend([0, 0]);
            b.extend(kind.to_be_bytes());
            b.extend((value.len() as u16 + 6).to_be_bytes());
            b.extend(*value);
        }
        let len = (b.len() as u16).to_be_bytes();
        b[4..6].copy_from_slice(&len);
        b
    }

    const CALL: [(u16, &[u8]); 11] = [
        (1, &[2]),
        (2, &[17]),
        (3, &[10, 0, 0, 1]),
        (4, &[10, 0, 0, 2]),
        (7, &[0x13, 0xc4]),
        (8, &[0x13, 0xd8]),
        (9, &[0x65, 0x53, 0xf1, 0]),
        (10, &[0, 1, 0xe2, 0x40]),
        (11, &[1]),
        (12, &[0, 0, 0, 7]),
        (15, b"BYE"),
    ];

    #[test]
    fn version_three() {
        let b = packet(&CALL);
        let h = parse(&b).unwrap();
        assert_eq!((h.version, h.transport, h.protocol, h.agent, h.ports), (3, 17, SIP, 7, [5060, 5080]));
        assert_eq!((h.src, h.dst), (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2])));
        assert_eq!((h.ts, h.payload, h.unknown), (Some(1_700_000_000_123_456_000), &b"BYE"[..], 0));
        assert_eq!(length(&b[..5]), Ok(None));
        assert_eq!(length(&b), Ok(Some(b.len())));
        assert_eq!(length(b"HEL"), Err(Refusal::Version));
    }

    #[test]
    fn unknown_chunks_are_left_out_and_counted() {
        let mut more = CALL.to_vec();
        more.extend([(14, &b"key"[..]), (17, b"call"), (19, b"node"), (18, &[0x60, 5]), (999, b"")]);
        let mut b = packet(&more);
        let at = b.len() - 6;
        b[at] = 0x12; // the last one is another vendor's
        let h = parse(&b).unwrap();
        assert_eq!((h.key, h.vlan, h.unknown), (&b"key"[..], Some(5), 3));
    }

    #[test]
    fn six_and_mixed() {
        let six = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let b = packet(&[(5, &six), (6, &six), (15, b"x")]);
        assert_eq!(parse(&b).unwrap().src, Addr::v6(six));
        let b = packet(&[(3, &[1, 2, 3, 4]), (6, &six), (15, b"x")]);
        assert_eq!(parse(&b), Err(Refusal::Address));
    }

    #[test]
    fn damages_are_refused() {
        let b = packet(&CALL);
        assert!((0..b.len()).all(|n| parse(&b[..n]).is_err()));
        assert_eq!(parse(&[&b[..], &[0]].concat()), Err(Refusal::Length));
        assert_eq!(parse(&packet(&[(3, &[1, 2, 3])])), Err(Refusal::Chunk));
        assert_eq!(parse(&packet(&CALL[..10])), Err(Refusal::Payload));
        assert_eq!(parse(b"HEP3\0\x05"), Err(Refusal::Length));
        assert_eq!(parse(b"\x04"), Err(Refusal::Version));
    }

    #[test]
    fn versions_one_and_two() {
        let one = [&[1, 16, 2, 17, 0x13, 0xc4, 0x13, 0xc5, 10, 0, 0, 1, 10, 0, 0, 2][..], b"ACK"].concat();
        let h = parse(&one).unwrap();
        assert_eq!((h.version, h.ts, h.ports, h.payload), (1, None, [5060, 5061], &b"ACK"[..]));
        let time = [0, 0xf1, 0x53, 0x65, 0x40, 0xe2, 1, 0, 7, 0, 0, 0];
        for len in [16, 28] {
            let mut two = [&one[..16], &time[..], b"ACK"].concat();
            (two[0], two[1]) = (2, len);
            let h = parse(&two).unwrap();
            assert_eq!((h.ts, h.agent, h.payload), (Some(1_700_000_000_123_456_000), 7, &b"ACK"[..]));
            assert!((0..two.len() - 2).all(|n| parse(&two[..n]).is_err()));
        }
    }
}
