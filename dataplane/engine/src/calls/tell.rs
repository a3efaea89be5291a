//! What calls tell: records, kept back until their call is selected.

use super::profile::{codec_of, name_of};
use super::{Arrived, Calls};
use crate::call::Call;
use crate::media::{Ended, FlowKey, ENOUGH};
use crate::record::{CallRecord, Ends, Record, SipRecord, StreamRecord};
use crate::select::Class;
use crate::session::By;
use crate::slab::Ref;
use crate::state::State;
use crate::state::Time;
use crate::stream::rating::Rated;
use crate::stream::Measure;
use crate::verdict::Verdicts;

/// Records of an undecided call.
const MAX_RECORDS: usize = 512;
/// Packets of a stream that somebody heard.
const MIN_HEARD: u32 = 5;
/// Messages in the records of all undecided calls, bytes.
const MAX_RECORD_BYTES: usize = 64 << 20;

impl Calls {
    pub(super) fn tell(&mut self, call: Ref, record: Record) {
        let Some(c) = self.table.get_mut(call) else { return };
        if c.selected {
            self.out.push(record);
        } else if self.known.is_some() {
            // an earlier pass decided: never wanted
        } else if c.more().records.len() < MAX_RECORDS && self.record_bytes < MAX_RECORD_BYTES {
            self.record_bytes += record.weight();
            c.more().records.push(record);
        } else {
            self.stats.records_lost += 1;
        }
    }

    /// Streams that ended become records.
    pub(super) fn streams(&mut self, _: &mut impl Verdicts) {
        let measure = self.measure;
        for ended in std::mem::take(&mut self.media.ended) {
            if !self.measures || !self.selection.admits(Class::Rtp) {
                continue;
            }
            if self.records && ended.owners.is_empty() && is_stream(&ended) && self.selection.every_call() {
                self.out.push(Record::Stream(Box::new(stream(None, &ended, measure))));
            }
            for owner in ended.owners.as_slice() {
                let Some(c) = self.table.get_mut(*owner) else { continue };
                let ssrcs = &mut c.more().ssrcs;
                if ssrcs.len() < MAX_RECORDS {
                    ssrcs.push(ended.stream.ssrc);
                }
                reach(c, &ended);
                let record = stream(Some(c), &ended, measure);
                self.stream_ended(*owner, &record);
                if self.records {
                    self.tell(*owner, Record::Stream(Box::new(record)));
                }
            }
        }
    }
}

pub(super) fn record(bytes: &[u8], at: Arrived<'_>, retransmission: bool) -> SipRecord {
    SipRecord {
        ts: at.ts(),
        source: at.source,
        frames: at.frames.to_vec(),
        ends: at.ends,
        transport: at.transport,
        retransmission,
        bytes: bytes.into(),
    }
}

/// Whether a call in this state was answered.
fn talks(state: State) -> bool {
    matches!(state, State::Answered | State::OnHold | State::Transferred | State::Ended)
}

/// Notes which side a stream came to.
fn reach(c: &mut Call, ended: &Ended) {
    if ended.stream.packets < MIN_HEARD {
        return;
    }
    let [from, to] = c.claims_on(ended.ends);
    let other = |side: u32| c.claims.iter().map(|k| k.side).find(|s| *s != side).unwrap_or(u32::MAX);
    let Some(side) = to.map(|k| k.side).or(from.map(|k| other(k.side))) else { return };
    if c.reached[0] == 0 {
        c.reached[0] = side;
    } else if c.reached[0] != side {
        c.reached[1] = side;
    }
}

/// Whether a stream without a call is told: its flow was taken for RTP, and it is none of a few stray packets.
fn is_stream(ended: &Ended) -> bool {
    ended.guessed && ended.stream.packets >= u32::from(ENOUGH)
}

fn stream(c: Option<&Call>, ended: &Ended, measure: Measure) -> StreamRecord {
    let Ended { key, stream, follows, .. } = ended;
    let [from, to] = c.map_or([None; 2], |c| c.claims_on(ended.ends));
    let codec = |t: u8| c.and_then(|c| codec_of(c, ended.ends, t).map(|k| (k, c.codecs.name(k))));
    let reports = c.and_then(Call::rest).and_then(|r| r.reports.as_ref());
    let srtp = [from, to].into_iter().flatten().any(|k| k.secure);
    let payload_type = stream.payload_type();
    let name = |t: u8| Box::<str>::from(codec(t).map_or_else(|| name_of(t), |(_, name)| name));
    let rated = Rated {
        codec: &name(payload_type),
        no_annexb: codec(payload_type).is_some_and(|(k, _)| k.no_annexb),
        srtp,
        round_trip: reports.and_then(|r| r.round_trip_ms(stream.ssrc)),
    };
    StreamRecord {
        source: stream.more.first.0,
        frame: stream.more.first.1,
        ends: ends(*key),
        call_id: c.map(|c| c.id().into()),
        payload_type,
        types: stream.types().into_iter().map(|t| (t, name(t.payload_type))).collect(),
        srtp,
        latched: from.is_none() && to.is_some(),
        follows: *follows,
        rtcp: reports.and_then(|r| r.of(stream.ssrc)).cloned(),
        rating: stream.rate_quality(rated, measure),
        stream: stream.clone(),
    }
}

pub(super) fn ends(key: FlowKey) -> Ends {
    Ends { src: key.src, sport: key.sport, dst: key.dst, dport: key.dport }
}

pub(super) fn call_record(call: u32, c: &Call, trunk: &str) -> CallRecord {
    let s = &c.session;
    CallRecord {
        source: c.first().0,
        frame: c.first().1,
        call_id: c.id().into(),
        from_user: c.users()[0].into(),
        to_user: c.users()[1].into(),
        ends: c.ends(),
        transport: c.transport,
        trunk: trunk.into(),
        state: s.state().as_str(),
        times: [s.start, s.ring, s.answer, s.end].map(Time::get),
        pdd: s.pdd(),
        srd: s.srd(),
        setup: s.setup(),
        duration: s.duration(),
        status: s.status(),
        cause: s.cause(),
        hung_up_by: s.hung_up_by().map(By::as_str),
        challenged: s.challenged,
        dialogs: s.dialogs(),
        holds: s.holds(),
        transferred_to: s.transferred_to().into(),
        replaces: s.replaces().into(),
        messages: s.messages,
        retransmissions: s.retransmissions,
        one_way: (talks(s.state()) && c.reached[0] != 0).then_some(c.reached[1] == 0),
        streams: c.rest().map(|r| r.ssrcs.clone()).unwrap_or_default(),
        packets: c.packets,
        call,
        file: None,
    }
}
