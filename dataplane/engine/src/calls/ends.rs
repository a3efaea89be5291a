//! Ends of calls: timers, limits, the end of the input.

use std::cmp::Reverse;
use std::hash::BuildHasher;

use super::tell::call_record;
use super::Calls;
use crate::owners::News;
use crate::record::Record;
use crate::session::{Changed, Overdue};
use crate::slab::Ref;
use crate::state::State;
use crate::verdict::Verdicts;

impl Calls {
    /// The call whose deadline comes first, if that is not after `now`; it has no timer then.
    pub(super) fn due(&mut self, now: u64) -> Option<Ref> {
        while let Some(Reverse((timer, slot, serial))) = self.timers.peek().copied().filter(|t| t.0 .0 <= now) {
            self.timers.pop();
            let call = Ref { slot, serial };
            let Some(c) = self.table.get_mut(call).filter(|c| c.timer == timer) else { continue };
            c.timer = u64::MAX;
            if c.deadline() <= timer {
                return Some(call);
            }
            self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, slot, serial))));
        }
        None
    }

    /// Packet time moved on: calls end, idle flows are forgotten.
    pub fn tick(&mut self, v: &mut impl Verdicts, now: u64) {
        while let Some(call) = self.due(now) {
            self.transactions_due(call, now);
            let Some(c) = self.table.get_mut(call) else { continue };
            let was = c.session.is_active();
            let overdue = if c.leaves() <= now { c.session.overdue(now) } else { Overdue::Stays };
            if overdue == Overdue::Leaves {
                self.stats.evicted[1] += u64::from(was || c.session.state() == State::Transaction);
                self.changed(call, was, Changed::default());
                self.end(v, call);
                continue;
            }
            self.timers.extend(c.sooner().map(|deadline| Reverse((deadline, call.slot, call.serial))));
            if overdue == Overdue::HungUp {
                self.changed(call, was, Changed { over: true, ..Changed::default() });
                self.drain(call);
            }
        }
        for frame in self.media.sweep(now) {
            v.release(frame);
        }
        self.streams(v);
    }

    /// A call leaves the table.
    pub(super) fn end(&mut self, v: &mut impl Verdicts, call: Ref) {
        let Some(c) = self.table.get(call) else { return };
        let claims: Vec<Ref> = c.claims.iter().map(|k| k.at).collect();
        self.media.leave(call, &claims);
        self.streams(v);
        self.transactions_end(call);
        self.leaves(call);
        let hash = self.table.get(call).map_or(0, |c| self.hasher.hash_one(c.id()));
        if let Ok(entry) = self.by_id.find_entry(hash, |slot| *slot == call.slot) {
            entry.remove();
        }
        let Some(mut c) = self.table.remove(call) else { return };
        self.name_bytes -= c.names();
        self.record_bytes -= c.records_weight();
        self.stats.ended[c.session.state() as usize] += 1;
        if let Some(news) = self.news.as_mut().filter(|_| c.announced) {
            news.push(News::Ended(call.serial));
        }
        if c.selected {
            if self.records && c.session.state() != State::Transaction {
                self.out.push(Record::Call(Box::new(call_record(call.serial, &c, self.trunks.name(c.trunk)))));
            }
        } else {
            for frame in c.waiting.take().into_iter().flat_map(|mut w| w.take().collect::<Vec<_>>()) {
                v.release(frame);
            }
        }
    }

    /// The input ended: so do all calls, in the order of their places.
    pub fn finish(&mut self, v: &mut impl Verdicts) {
        let all: Vec<Ref> = self.table.iter().map(|(at, _)| at).collect();
        let mut all = all;
        all.sort_by_key(|r| r.serial);
        for call in all {
            self.end(v, call);
        }
        for frame in self.media.finish() {
            v.release(frame);
        }
        self.streams(v);
        self.timers.clear();
    }
}
