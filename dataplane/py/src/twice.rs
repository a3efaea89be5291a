//! Two passes over a regular file: the first decides and marks, the second emits in the file's order, and counts.

use lc_engine::follow::Follower;
use lc_engine::frames::{Bitmap, FrameNo};
use lc_engine::owners::{OwnedMarks, OwnerMap};
use lc_engine::select::Selection;
use lc_engine::verdict::{Decided, Marks, Verdicts};

use crate::run::{gate, Gate, Records, Worker, BATCH};

impl Worker {
    /// Pass 1 decides, pass 2 emits.
    pub(crate) fn twice(&mut self) {
        let selection = std::mem::take(&mut self.spec.selection);
        let (mut follower, mut marks, mut owners, late) = self.first(selection);
        if late && !self.shared.stop.is_set() {
            // keys stand behind the packets that they are for: once more, with all of them
            if !self.again(0) {
                return;
            }
            (follower, marks, owners, _) = self.first(follower.calls.into_chosen().0);
        }
        if self.shared.stop.is_set() {
            return;
        }
        self.levels(&follower, 0);
        self.out.found(&follower.calls.news.take().unwrap_or_default(), &owners);
        let secrets = std::mem::take(&mut follower.connections.secrets.disclosed);
        let (mut selection, chosen) = follower.calls.into_chosen();
        self.delay();
        secrets.iter().for_each(|text| self.out.secrets(text));
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

    /// The first pass: what it found, and whether keys came after packets.
    fn first(&mut self, selection: Selection) -> (Follower, Bitmap, OwnerMap, bool) {
        let mut follower = self.follower(selection, false, None);
        if self.out.asks_owners() {
            let mut marks = OwnedMarks::default();
            let late = self.decide(&mut follower, &mut marks);
            let (marks, owners) = marks.into_parts();
            return (follower, marks, owners, late);
        }
        let mut marks = Marks::default();
        let late = self.decide(&mut follower, &mut marks);
        (follower, marks.0, OwnerMap::default(), late)
    }

    /// Follows all frames of the input, until the end is asked for; whether keys came after packets.
    fn decide(&mut self, follower: &mut Follower, marks: &mut impl Verdicts) -> bool {
        let (mut n, mut late): (FrameNo, bool) = (0, false);
        while let Some(p) = self.spec.inputs.next() {
            if let Gate::Pass = gate(&self.spec.filters, &p) {
                follower.frame(marks, &p, n);
            }
            n += 1;
            if n % BATCH == 0 {
                self.batch(1, 2);
                if self.shared.stop.is_set() {
                    return false;
                }
                if n % (BATCH * 256) == 0 {
                    self.levels(follower, 0);
                }
            }
            late |= self.learn(follower) && n > 1;
        }
        late |= self.learn(follower) && n > 1;
        follower.finish(marks);
        late
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
