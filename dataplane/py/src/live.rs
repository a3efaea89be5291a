//! Live capture: the loop from the rings to the sinks, until the end is asked for.
//!
//! Nothing waits on this way: sinks that have no room drop and count. When no frame comes, the machine's clock moves
//! the line's time on, so that calls and held frames expire.

use std::time::{Duration, Instant};

use lc_engine::follow::{is_media, Follower};
use lc_engine::frames::FrameNo;
use lc_engine::hold::Hold;
use lc_engine::owners::Of;
use lc_io::af_packet::{Event, Strain};

use crate::run::{gate, Gate, Records, Worker, PUBLISH};
use crate::sinks::Sink;
use crate::wire::{Rings, Wire};

/// Frames of a batch at most; the least is the line's.
const BATCH: usize = 2048;
/// How long to wait at most for frames: then the line lives, and says so.
const WAIT: Duration = Duration::from_millis(50);
/// How long what is in the rings may take at the end.
const DRAIN: Duration = Duration::from_secs(2);

/// Following calls on the wire.
struct Followed {
    follower: Follower,
    hold: Hold,
    n: FrameNo,
}

impl Worker {
    /// Captures until the end is asked for or `--count` is reached.
    pub(crate) fn live(&mut self, rings: Rings) {
        let mut live = match Wire::start(rings, self.spec.sources, &self.spec.filters) {
            Ok(wire) => wire,
            Err(error) => return self.shared.damage(format!("cannot start a reader: {error}")),
        };
        let mut followed = self.spec.follows().then(|| {
            let selection = std::mem::take(&mut self.spec.selection);
            let mut follower = self.follower(selection, self.spec.records == Records::Voip, None);
            follower.calls.measures |= self.spec.metrics;
            let mut hold = Hold::new(self.spec.hold.0, self.spec.hold.1);
            hold.owned = self.out.asks_owners();
            Followed { follower, hold, n: 0 }
        });
        let least = self.spec.batch.min(BATCH);
        let (mut batch, mut batches) = (least, (0, 0));
        let mut strain = Strain::default();
        let mut ending: Option<Instant> = None;
        while self.out.left != Some(0) {
            self.shared.stop.beat();
            if self.shared.mailbox.waits() {
                self.take_up(followed.as_mut().map(|f| (&mut f.follower, &mut f.hold)));
                self.replaced.drain(..).for_each(|rings| live.replace(rings));
                live.set_filters(&self.spec.filters);
            }
            let n = self.burst(&mut live, followed.as_mut(), batch);
            if let Some(f) = followed.as_mut().filter(|_| self.spec.backpressure) {
                strain.weigh(live.quarters(), Instant::now());
                f.follower.calls.strain = strain.level();
            }
            batch = if n == batch { (batch * 2).min(BATCH) } else { (batch / 2).max(least) };
            if n > 0 {
                batches = (batches.0 + 1, batches.1 + n as u64);
                self.out.sinks.iter_mut().for_each(Sink::hand_on);
            }
            if ending.is_none() && (self.shared.stop.is_set() || self.shared.drains()) {
                live.ending();
                ending = Some(Instant::now() + DRAIN);
            }
            if ending.is_some_and(|until| live.is_drained() || Instant::now() >= until) {
                break;
            }
            if self.published.elapsed() >= PUBLISH {
                self.housekeeping(&mut live, followed.as_mut(), ending.is_some());
                self.shared.publish(|s| (s.batches, s.strain) = (batches, strain.level()));
                if let Some((level, text)) = strain.told() {
                    self.shared.message(level, text);
                }
            }
            if n == 0 {
                live.wait(if ending.is_some() { Duration::from_millis(1) } else { WAIT });
            }
        }
        if let Some(f) = followed.as_mut() {
            let out = &mut self.out;
            f.follower.finish(&mut f.hold);
            out.hear(&mut f.follower);
            f.hold.finish(|p, of| out.emit(p, of));
            self.out.tell(&mut f.follower);
        }
        live.end();
        self.housekeeping(&mut live, followed.as_mut(), true);
        self.shared.publish(|s| s.batches = batches);
    }

    /// Takes up to `most` frames.
    fn burst(&mut self, live: &mut Wire, mut followed: Option<&mut Followed>, most: usize) -> usize {
        let filtered = live.filters();
        for n in 0..most {
            let Some(p) = live.next() else { return n };
            let account = &mut self.out.accounts[usize::from(p.source)];
            account.read += 1;
            let gate = if filtered { Gate::Pass } else { gate(&self.spec.filters, &p) };
            match gate {
                Gate::Filtered => account.filtered += 1,
                Gate::Unsupported => self.refuse(p.source, p.link),
                Gate::Pass => match followed.as_deref_mut() {
                    None => self.out.emit(&p, Of::NONE),
                    Some(f) if f.follower.calls.strain >= 3 && is_media(&p) => {
                        account.read -= 1;
                        account.left_out[4] += 1;
                    }
                    Some(f) => {
                        f.hold.begin(f.n);
                        f.follower.frame(&mut f.hold, &p, f.n);
                        let out = &mut self.out;
                        out.disclose(&mut f.follower);
                        out.hear(&mut f.follower);
                        f.hold.end(&p, |p, of| out.emit(p, of));
                        self.out.tell(&mut f.follower);
                        f.n += 1;
                    }
                },
            }
            if self.out.left == Some(0) {
                return n + 1;
            }
        }
        most
    }

    /// Some times a second: time passes, counters are read and published, what happened to interfaces is told.
    fn housekeeping(&mut self, live: &mut Wire, followed: Option<&mut Followed>, ending: bool) {
        self.published = Instant::now();
        if let Some(f) = followed {
            let ns = live.passed();
            f.hold.begin(FrameNo::MAX);
            f.follower.pass(&mut f.hold, ns);
            let out = &mut self.out;
            out.hear(&mut f.follower);
            out.pass(f.follower.now());
            f.hold.pass(ns, |p, of| out.emit(p, of));
            self.out.tell(&mut f.follower);
            self.account(&mut f.hold);
            self.levels(&f.follower, f.hold.missed);
        }
        if !ending {
            live.look();
        }
        for event in live.take_events() {
            self.shared.message("warning", told(&event));
        }
        self.shared.hear_not(live.deaf());
        self.account_rings(live);
        for link in live.links() {
            if !self.refused_links.contains(&link) {
                self.refused_links.push(link);
            }
        }
        if live.has_failed() {
            self.shared.damage("a reader has failed: this is a fault of lippycatd".to_owned());
            self.shared.stop.set();
        }
        let readers = live.readers();
        self.shared.publish(|s| s.readers = readers);
        self.out.flush();
    }

    fn account_rings(&mut self, live: &mut Wire) {
        for (source, account) in self.out.accounts.iter_mut().enumerate() {
            let (c, (filtered, unsupported)) = live.counters(source);
            account.read += filtered + unsupported;
            account.filtered += filtered;
            account.link_type += unsupported;
            account.left_out[..4].copy_from_slice(&[c.loopback, c.duplicates, c.own, c.damaged]);
            (account.kernel, account.freezes, account.downs) = (c.drops, c.freezes, c.downs);
            let done = account.read + account.kernel + account.left_out.iter().sum::<u64>();
            account.pending = c.packets.saturating_sub(done);
        }
    }
}

/// One line for a person.
fn told(event: &Event) -> String {
    match event {
        Event::Down(name) => format!("{name}: the interface is down; capture goes on when it is up"),
        Event::Back(name) => format!("{name}: capture goes on"),
        Event::Deleted(name) => format!("{name}: the interface was deleted; capture goes on when it is there again"),
        Event::SuperFrame(name, bytes) => format!(
            "{name}: frames of {bytes} bytes are longer than those on the wire, the adapter or the kernel joins them \
             (GRO, LRO): ethtool -K {name} gro off lro off"
        ),
    }
}
