//! What calls tell: records, kept back until their call is selected.

use super::profile::name_of;
use super::{Arrived, Calls};
use crate::call::Call;
use crate::media::Ended;
use crate::record::{CallRecord, Ends, Record, SipRecord, StreamRecord};
use crate::select::Class;
use crate::slab::Ref;
use crate::verdict::Verdicts;

/// Records of an undecided call.
const MAX_RECORDS: usize = 512;
/// Messages in the records of all undecided calls, bytes.
const MAX_RECORD_BYTES: usize = 64 << 20;

impl Calls {
    pub(super) fn tell(&mut self, call: Ref, record: Record) {
        let Some(c) = self.table.get_mut(call) else { return };
        if c.selected {
            self.out.push(record);
        } else if self.known.is_some() {
            // an earlier pass decided: never wanted
        } else if c.records.len() < MAX_RECORDS && self.record_bytes < MAX_RECORD_BYTES {
            self.record_bytes += record.weight();
            c.records.push(record);
        } else {
            self.stats.records_lost += 1;
        }
    }

    /// Streams that ended become records.
    pub(super) fn streams(&mut self, _: &mut impl Verdicts) {
        for ended in std::mem::take(&mut self.media.ended) {
            if !self.records || !self.selection.admits(Class::Rtp) {
                continue;
            }
            for owner in ended.owners.as_slice() {
                let Some(c) = self.table.get_mut(*owner) else { continue };
                if c.ssrcs.len() < MAX_RECORDS {
                    c.ssrcs.push(ended.stats.ssrc);
                }
                let record = stream(c, &ended);
                self.tell(*owner, Record::Stream(Box::new(record)));
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

fn stream(c: &Call, ended: &Ended) -> StreamRecord {
    let key = ended.key;
    let named = c.codecs.iter().find(|k| k.payload_type == ended.stats.payload_type);
    let codec = named.map_or_else(|| name_of(ended.stats.payload_type).into(), |k| k.name.clone());
    StreamRecord {
        source: c.first.0,
        frame: c.first.1,
        ends: Ends { src: key.src, sport: key.sport, dst: key.dst, dport: key.dport },
        call_id: c.id.clone(),
        codec,
        stats: ended.stats.clone(),
    }
}

pub(super) fn call_record(c: &Call) -> CallRecord {
    CallRecord {
        source: c.first.0,
        frame: c.first.1,
        call_id: c.id.clone(),
        from_user: c.users[0].clone(),
        to_user: c.users[1].clone(),
        state: c.state.as_str(),
        times: c.times,
        pdd: c.pdd(),
        status: c.status,
        streams: c.ssrcs.clone(),
        packets: c.packets,
    }
}
