//! IP defragmentation for both versions (RFC 791 §3.2, RFC 8200 §4.5), bounded; the first copy of a byte wins.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use lc_wire::{Addr, Context, Ip};

use crate::frames::FrameNo;
use crate::media::Owners;
use crate::select::Class;

/// Datagrams in the making at once.
pub const MAX_DATAGRAMS: usize = 4096;
/// Bytes held in all of them.
pub const MAX_BYTES: usize = 16 << 20;
/// Fragments of one datagram.
pub const MAX_FRAGMENTS: usize = 256;
/// A datagram not complete after so long is given up, ns (RFC 8200 §4.5: 60 s; Linux: 30 s).
pub const TIMEOUT: u64 = 30_000_000_000;

/// A frame by its number in the line and in its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameId {
    /// Position in the line.
    pub frame: FrameNo,
    /// Number in the source, from 1.
    pub number: u64,
    /// Capture time, ns.
    pub ts: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    context: Context,
    src: Addr,
    dst: Addr,
    id: u32,
    protocol: u8,
}

#[derive(Debug, Default)]
struct Datagram {
    parts: Vec<(u16, Vec<u8>)>,
    seen: Vec<(u16, usize, u64)>,
    frames: Vec<FrameId>,
    total: Option<usize>,
    bytes: usize,
    protocol: u8,
    tunnels: u8,
    generation: u32,
    done: Option<(Owners, Class)>,
}

/// A whole datagram with the frames that carried it.
#[derive(Debug)]
pub struct Whole {
    /// Payload above IP.
    pub bytes: Vec<u8>,
    /// Frames, in the order they came.
    pub frames: Vec<FrameId>,
    /// Context, addresses and protocol.
    pub context: Context,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Protocol above IP.
    pub protocol: u8,
    /// Tunnels around it.
    pub tunnels: u8,
    /// Whether the end is missing: given up, its first fragment is all there is.
    pub partial: bool,
    key: Key,
}

impl Whole {
    /// The packet as it was before it came in fragments.
    #[must_use]
    pub fn ip(&self) -> Ip<'_> {
        Ip {
            context: self.context,
            tunnels: self.tunnels,
            src: self.src,
            dst: self.dst,
            protocol: self.protocol,
            fragment: None,
            truncated: self.partial,
            payload: &self.bytes,
        }
    }
}

/// What a fragment did.
#[derive(Debug)]
pub enum Pushed {
    /// It waits for others.
    Waits,
    /// It completed a datagram.
    Whole(Box<Whole>),
    /// It repeats a fragment of a datagram that was already delivered to these owners, as this class.
    Again(Owners, Class),
    /// It makes no sense or breaks a limit.
    Refused(&'static str),
}

/// Datagrams in the making.
#[derive(Debug, Default)]
pub struct Defragmenter {
    table: HashMap<Key, Datagram>,
    order: VecDeque<(Key, u32, u64)>,
    bytes: usize,
    generation: u32,
    /// Datagrams given up for their age and for the limits.
    pub evicted: [u64; 2],
}

impl Defragmenter {
    /// Datagrams in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes one fragment, and the frames that carry it: one, or those of the fragments of a tunnel's packet.
    pub fn push(&mut self, ip: &Ip<'_>, ids: &[FrameId], now: u64) -> Pushed {
        let Some(f) = ip.fragment else { return Pushed::Refused("size") };
        let end = usize::from(f.offset) + ip.payload.len();
        if ip.payload.is_empty() || end > 65_535 || (f.more && ip.payload.len() % 8 != 0) || ip.truncated {
            return Pushed::Refused(if ip.truncated { "truncated" } else { "size" });
        }
        // RFC 8200 §4.5 and Linux: the protocol is part of the key in IPv4 only
        let v4 = ip.src.to_ip().is_ipv4();
        let protocol = if v4 { ip.protocol } else { 0 };
        let key = Key { context: ip.context, src: ip.src, dst: ip.dst, id: f.id, protocol };
        let print = (f.offset, ip.payload.len(), digest(ip.payload));
        if let Some(d) = self.table.get(&key).filter(|d| d.done.is_some()) {
            if let Some((owners, class)) = d.done.filter(|_| d.seen.contains(&print)) {
                return Pushed::Again(owners, class);
            }
            self.drop_datagram(&key); // the identification is used again
        }
        if !self.table.contains_key(&key) {
            self.generation = self.generation.wrapping_add(1);
            if self.order.len() > 4 * MAX_DATAGRAMS {
                let table = &self.table;
                self.order.retain(|(key, generation, _)| table.get(key).is_some_and(|d| d.generation == *generation));
            }
            self.order.push_back((key, self.generation, now));
            let (protocol, tunnels, generation) = (ip.protocol, ip.tunnels, self.generation);
            let fresh = Datagram { protocol, tunnels, generation, ..Datagram::default() };
            self.table.insert(key, fresh);
        }
        let Some(d) = self.table.get_mut(&key) else { return Pushed::Refused("size") };
        if d.seen.len().max(d.frames.len() + ids.len().saturating_sub(1)) >= MAX_FRAGMENTS {
            return Pushed::Refused("too_many");
        }
        d.frames.extend_from_slice(ids);
        if !f.more {
            d.total.get_or_insert(end);
        }
        if !d.seen.contains(&print) {
            d.seen.push(print);
            d.bytes += ip.payload.len();
            self.bytes += ip.payload.len();
            let at = d.parts.partition_point(|(o, _)| *o <= f.offset);
            d.parts.insert(at, (f.offset, ip.payload.to_vec()));
        }
        match d.assemble() {
            Some(bytes) => {
                self.bytes -= d.bytes;
                d.bytes = 0;
                d.parts = Vec::new();
                d.done = Some((Owners::default(), Class::Rtp));
                let frames = std::mem::take(&mut d.frames);
                Pushed::Whole(Box::new(Whole {
                    bytes,
                    frames,
                    context: ip.context,
                    src: ip.src,
                    dst: ip.dst,
                    protocol: ip.protocol,
                    tunnels: ip.tunnels,
                    partial: false,
                    key,
                }))
            }
            None => Pushed::Waits,
        }
    }

    /// Remembers whose datagram it was, for fragments that come again.
    pub fn delivered(&mut self, whole: &Whole, owners: Owners, class: Class) {
        if let Some(d) = self.table.get_mut(&whole.key) {
            d.done = Some((owners, class));
        }
    }

    fn drop_datagram(&mut self, key: &Key) -> Option<Datagram> {
        let d = self.table.remove(key)?;
        self.bytes -= d.bytes;
        Some(d)
    }

    /// The next datagram that is too old or too much, if any: its first fragment as far as it goes, and its frames.
    /// `limit`: the age, ns; 0 gives up every one, the input ended.
    pub fn expired(&mut self, now: u64, limit: u64) -> Option<Box<Whole>> {
        loop {
            let (key, generation, born) = *self.order.front()?;
            let old = now.saturating_sub(born) > limit.min(TIMEOUT);
            let full = self.table.len() > MAX_DATAGRAMS || self.bytes > MAX_BYTES;
            if !(old || full || limit == 0) {
                return None;
            }
            self.order.pop_front();
            if self.table.get(&key).is_none_or(|d| d.generation != generation) {
                continue;
            }
            let Some(mut d) = self.drop_datagram(&key) else { continue };
            if d.done.is_some() {
                continue;
            }
            self.evicted[usize::from(!old)] += 1;
            let bytes = d.beginning();
            return Some(Box::new(Whole {
                bytes,
                frames: d.frames,
                context: key.context,
                src: key.src,
                dst: key.dst,
                protocol: d.protocol,
                tunnels: d.tunnels,
                partial: true,
                key,
            }));
        }
    }
}

impl Datagram {
    /// The bytes from 0 on without a hole.
    fn beginning(&mut self) -> Vec<u8> {
        let mut bytes: Vec<u8> = Vec::new();
        for (offset, part) in &self.parts {
            let offset = usize::from(*offset);
            if offset > bytes.len() {
                break;
            }
            if offset + part.len() > bytes.len() {
                bytes.extend(&part[bytes.len() - offset..]);
            }
        }
        bytes
    }

    fn assemble(&mut self) -> Option<Vec<u8>> {
        let total = self.total?;
        let mut end = 0;
        for (offset, part) in &self.parts {
            if usize::from(*offset) > end {
                return None;
            }
            end = end.max(usize::from(*offset) + part.len());
        }
        if end < total {
            return None;
        }
        let mut bytes = self.beginning();
        bytes.truncate(total);
        Some(bytes)
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let mut h = FixedState::default().build_hasher();
    h.write(bytes);
    h.finish()
}

#[cfg(test)]
mod tests {
    use lc_wire::Fragment;

    use super::*;

    fn fragment(offset: u16, more: bool, id: u32) -> Fragment {
        Fragment { id, offset, more }
    }

    fn push(d: &mut Defragmenter, offset: u16, more: bool, data: &[u8], frame: u64, now: u64) -> Pushed {
        let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
        let fragment = Some(fragment(offset, more, 7));
        let ip = Ip { context: 0, tunnels: 0, src, dst, protocol: 17, fragment, truncated: false, payload: data };
        d.push(&ip, &[FrameId { frame, number: frame + 1, ts: now }], now)
    }

    #[test]
    fn any_order_with_duplicates() {
        let mut d = Defragmenter::default();
        assert!(matches!(push(&mut d, 8, true, b"BBBBBBBB", 0, 0), Pushed::Waits));
        assert!(matches!(push(&mut d, 16, false, b"CC", 1, 0), Pushed::Waits));
        assert!(matches!(push(&mut d, 8, true, b"BBBBBBBB", 2, 0), Pushed::Waits));
        let Pushed::Whole(w) = push(&mut d, 0, true, b"AAAAAAAA", 3, 0) else { panic!() };
        assert_eq!((w.bytes.as_slice(), w.frames.len()), (&b"AAAAAAAABBBBBBBBCC"[..], 4));
        d.delivered(&w, Owners::default(), Class::Sip);
        assert!(matches!(push(&mut d, 0, true, b"AAAAAAAA", 4, 0), Pushed::Again(..)));
        assert!(matches!(push(&mut d, 0, true, b"XXXXXXXX", 5, 0), Pushed::Waits));
        // the same id, new data
    }

    #[test]
    fn limits_and_age() {
        let mut d = Defragmenter::default();
        assert!(matches!(push(&mut d, 65_528, false, b"12345678", 0, 0), Pushed::Refused("size")));
        assert!(matches!(push(&mut d, 0, true, b"1234567", 0, 0), Pushed::Refused("size")));
        push(&mut d, 0, true, b"AAAAAAAA", 9, 0);
        assert!(d.expired(TIMEOUT, TIMEOUT).is_none());
        let w = d.expired(TIMEOUT + 1, u64::MAX).unwrap();
        assert_eq!((w.partial, w.bytes.as_slice(), w.frames[0].frame), (true, &b"AAAAAAAA"[..], 9));
        assert!(d.is_empty() && d.bytes == 0 && d.evicted == [1, 0]);
    }
}
