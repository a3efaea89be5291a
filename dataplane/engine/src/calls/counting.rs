//! What messages and ends change in the counters, and the records of transactions.

use super::Calls;
use crate::kpi::{Kpi, METHODS};
use crate::record::{Record, StreamRecord, TransactionRecord};
use crate::select::Class;
use crate::session::{By, Changed};
use crate::slab::Ref;
use crate::transactions::{Moved, Outcome, Transaction};

impl Calls {
    /// A message, or a deadline, changed a call; `was`: whether it was active before.
    pub(super) fn changed(&mut self, call: Ref, was: bool, changed: Changed) {
        let Some(c) = self.table.get(call) else { return };
        let s = &c.session;
        let is = s.is_active();
        if was == is && changed == Changed::default() {
            return;
        }
        let trunk = self.kpi.trunk(c.trunk);
        trunk.moved(was, is);
        trunk.attempts += u64::from(changed.began);
        if !s.is_attempt() {
            return;
        }
        if let Some(ns) = s.pdd().filter(|_| changed.rang) {
            trunk.pdd.observe_ns(ns);
        }
        if changed.answered {
            trunk.result(s.status().unwrap_or(200));
            s.srd().into_iter().for_each(|ns| trunk.srd[0].observe_ns(ns));
            s.setup().into_iter().for_each(|ns| trunk.setup.observe_ns(ns));
        }
        changed.disconnect.into_iter().for_each(|ns| trunk.sdd.observe_ns(ns));
        if let Some(ns) = s.duration().filter(|_| changed.over) {
            trunk.completed += 1;
            trunk.sdt.observe_ns(ns);
        }
        if changed.answered && !s.replaces().is_empty() {
            let old = self.by_id(s.replaces()).filter(|old| *old != call);
            if let Some(old) = old.and_then(|old| self.table.get_mut(old)) {
                old.session.replaced();
            }
        }
    }

    /// A call is about to leave the table: a refusal is final now, and who hung up is known.
    pub(super) fn leaves(&mut self, call: Ref) {
        let Some(c) = self.table.get(call) else { return };
        let s = &c.session;
        let trunk = self.kpi.trunk(c.trunk);
        trunk.moved(s.is_active(), false);
        if s.is_attempt() && !s.answer.is_set() {
            if let Some(status) = s.status() {
                trunk.result(status);
                s.srd().into_iter().for_each(|ns| trunk.srd[1].observe_ns(ns));
            }
        }
        if let Some(cause) = s.cause() {
            self.kpi.causes[usize::from(cause)] += 1;
        }
        if s.end.is_set() && s.status().is_none_or(|status| status < 300) {
            self.kpi.hung_up[match s.hung_up_by() {
                Some(By::Caller) => 0,
                Some(By::Callee) => 1,
                None => 2,
            }] += 1;
        }
        (0..self.kpi.calls.len()).filter(|at| c.heard >> at & 1 == 1).for_each(|at| self.kpi.calls[at] += 1);
    }

    /// A stream of a call has ended.
    pub(super) fn stream_ended(&mut self, call: Ref, record: &StreamRecord) {
        let Some(c) = self.table.get_mut(call) else { return };
        let name = record.types.iter().find(|(t, _)| t.payload_type == record.payload_type).map_or("", |(_, n)| n);
        let at = Kpi::codec(name);
        c.heard |= 1 << at;
        self.kpi.streams[at] += 1;
        let trunk = self.kpi.trunk(c.trunk);
        if let Some([jitter, ..]) = record.stream.jitter_ms() {
            trunk.jitter.observe(jitter / 1e3);
        }
        if let Ok(rating) = &record.rating {
            trunk.mos.observe(rating.mos);
        }
    }

    /// A message moved a transaction.
    pub(super) fn moved(&mut self, call: Ref, moved: Moved) {
        let Some(c) = self.table.get(call) else { return };
        let trunk = self.kpi.trunk(c.trunk);
        trunk.registering += u64::from(moved.registering);
        if let Some(t) = &moved.answered {
            if t.method.as_ref() == METHODS[0].as_bytes() {
                match t.status {
                    ..=299 => {
                        trunk.registered[0] += 1;
                        t.response().into_iter().for_each(|ns| trunk.rrd.observe_ns(ns));
                    }
                    401 | 402 | 407 | 300..=399 => {}
                    _ => trunk.registered[1] += 1,
                }
            }
            self.kpi.transaction(&t.method, t.outcome as usize, t.response());
        }
        if let Some(t) = moved.pushed_out {
            self.transaction_ends(call, t);
        }
    }

    /// Transactions of which nothing can come any more.
    pub(super) fn transactions_due(&mut self, call: Ref, now: u64) {
        while let Some(t) = self.table.get_mut(call).and_then(|c| c.rest_mut()?.transactions.take_due(now)) {
            self.transaction_ends(call, t);
        }
    }

    /// All that are left of a call.
    pub(super) fn transactions_end(&mut self, call: Ref) {
        while let Some(t) = self.table.get_mut(call).and_then(|c| c.rest_mut()?.transactions.take()) {
            self.transaction_ends(call, t);
        }
    }

    fn transaction_ends(&mut self, call: Ref, t: Transaction) {
        let Some(c) = self.table.get(call) else { return };
        if t.status == 0 {
            self.kpi.transaction(&t.method, t.outcome as usize, None);
            let failed = t.outcome == Outcome::Timeout && t.method.as_ref() == METHODS[0].as_bytes();
            self.kpi.trunk(c.trunk).registered[1] += u64::from(failed);
        }
        if self.records && self.selection.admits(Class::Sip) {
            let trunk = self.trunks.name(c.trunk).into();
            let record = TransactionRecord { call_id: c.id().into(), trunk, transaction: t };
            self.tell(call, Record::Transaction(Box::new(record)));
        }
    }
}
