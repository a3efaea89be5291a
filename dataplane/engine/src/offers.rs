//! What a call's SDP claims, when it moves and when it is refused (RFC 3264, 4566, 5761, 3605).

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

use foldhash::fast::FixedState;
use lc_proto::sdp::{self, Session};
use lc_proto::sip::{Message, StartLine};
use lc_wire::{Addr, Context};

use crate::call::{Call, MediaClaim};
use crate::calls::profile;
use crate::codecs::Codec;
use crate::media::{End, How, Media};
use crate::slab::Ref;

/// Claims of one call at once.
pub const MAX_CLAIMS: usize = 64;

/// Hash of a few byte strings: tags, transactions, prints.
#[must_use]
pub fn print(parts: &[&[u8]]) -> u64 {
    let mut h = FixedState::default().build_hasher();
    for p in parts {
        h.write_usize(p.len());
        h.write(p);
    }
    h.finish() | 1
}

/// Half of [`print`], never 0: tells the few sides and transactions of one call apart.
#[allow(clippy::cast_possible_truncation)]
#[must_use]
pub fn short(parts: &[&[u8]]) -> u32 {
    print(parts) as u32
}

/// One session description as it was sent.
#[derive(Debug)]
pub struct Said<'a> {
    /// The call that says it.
    pub call: Ref,
    /// VLANs around it.
    pub context: Context,
    /// Packet time, ns.
    pub now: u64,
    /// Who says it.
    side: u32,
    /// Its transaction.
    transaction: NonZeroU32,
    /// Set for what answers an offer, or cannot be refused any more.
    answer: bool,
    session: &'a Session,
}

impl<'a> Said<'a> {
    /// From the message that carried it.
    #[must_use]
    pub fn new(call: Ref, context: Context, now: u64, m: &Message<'_>, session: &'a Session) -> Self {
        let (side, answer) = match m.start {
            StartLine::Request { method, .. } => (m.from.tag, method == b"ACK"),
            StartLine::Response { .. } => (m.to.tag, true),
        };
        Self { call, context, now, side: short(&[side]), transaction: transaction(m), answer, session }
    }
}

/// The transaction a request or response belongs to, told by who asks and the CSeq number.
#[must_use]
pub fn transaction(m: &Message<'_>) -> NonZeroU32 {
    NonZeroU32::new(short(&[m.from.tag, &m.cseq.unwrap_or(0).to_be_bytes()])).unwrap_or(NonZeroU32::MIN)
}

/// Claims what a description names; gives the endpoints that were claimed.
pub fn apply(media: &mut Media, call: &mut Call, said: &Said<'_>) -> Vec<Ref> {
    let mut claimed = Vec::new();
    for (line, m) in (0u8..32).zip(&said.session.media) {
        codecs(call, said, line, m);
        if m.port == 0 {
            if said.answer {
                refuse_line(media, call, said, line);
            }
            continue;
        }
        let Some(ip) = m.addr else { continue };
        let profile = m.proto.to_ascii_uppercase();
        let rtp = profile.contains("RTP");
        let secure = profile.contains("SAVP");
        let named = |addr: Addr, port| {
            (End { context: said.context, addr, port }, if rtp { How::Named } else { How::NamedOther })
        };
        let mut ends = Vec::new();
        for k in 0..m.count.clamp(1, 8) {
            ends.push(named(ip.into(), m.port.saturating_add(2 * k)));
        }
        let (mains, implies) = (ends.len(), rtp && m.rtcp.is_none() && !(said.answer && m.rtcp_mux));
        if let Some((addr, port)) = m.rtcp.filter(|(_, port)| *port != 0) {
            ends.push(named(addr.unwrap_or(ip).into(), port));
        }
        ends.extend(m.candidates.iter().take(16).map(|(addr, port)| named((*addr).into(), *port)));
        ends.retain(|(e, _)| !e.addr.is_unspecified() && e.port != 0);
        ends.truncate(MAX_CLAIMS.saturating_sub(claimed.len()));
        if ends.is_empty() {
            continue; // on hold by 0.0.0.0: the endpoints stay as they were
        }
        leave_others(media, call, said, line, &ends);
        for (k, (end, how)) in ends.into_iter().enumerate() {
            let implies = implies && k < mains;
            let new = MediaClaim { implies, ..as_said(said, line, m.rtcp_mux, secure) };
            claimed.extend(claim(media, call, said, new, end, how));
        }
        if said.answer && m.rtcp_mux {
            drop_implied(media, call, said, line);
        }
    }
    claimed
}

/// What a line says of its payload types.
fn codecs(call: &mut Call, said: &Said<'_>, line: u8, m: &sdp::Media) {
    let mapped = m.rtpmap.iter().map(|map| (map.payload_type, &*map.name, map.clock));
    let named = m.formats.iter().filter_map(|f| f.parse::<u8>().ok());
    let fixed = named.filter(|t| !m.rtpmap.iter().any(|map| map.payload_type == *t));
    let fixed =
        fixed.map(|t| (t, profile::name_of(t), profile::clock_of(t).rate)).filter(|(_, name, _)| !name.is_empty());
    for (payload_type, name, rate) in mapped.chain(fixed) {
        let no_annexb = m.fmtp.iter().any(|(t, params)| *t == payload_type && says_no_annexb(params));
        let mut codec = Codec::new(said.side, line, payload_type, rate);
        codec.no_annexb = no_annexb;
        call.codecs.put(codec, name);
    }
}

/// RFC 3555 §4.1.9: `annexb=no`, among other parameters.
fn says_no_annexb(params: &str) -> bool {
    let mut words = params.split(';').map(|p| p.trim().split_once('='));
    words
        .any(|w| w.is_some_and(|(k, v)| k.trim().eq_ignore_ascii_case("annexb") && v.trim().eq_ignore_ascii_case("no")))
}

/// What a description says of a claim, whose place is still to be found.
fn as_said(said: &Said<'_>, line: u8, mux: bool, secure: bool) -> MediaClaim {
    let offered = (!said.answer).then_some(said.transaction);
    MediaClaim { at: Ref::NONE, side: said.side, line, offered, leaving: None, implies: false, mux, secure }
}

fn claim(media: &mut Media, call: &mut Call, said: &Said<'_>, new: MediaClaim, end: End, how: How) -> Option<Ref> {
    let mine: Vec<Ref> = call.claims.iter().map(|c| c.at).collect();
    let at = media.claim(end, said.call, (how, new.implies), &mine, said.now)?;
    let same = |c: &&mut MediaClaim| c.side == new.side && c.line == new.line && c.at == at;
    if let Some(c) = call.claims.iter_mut().find(same) {
        let offered = c.offered.filter(|_| !said.answer);
        *c = MediaClaim { at, offered, implies: new.implies || c.implies, ..new };
        return Some(at);
    }
    if call.claims.len() >= MAX_CLAIMS {
        let old = call.claims.remove(0);
        if !call.claims.iter().any(|c| c.at == old.at) {
            media.unclaim(old.at, said.call);
        }
    }
    call.claims.push(MediaClaim { at, ..new });
    Some(at)
}

/// The same side's other endpoints for a line: left at once by an answer, by an offer when it is accepted.
fn leave_others(media: &mut Media, call: &mut Call, said: &Said<'_>, line: u8, ends: &[(End, How)]) {
    let mut left = Vec::new();
    for c in &mut call.claims {
        if c.side == said.side && c.line == line && !ends.iter().any(|(e, _)| media.is_at(e, c.at)) {
            if said.answer {
                left.push(c.at);
            } else {
                c.leaving = Some(said.transaction);
            }
        }
    }
    left.into_iter().for_each(|at| media.drain(at, said.call));
}

/// An answer with port 0: the other side's endpoints of that line are not used.
fn refuse_line(media: &mut Media, call: &mut Call, said: &Said<'_>, line: u8) {
    give_up(media, call, said.call, |c| c.line == line && c.side != said.side);
}

fn drop_implied(media: &mut Media, call: &mut Call, said: &Said<'_>, line: u8) {
    let offered_mux = call.claims.iter().any(|c| c.line == line && c.side != said.side && c.mux);
    if offered_mux {
        for c in call.claims.iter_mut().filter(|c| c.line == line && c.implies) {
            c.implies = false;
            media.unimply(c.at, said.call);
        }
    }
}

/// Ends the claims that `which` names, unless another claim of the call holds the same endpoint.
fn give_up(media: &mut Media, call: &mut Call, of: Ref, which: impl Fn(&MediaClaim) -> bool) {
    let gone: Vec<MediaClaim> = call.claims.iter().filter(|c| which(c)).copied().collect();
    call.claims.retain(|c| !which(c));
    for c in gone {
        if !call.claims.iter().any(|k| k.at == c.at) {
            media.unclaim(c.at, of);
        }
    }
}

/// The final response to an offer: accepted, what it left drains; refused, what it named is given up.
pub fn settle(media: &mut Media, call: &mut Call, of: Ref, transaction: NonZeroU32, accepted: bool) {
    if !accepted {
        give_up(media, call, of, |c| c.offered == Some(transaction));
        call.claims.iter_mut().filter(|c| c.leaving == Some(transaction)).for_each(|c| c.leaving = None);
        return;
    }
    let mut left = Vec::new();
    for c in &mut call.claims {
        if c.offered == Some(transaction) {
            c.offered = None;
        }
        if c.leaving == Some(transaction) {
            c.leaving = None;
            left.push(c.at);
        }
    }
    for at in left {
        media.drain(at, of);
    }
}
