//! The call table: messages in, frames to their calls, decisions out.

mod counting;
mod ends;
mod media;
mod messages;
pub mod profile;
mod reselect;
mod tell;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use lc_wire::Context;

use crate::call::Call;
use crate::defrag::FrameId;
use crate::frames::{Bitmap, FrameNo};
use crate::kpi::Kpi;
use crate::media::Media;
use crate::owners::{Began, News};
use crate::record::{Ends, Record, Transport};
use crate::select::{Class, Selection};
use crate::slab::{Ref, Slab};
use crate::state::State;
use crate::stream::Measure;
use crate::trunks::Trunks;
use crate::verdict::Verdicts;

/// Calls at once.
pub const MAX_CALLS: usize = 500_000;
/// Connections of a call that get what is theirs when it is selected.
const MAX_CONNECTIONS: usize = 64;

/// Whose bytes they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Nobody's.
    None,
    /// Selected by itself: no call to go with.
    Selected,
    /// A call's.
    Call(Ref),
    /// The connection's: keepalives, upgrade requests.
    Connection,
}

/// Where and when a message came.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// VLANs.
    pub context: Context,
    /// Addresses and ports.
    pub ends: Ends,
    /// How.
    pub transport: Transport,
    /// Frames that carried it.
    pub frames: &'a [FrameId],
    /// Capture time of its first byte, or of the burst it was sent in, ns.
    pub sent: u64,
    /// The line's time, ns.
    pub now: u64,
    /// Source of the last of them.
    pub source: u16,
}

impl Arrived<'_> {
    /// Capture time of the frame that completed it, ns.
    #[must_use]
    pub fn ts(&self) -> u64 {
        self.frames.last().map_or(self.now, |f| f.ts)
    }
}

/// Counters of the table, readable at any batch boundary.
#[derive(Clone, Debug, Default)]
pub struct CallStats {
    /// Messages by method or status.
    pub messages: HashMap<(bool, u16, Box<[u8]>), u64>,
    /// Calls by the state they ended in; [`State::ALL`].
    pub ended: [u64; State::ALL.len()],
    /// Calls evicted for the limit, calls forgotten for their age.
    pub evicted: [u64; 2],
    /// Payloads that looked like SIP and were none, by reason.
    pub refused: HashMap<&'static str, u64>,
    /// Datagrams of RTCP that were not read to their end; by [`lc_proto::rtcp::Damage`].
    pub rtcp_damaged: [u64; 4],
    /// Records of undecided calls that found no place.
    pub records_lost: u64,
}

/// The calls with their media.
#[derive(Debug)]
pub struct Calls {
    table: Slab<Call>,
    /// Places of the calls, by their Call-IDs.
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    timers: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Endpoints and flows.
    pub media: Media,
    selection: Selection,
    known: Option<Bitmap>,
    chosen: Bitmap,
    records: bool,
    /// Whether RTCP is told, too.
    pub tells_rtcp: bool,
    /// Records to be taken.
    pub out: Vec<Record>,
    /// Calls selected since they were last taken.
    pub fresh: Vec<Ref>,
    /// What became of selected calls since it was last taken; none: nobody wants to know.
    pub news: Option<Vec<News>>,
    /// Whether streams are measured: for records, or for the counters alone.
    pub measures: bool,
    /// How streams are measured.
    pub measure: Measure,
    /// How hard pressed the line is, 0 to 3: from 1 on streams are not measured, from 2 on media whose call is not known
    /// is not remembered (from 3 on the line brings no media at all).
    pub strain: u8,
    /// Counters.
    pub stats: CallStats,
    /// What trunks are judged by.
    pub kpi: Kpi,
    /// The trunks.
    trunks: Trunks,
    limit: usize,
    record_bytes: usize,
    name_bytes: usize,
}

impl Calls {
    /// `records`: whether records are wanted; `known`: serials of calls that an earlier pass selected.
    #[must_use]
    pub fn new(selection: Selection, records: bool, known: Option<Bitmap>) -> Self {
        Self {
            table: Slab::default(),
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            timers: BinaryHeap::new(),
            media: Media::default(),
            selection,
            known,
            chosen: Bitmap::default(),
            records,
            tells_rtcp: false,
            out: Vec::new(),
            fresh: Vec::new(),
            news: None,
            measures: records,
            measure: Measure::default(),
            strain: 0,
            stats: CallStats::default(),
            kpi: Kpi::default(),
            trunks: Trunks::default(),
            limit: MAX_CALLS,
            record_bytes: 0,
            name_bytes: 0,
        }
    }

    /// The same with another limit of calls at once, at least 1.
    #[must_use]
    pub fn limited(self, limit: usize) -> Self {
        Self { limit: limit.max(1), ..self }
    }

    /// Tells trunks apart from now on.
    pub fn set_trunks(&mut self, trunks: Trunks) {
        (self.kpi, self.trunks) = (Kpi::new(trunks.len()), trunks);
    }

    /// The trunks.
    #[must_use]
    pub fn trunks(&self) -> &Trunks {
        &self.trunks
    }

    /// The selectors.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Calls in the table.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Serials of the calls that were selected; for a later pass.
    #[must_use]
    pub fn into_chosen(self) -> (Selection, Bitmap) {
        (self.selection, self.chosen)
    }

    /// Whether a call is selected.
    #[must_use]
    pub fn is_selected(&self, call: Ref) -> bool {
        self.table.get(call).is_some_and(|c| c.selected)
    }

    /// Whether a call is in the table.
    #[must_use]
    pub fn is_known(&self, call: Ref) -> bool {
        self.table.get(call).is_some()
    }

    /// Whether it was told that frames belong to it.
    #[must_use]
    pub fn is_announced(&self, call: Ref) -> bool {
        self.table.get(call).is_some_and(|c| c.announced)
    }

    /// Tells of a selected call, once, when it is one: a REGISTER or an OPTIONS is none.
    fn announce(&mut self, call: Ref, ts: u64) {
        let (Some(news), Some(c)) = (self.news.as_mut(), self.table.get_mut(call)) else { return };
        if c.announced || !c.selected || c.session.state() == State::Transaction {
            return;
        }
        c.announced = true;
        let ts = c.session.start.get().unwrap_or(ts);
        let users = c.users().map(Into::into);
        news.push(News::Began(Box::new(Began { call: call.serial, id: c.id().into(), users, ts })));
    }

    /// Notes that a connection carried a call; true the first time.
    pub fn joins(&mut self, call: Ref, connection: Ref) -> bool {
        let Some(c) = self.table.get_mut(call) else { return false };
        let connections = &mut c.more().connections;
        let new = !connections.contains(&connection);
        if new {
            if connections.len() >= MAX_CONNECTIONS {
                connections.remove(0);
            }
            connections.push(connection);
        }
        new
    }

    /// The connections of a call.
    #[must_use]
    pub fn connections(&self, call: Ref) -> Vec<Ref> {
        self.table.get(call).and_then(Call::rest).map(|r| r.connections.clone()).unwrap_or_default()
    }

    /// A frame belongs to a call.
    #[inline]
    pub fn give<V: Verdicts>(&mut self, v: &mut V, frame: FrameNo, call: Ref, class: Class, now: u64) {
        let Some(c) = self.table.get_mut(call) else { return };
        c.packets += 1;
        c.last = now;
        if !self.selection.admits(class) {
            return;
        }
        if c.selected {
            v.select(frame);
            if c.announced {
                v.own(frame, call.serial);
            }
        } else if V::WAITS {
            c.waiting.get_or_insert_default().push(frame, now, v.horizon());
            v.hold(frame);
        }
    }
}
