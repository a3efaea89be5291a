//! One pass over a file: every call is wanted, and nobody takes frames. The records and figures are those of two passes.

use lc_engine::frames::FrameNo;
use lc_engine::verdict::Marks;

use crate::run::{gate, Gate, Records, Worker, BATCH};

impl Worker {
    /// Whether what a frame's fate is need not be known while it is read.
    pub(crate) fn reads_once(&self) -> bool {
        let spec = &self.spec;
        let frames = !self.out.sinks.is_empty() || spec.records == Records::Packet || spec.count > 0 || spec.loops != 1;
        let keys_come = spec.inputs.may_have_secrets(); // perhaps behind the packets that they are for
        spec.inputs.is_regular() && !keys_come && spec.sources == 1 && spec.selection.every_call() && !frames
    }

    /// Follows the file; frames are held until its end, and counted then.
    pub(crate) fn once(&mut self) {
        let selection = std::mem::take(&mut self.spec.selection);
        let mut follower = self.follower(selection, self.spec.records == Records::Voip, None);
        follower.calls.measures |= self.spec.metrics;
        let mut marks = Marks::default();
        let mut n: FrameNo = 0;
        while !self.out.ends() {
            let Some(p) = self.spec.inputs.next() else { break };
            let gate = gate(&self.spec.filters, &p);
            let (source, link) = (p.source, p.link);
            let account = &mut self.out.accounts[usize::from(source)];
            account.read += 1;
            match gate {
                Gate::Pass => {
                    account.held += 1;
                    follower.frame(&mut marks, &p, n);
                    self.out.tell(&mut follower);
                }
                Gate::Filtered => account.filtered += 1,
                Gate::Unsupported => self.refuse(source, link),
            }
            n += 1;
            if n % BATCH == 0 {
                self.batch(1, 1);
                if n % (BATCH * 256) == 0 {
                    self.levels(&follower, 0);
                }
            }
        }
        follower.finish(&mut marks);
        self.out.tell(&mut follower);
        self.levels(&follower, 0);
        if let [account] = &mut self.out.accounts[..] {
            account.selected = marks.0.count();
            account.filtered += account.held - account.selected;
            account.held = 0;
        }
        self.batch(1, 1);
    }
}
