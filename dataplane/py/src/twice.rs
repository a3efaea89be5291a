//! Two passes over a regular file: the first decides and marks, the second emits in the file's order, and counts.

use lc_engine::follow::Follower;
use lc_engine::frames::{Bitmap, FrameNo};
use lc_engine::owners::{OwnedMarks, OwnerMap};
use lc_engine::verdict::{Decided, Marks, Verdicts};

use crate::run::{gate, Gate, Records, Worker, BATCH};

impl Worker {
    /// Pass 1 decides, pass 2 emits.
    pub(crate) fn twice(&mut self) {
        let selection = std::mem::take(&mut self.spec.selection);
        let mut follower = self.follower(selection, false, None);
        let (marks, owners) = if self.out.asks_owners() {
            let mut marks = OwnedMarks::default();
            self.decide(&mut follower, &mut marks);
            marks.into_parts()
        } else {
            let mut marks = Marks::default();
            self.decide(&mut follower, &mut marks);
            (marks.0, OwnerMap::default())
        };
        if self.shared.stop.is_set() {
            return;
        }
        self.levels(&follower, 0);
        self.out.found(&follower.calls.news.take().unwrap_or_default(), &owners);
        let (mut selection, chosen) = follower.calls.into_chosen();
        self.delay();
        let mut chosen = Some(chosen);
        for round in self.loops() {
            if !self.again(round) {
                return;
            }
            let records = self.spec.records == Records::Voip;
            let tells = round == 0 && (records || self.spec.metrics);
            let mut teller = tells.then(|| {
                let mut teller = self.follower(std::mem::take(&mut selection), records, chosen.take());
                teller.calls.measures = true;
                teller.calls.news = None;
                teller
            });
            self.emit_marked(&marks, &owners, teller.as_mut());
            if self.out.ends() {
                return;
            }
        }
    }

    /// Follows all frames of the input, until the end is asked for.
    fn decide(&mut self, follower: &mut Follower, marks: &mut impl Verdicts) {
        let mut n: FrameNo = 0;
        while let Some(p) = self.spec.inputs.next() {
            if let Gate::Pass = gate(&self.spec.filters, &p) {
                follower.frame(marks, &p, n);
            }
            n += 1;
            if n % BATCH == 0 {
                self.batch(1, 2);
                if self.shared.stop.is_set() {
                    return;
                }
                if n % (BATCH * 256) == 0 {
                    self.levels(follower, 0);
                }
            }
        }
        follower.finish(marks);
    }

    fn emit_marked(&mut self, marks: &Bitmap, owners: &OwnerMap, mut teller: Option<&mut Follower>) {
        let (mut n, mut room): (FrameNo, [u32; 1]) = (0, [0]);
        while !self.out.ends() {
            let Some(p) = self.spec.inputs.next() else { break };
            let (source, link) = (p.source, p.link);
            let gate = gate(&self.spec.filters, &p);
            let account = &mut self.out.accounts[usize::from(source)];
            account.read += 1;
            match gate {
                Gate::Unsupported => self.refuse(source, link),
                Gate::Filtered => account.filtered += 1,
                Gate::Pass => {
                    if marks.get(n) {
                        self.out.emit(&p, owners.get(n, &mut room));
                    } else {
                        account.filtered += 1;
                    }
                    if let Some(t) = teller.as_deref_mut() {
                        t.frame(&mut Decided, &p, n);
                        self.out.tell(t);
                    }
                }
            }
            n += 1;
            if n % BATCH == 0 {
                self.batch(2, 2);
                if let Some(t) = teller.as_deref_mut().filter(|_| n % (BATCH * 256) == 0) {
                    self.media_levels(t);
                }
            }
        }
        if let Some(t) = teller {
            t.finish(&mut Decided);
            self.out.tell(t);
            self.media_levels(t);
        }
        self.batch(2, 2);
    }
}
