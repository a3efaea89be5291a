//! The line from a frame to a decision: decode, defragment, reassemble, parse, match, track.

use lc_proto::{rtcp, rtp, sip};
use lc_wire::{decode, tcp, tunnel, udp, Ip, Packet, Refusal};

use crate::calls::{Arrived, Calls, Owner};
use crate::clock::LineClock;
use crate::defrag::{Defragmenter, FrameId, Pushed, Whole, TIMEOUT};
use crate::frames::{Bitmap, FrameNo};
use crate::hold::BLOCK;
use crate::media::{FlowKey, Kind, Owners};
use crate::record::{Ends, Record, Transport};
use crate::select::{Class, Selection};
use crate::tcp::{Connections, Place};
use crate::verdict::Verdicts;

const SECOND: u64 = 1_000_000_000;

/// Follows all calls of a line. The same frames in the same order give the same decisions and records (law 8).
#[derive(Debug)]
pub struct Follower {
    /// The call table.
    pub calls: Calls,
    /// TCP connections.
    pub connections: Connections,
    /// Datagrams in fragments.
    pub datagrams: Defragmenter,
    /// Counters by [`Refusal`].
    pub refused: [u64; Refusal::ALL.len()],
    /// Fragments refused: size, too many, truncated.
    pub fragments_refused: [u64; 3],
    clock: LineClock,
    ticked: u64,
}

/// An IP packet on its way to its protocol.
#[derive(Clone, Copy)]
struct Carried<'a> {
    ip: Ip<'a>,
    frames: &'a [FrameId],
    source: u16,
    /// The line's time, ns.
    now: u64,
}

/// What a tunnel was found to carry.
type Found<'a> = Result<Ip<'a>, Refusal>;

impl Carried<'_> {
    fn key(&self, sport: u16, dport: u16) -> FlowKey {
        FlowKey { context: self.ip.context, src: self.ip.src, dst: self.ip.dst, sport, dport }
    }
}

impl Follower {
    /// `records`: whether records are wanted; `known`: the calls an earlier pass selected.
    #[must_use]
    pub fn new(selection: Selection, records: bool, known: Option<Bitmap>) -> Self {
        Self {
            calls: Calls::new(selection, records, known),
            connections: Connections::default(),
            datagrams: Defragmenter::default(),
            refused: [0; Refusal::ALL.len()],
            fragments_refused: [0; 3],
            clock: LineClock::default(),
            ticked: 0,
        }
    }

    /// The line's time, ns.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Records since the last call.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.calls.out)
    }

    /// Follows one frame; decisions about it and about earlier ones go to `v`.
    #[inline]
    pub fn frame(&mut self, v: &mut impl Verdicts, p: &Packet<'_>, frame: FrameNo) {
        let time = self.clock.see(p.ts);
        self.timers(v, p.source);
        let ip = match decode(p.link, p.data) {
            Ok(ip) => ip,
            Err(why) => {
                self.refused[why as usize] += 1;
                return;
            }
        };
        let frames = [FrameId { frame, number: p.number, ts: p.ts }];
        self.packet(v, &Carried { ip, frames: &frames, source: p.source, now: time });
        if !self.calls.fresh.is_empty() {
            self.connections.settle(v, &mut self.calls);
        }
    }

    /// So much time went by without a frame (an idle wire): calls and datagrams expire all the same.
    pub fn pass(&mut self, v: &mut impl Verdicts, ns: u64) {
        self.clock.pass(ns);
        self.timers(v, 0);
    }

    #[inline]
    fn timers(&mut self, v: &mut impl Verdicts, source: u16) {
        let now = self.clock.now();
        if now - self.ticked >= SECOND {
            self.tick(v, now);
        }
        while let Some(partial) = self.datagrams.expired(now, patience(v)) {
            self.whole(v, &partial, now, source);
        }
    }

    /// A packet, whole or a fragment; whose it is.
    #[inline]
    fn packet(&mut self, v: &mut impl Verdicts, c: &Carried<'_>) -> (Owners, Class) {
        if c.ip.fragment.is_some() {
            return self.fragment(v, c);
        }
        self.carried(v, c)
    }

    #[inline]
    fn carried(&mut self, v: &mut impl Verdicts, c: &Carried<'_>) -> (Owners, Class) {
        let refusal = match c.ip.protocol {
            17 => match udp::parse(c.ip.payload) {
                Ok(u) => return self.datagram(v, c, &u),
                Err(why) => why,
            },
            6 => match tcp::parse(c.ip.payload) {
                Ok(t) => {
                    let key = c.key(t.sport, t.dport);
                    let place = Place { key, frames: c.frames, now: c.now, source: c.source };
                    self.connections.segment(v, &mut self.calls, place, &t);
                    return Default::default();
                }
                Err(why) => why,
            },
            _ => return tunnel::over_ip(&c.ip).and_then(|found| self.inner(v, c, found)).unwrap_or_default(),
        };
        self.refused[refusal as usize] += 1;
        Default::default()
    }

    /// What a tunnel carries.
    #[cold]
    fn inner(&mut self, v: &mut impl Verdicts, c: &Carried<'_>, found: Found<'_>) -> Option<(Owners, Class)> {
        match found {
            Ok(ip) => Some(self.packet(v, &Carried { ip, ..*c })),
            Err(why) => {
                self.refused[why as usize] += 1;
                None
            }
        }
    }

    #[inline]
    fn datagram(&mut self, v: &mut impl Verdicts, c: &Carried<'_>, u: &udp::Udp<'_>) -> (Owners, Class) {
        let key = c.key(u.sport, u.dport);
        if sip::starts(u.payload) {
            return (self.sip(v, c, u), Class::Sip);
        }
        // a port that SDP names is media, whatever else it may be
        if tunnel::has_port(u) && !self.calls.media.is_named(key) {
            if let Some(inside) = tunnel::over_udp(&c.ip, u).and_then(|found| self.inner(v, c, found)) {
                return inside;
            }
        }
        let Some(first) = u.payload.first() else { return Default::default() };
        if first >> 6 == 2 {
            let kind = match u.payload.get(1) {
                Some(192..=223) if rtcp::parse(u.payload).is_some() => Some(Kind::Rtcp),
                _ => rtp::parse(u.payload).map(|_| Kind::Rtp),
            };
            if let Some(kind) = kind {
                if kind == Kind::Rtp && c.frames.len() > 1 {
                    c.frames.iter().for_each(|id| v.speech(id.frame));
                }
                let mut owners = Owners::default();
                for id in c.frames {
                    // the statistics count a packet once, its frames are all given
                    owners = if id == &c.frames[0] {
                        self.calls.media(v, key, kind, u.payload, (*id, c.source), c.now)
                    } else {
                        self.calls.media_again(v, key, kind, id.frame, c.now)
                    };
                }
                return (owners, if kind == Kind::Rtcp { Class::Rtcp } else { Class::Rtp });
            }
        }
        let framed = is_media_framed(u.payload);
        let mut owners = Owners::default();
        for id in c.frames {
            owners = self.calls.other(v, key, framed, id.frame, c.now);
        }
        (owners, Class::Rtp)
    }

    fn sip(&mut self, v: &mut impl Verdicts, c: &Carried<'_>, u: &udp::Udp<'_>) -> Owners {
        let ends = Ends { src: c.ip.src, sport: u.sport, dst: c.ip.dst, dport: u.dport };
        let arrived = Arrived {
            context: c.ip.context,
            ends,
            transport: Transport::Udp,
            frames: c.frames,
            sent: c.frames.first().map_or(c.now, |f| f.ts),
            now: c.now,
            source: c.source,
        };
        let mut owners = Owners::default();
        match self.calls.sip(v, u.payload, arrived) {
            Owner::Call(call) => {
                owners.add(call);
                c.frames.iter().for_each(|id| self.calls.give(v, id.frame, call, Class::Sip, c.now));
            }
            Owner::Selected => c.frames.iter().for_each(|id| v.select(id.frame)),
            Owner::None | Owner::Connection => {}
        }
        owners
    }

    #[cold]
    fn fragment(&mut self, v: &mut impl Verdicts, c: &Carried<'_>) -> (Owners, Class) {
        match self.datagrams.push(&c.ip, c.frames, c.now) {
            Pushed::Waits => c.frames.iter().for_each(|id| v.block(id.frame)),
            Pushed::Whole(whole) => {
                c.frames.iter().for_each(|id| v.block(id.frame));
                return self.whole(v, &whole, c.now, c.source);
            }
            Pushed::Again(owners, class) => {
                if class == Class::Rtp {
                    c.frames.iter().for_each(|id| v.speech(id.frame));
                }
                for (id, call) in c.frames.iter().flat_map(|id| owners.as_slice().iter().map(move |call| (id, call))) {
                    self.calls.give(v, id.frame, *call, class, c.now);
                }
                return (owners, class);
            }
            Pushed::Refused(why) => {
                let at = ["size", "too_many", "truncated"].iter().position(|w| *w == why).unwrap_or(0);
                self.fragments_refused[at] += 1;
            }
        }
        Default::default()
    }

    /// A datagram is complete, or as complete as it will be; whose it is.
    fn whole(&mut self, v: &mut impl Verdicts, whole: &Whole, now: u64, source: u16) -> (Owners, Class) {
        let carried = Carried { ip: whole.ip(), frames: &whole.frames, source, now };
        let (owners, class) = self.carried(v, &carried);
        if !whole.partial {
            self.datagrams.delivered(whole, owners, class);
        }
        for id in &whole.frames {
            v.unblock(id.frame);
        }
        if !self.calls.fresh.is_empty() {
            self.connections.settle(v, &mut self.calls);
        }
        (owners, class)
    }

    fn tick(&mut self, v: &mut impl Verdicts, now: u64) {
        self.ticked = now;
        self.connections.tick(v, &mut self.calls, now);
        self.calls.tick(v, now);
    }

    /// The selectors change at a batch boundary; see [`Calls::reselect`].
    pub fn reselect(&mut self, v: &mut impl Verdicts, selection: Selection) {
        self.calls.reselect(v, selection, self.clock.now());
        if !self.calls.fresh.is_empty() {
            self.connections.settle(v, &mut self.calls);
        }
    }

    /// The input ended: all that waits is decided.
    pub fn finish(&mut self, v: &mut impl Verdicts) {
        let now = self.clock.now();
        while let Some(partial) = self.datagrams.expired(now, 0) {
            self.whole(v, &partial, now, 0);
        }
        self.connections.finish(v, &mut self.calls);
        self.connections.settle(v, &mut self.calls);
        self.calls.finish(v);
    }
}

/// Whether a frame is a datagram that is no SIP: media, for a line that is too hard pressed to follow it.
#[must_use]
pub fn is_media(p: &Packet<'_>) -> bool {
    let Ok(ip) = decode(p.link, p.data) else { return false };
    ip.fragment.is_none()
        && ip.protocol == 17
        && udp::parse(ip.payload).is_ok_and(|u| {
            let first = u.payload.first().copied().unwrap_or(0);
            first >> 6 == 2 && !sip::starts(u.payload)
        })
}

/// How long a datagram may lack fragments, ns. Where frames are held, what it has is judged while they still keep
/// later ones back, so that the order stays.
fn patience(v: &impl Verdicts) -> u64 {
    match v.horizon() {
        u64::MAX => TIMEOUT,
        time => (time / 2).clamp(1, BLOCK * 9 / 10),
    }
}

/// Whether content says it is one of the protocols that share RTP's ports (RFC 7983): STUN with its cookie, ZRTP with
/// its, DTLS records.
fn is_media_framed(b: &[u8]) -> bool {
    match b.first() {
        Some(0..=3) => b.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]),
        Some(16..=19) => b.get(4..8) == Some(b"ZRTP"),
        Some(20..=63) => b.get(1) == Some(&0xfe),
        _ => false,
    }
}
