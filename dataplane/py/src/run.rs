//! One pipeline's worker: the loop from the source to the sinks, in one pass or two.
//!
//! A regular file is read twice when what a frame's fate is may depend on a later one: pass 1 follows the calls and
//! marks frames, pass 2 emits the marked ones in file order and is the one that counts. Pipes hold undecided frames.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lc_engine::bpf::Program;
use lc_engine::follow::Follower;
use lc_engine::frames::{Bitmap, FrameNo};
use lc_engine::hold::Hold;
use lc_engine::owners::Of;
use lc_engine::pool::{Pool, Strategy};
use lc_engine::select::Selection;
use lc_engine::stream::Measure;
use lc_engine::tcp::Limits;
use lc_engine::trunks::Trunks;
#[cfg(target_os = "linux")]
use lc_io::af_packet::Ring;
use lc_io::clock;
use lc_io::merge::Merged;
use lc_proto::tls::KeyLog;
use lc_wire::{LinkType, Packet};

use crate::levels::follow;
use crate::out::Out;
use crate::shared::{Account, Shared};
use crate::sinks::Sink;
#[cfg(target_os = "linux")]
use crate::wire::Rings;

/// Frames between two looks at the clock.
pub(crate) const BATCH: u64 = 256;
/// How often counters are published at least, while frames come.
pub(crate) const PUBLISH: Duration = Duration::from_millis(50);

/// Which records are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Records {
    /// None.
    None,
    /// One a selected packet.
    Packet,
    /// SIP messages, streams, calls.
    Voip,
}

/// What to do.
pub struct Spec {
    /// Where frames come from.
    pub inputs: Merged,
    /// Interfaces to capture from instead.
    #[cfg(target_os = "linux")]
    pub live: Option<Rings>,
    /// Of TCP connections.
    pub limits: Limits,
    /// How their early bytes get memory, and how many buffers are kept.
    pub pool: (Strategy, usize),
    /// Live: whether the line does less when it is hard pressed.
    #[cfg(target_os = "linux")]
    pub backpressure: bool,
    /// Live: frames of the smallest batch.
    pub batch: usize,
    /// Names of sources: `Packet::source` is below.
    pub sources: usize,
    /// Programs by link type.
    pub filters: Vec<(LinkType, Program)>,
    /// What is asked for.
    pub selection: Selection,
    /// Whether calls are followed even where no decision needs it.
    pub voip: bool,
    /// Which records.
    pub records: Records,
    /// Whether reports of RTCP are records, too.
    pub rtcp: bool,
    /// Secrets of TLS connections.
    pub keys: KeyLog,
    /// How streams are measured.
    pub measure: Measure,
    /// Whether RTP without signalling is looked for.
    pub guesses: bool,
    /// Whether somebody reads the counters: streams are measured then, also without records.
    pub metrics: bool,
    /// The trunks that calls are counted by.
    pub trunks: Trunks,
    /// ns of packet time, bytes.
    pub hold: (u64, usize),
    /// How often the input is replayed; 0 for ever.
    pub loops: u64,
    /// Packets after which to end; 0 none.
    pub count: u64,
    /// Bytes of speech that files get of an RTP packet; none: all.
    pub snap: Option<usize>,
    /// Wait before the first frame goes out.
    pub startup_delay: Duration,
}

impl Spec {
    /// Whether calls are followed.
    pub(crate) fn follows(&self) -> bool {
        self.voip || !self.selection.keeps_all()
    }

    /// Whether selectors, and whether filters and sinks can change while it runs: where frames are decided once.
    pub fn hot(&self) -> (bool, bool) {
        #[cfg(target_os = "linux")]
        let once = self.live.is_some() || !self.inputs.is_regular();
        #[cfg(not(target_os = "linux"))]
        let once = !self.inputs.is_regular();
        (once && self.follows(), once || !self.follows())
    }
}

/// What a frame meets before it is followed.
pub(crate) enum Gate {
    Pass,
    Unsupported,
    Filtered,
}

/// The worker.
pub struct Worker {
    /// How often memory had been given back.
    trims: Cell<u64>,
    pub(crate) spec: Spec,
    pub(crate) out: Out,
    pub(crate) shared: Arc<Shared>,
    pub(crate) published: Instant,
    pub(crate) refused_links: Vec<LinkType>,
    /// New rings for sources whose interface was made anew.
    #[cfg(target_os = "linux")]
    pub(crate) replaced: Vec<Vec<Ring>>,
}

impl Worker {
    /// Ready to run.
    pub fn new(spec: Spec, sinks: Vec<Sink>, shared: Arc<Shared>) -> Self {
        let accounts = vec![Account::default(); spec.sources];
        let left = (spec.count > 0).then_some(spec.count);
        let packets = spec.records == Records::Packet;
        let out = Out { sinks, accounts, packets, left, shared: Arc::clone(&shared), snap: spec.snap, clocks: (0, 0) };
        Self {
            trims: Cell::new(0),
            spec,
            out,
            shared,
            published: Instant::now(),
            refused_links: Vec::new(),
            #[cfg(target_os = "linux")]
            replaced: Vec::new(),
        }
    }

    /// Reads all input, closes the sinks, and says so.
    pub fn run(mut self) {
        self.out.clocks = (clock::now(), clock::thread_cpu());
        #[cfg(target_os = "linux")]
        if let Some(live) = self.spec.live.take() {
            self.live(live);
            return self.close(true);
        }
        if !self.spec.follows() {
            self.straight();
        } else if self.reads_once() {
            self.once();
        } else if self.spec.inputs.is_regular() {
            self.twice();
        } else {
            self.holding();
        }
        let damages: Vec<String> = self.spec.inputs.damages().map(ToString::to_string).collect();
        damages.into_iter().for_each(|d| self.shared.damage(d));
        let drain = !self.shared.stop.is_set();
        self.close(drain);
    }

    /// The sinks end: all that they took is written (`drain`) or counted.
    fn close(mut self, drain: bool) {
        for link in std::mem::take(&mut self.refused_links) {
            let text = format!("link type {link} is not decoded: its frames are counted as dropped (decode.link_type)");
            self.shared.damage(text);
        }
        self.out.flush();
        let lost = self.out.lost();
        self.out.sinks.iter_mut().for_each(|s| s.close(drain, &lost));
        self.out.publish();
        self.shared.finish();
    }

    pub(crate) fn refuse(&mut self, source: u16, link: LinkType) {
        self.out.accounts[usize::from(source)].link_type += 1;
        if !self.refused_links.contains(&link) {
            self.refused_links.push(link);
        }
    }

    /// Waits for the startup delay; interruptible.
    pub(crate) fn delay(&self) {
        let until = Instant::now() + self.spec.startup_delay;
        while !self.shared.stop.is_set() {
            self.shared.stop.beat();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }

    /// Takes up what was changed from outside, whole; see [`Spec::hot`].
    pub(crate) fn take_up(&mut self, mut followed: Option<(&mut Follower, &mut Hold)>) {
        let changes = self.shared.mailbox.take();
        let n = changes.len();
        for change in changes {
            if let Some(filters) = change.filters {
                self.spec.filters = filters;
            }
            #[cfg(target_os = "linux")]
            self.replaced.extend(change.rings);
            for name in change.remove {
                self.out.remove(&name);
            }
            self.out.sinks.extend(change.add);
            if let (Some(selection), Some((follower, hold))) = (change.selection, followed.as_mut()) {
                follower.reselect(*hold, selection);
                let out = &mut self.out;
                out.hear(follower);
                hold.pass(0, |p, of| out.emit(p, of));
                self.out.tell(follower);
            }
        }
        self.shared.mailbox.did(n);
    }

    /// At a batch boundary.
    pub(crate) fn batch(&mut self, pass: u64, passes: u64) {
        self.shared.stop.beat();
        let total = self.spec.inputs.size().unwrap_or(0);
        self.shared.set_progress([pass, passes, self.spec.inputs.position(), total]);
        if self.published.elapsed() >= PUBLISH {
            self.published = Instant::now();
            self.out.publish();
        }
    }

    /// Whether the next read may wait for somebody.
    fn must_wait(&self) -> bool {
        !self.spec.inputs.is_regular() && !self.spec.inputs.ready(Duration::ZERO)
    }

    /// Waits for input; what is ready goes out first. False when there is something else to do before.
    fn wait(&mut self) -> bool {
        self.out.flush();
        while !self.shared.stop.is_set() {
            self.shared.stop.beat();
            if self.spec.inputs.ready(Duration::from_millis(50)) {
                return true;
            }
            if self.shared.mailbox.waits() || self.shared.drains() {
                return false;
            }
            self.out.flush();
        }
        true
    }

    pub(crate) fn loops(&self) -> impl Iterator<Item = u64> {
        let loops = self.spec.loops;
        (0..).take_while(move |n| loops == 0 || *n < loops)
    }

    /// Goes back to the start for another round; false when that cannot be.
    pub(crate) fn again(&mut self, round: u64) -> bool {
        if round > 0 {
            self.out.sinks.iter_mut().for_each(Sink::anchor);
        }
        if let Err(error) = self.spec.inputs.rewind() {
            self.shared.damage(format!("cannot read the input again: {error}"));
            return false;
        }
        true
    }

    /// Every frame that passes the filter goes out: nothing to follow.
    fn straight(&mut self) {
        self.delay();
        for round in self.loops() {
            if round > 0 && !self.again(round) {
                return;
            }
            let mut n: u64 = 0;
            while !self.out.ends() {
                if self.shared.mailbox.waits() {
                    self.take_up(None);
                }
                if self.must_wait() && !self.wait() {
                    continue;
                }
                let Some(p) = self.spec.inputs.next() else { break };
                let gate = gate(&self.spec.filters, &p);
                let (source, link) = (p.source, p.link);
                self.out.accounts[usize::from(source)].read += 1;
                match gate {
                    Gate::Pass => self.out.emit(&p, Of::NONE),
                    Gate::Filtered => self.out.accounts[usize::from(source)].filtered += 1,
                    Gate::Unsupported => self.refuse(source, link),
                }
                n += 1;
                if n % BATCH == 0 {
                    self.batch(1, 1);
                }
            }
            self.batch(1, 1);
            if self.out.ends() {
                return;
            }
        }
    }

    /// Takes up the keys that the input brought; whether there were any.
    #[inline]
    pub(crate) fn learn(&mut self, follower: &mut Follower) -> bool {
        let mut any = false;
        while let Some(text) = self.spec.inputs.take_secrets() {
            any |= self.spec.keys.add(&text) > 0;
            follower.connections.secrets.log.add(&text);
            follower.connections.secrets.log.grows = !self.spec.inputs.is_regular();
        }
        any
    }

    /// One pass over a pipe: undecided frames are held.
    fn holding(&mut self) {
        let selection = std::mem::take(&mut self.spec.selection);
        let records = self.spec.records == Records::Voip;
        let mut follower = self.follower(selection, records, None);
        follower.calls.measures |= self.spec.metrics;
        let mut hold = Hold::new(self.spec.hold.0, self.spec.hold.1);
        hold.owned = self.out.asks_owners();
        self.delay();
        let mut n: FrameNo = 0;
        while !self.out.ends() {
            if self.shared.mailbox.waits() {
                self.take_up(Some((&mut follower, &mut hold)));
            }
            if self.must_wait() {
                self.account(&mut hold);
                if !self.wait() {
                    continue;
                }
            }
            let Some(p) = self.spec.inputs.next() else { break };
            let (source, link) = (p.source, p.link);
            self.out.accounts[usize::from(source)].read += 1;
            match gate(&self.spec.filters, &p) {
                Gate::Unsupported => self.refuse(source, link),
                Gate::Filtered => self.out.accounts[usize::from(source)].filtered += 1,
                Gate::Pass => {
                    hold.begin(n);
                    follower.frame(&mut hold, &p, n);
                    let out = &mut self.out;
                    out.disclose(&mut follower);
                    out.hear(&mut follower);
                    hold.end(&p, |p, of| out.emit(p, of));
                    self.out.tell(&mut follower);
                }
            }
            n += 1;
            self.learn(&mut follower);
            if n % BATCH == 0 {
                self.account(&mut hold);
                self.out.pass(follower.now());
                self.batch(1, 1);
                self.levels(&follower, hold.missed);
            }
        }
        self.learn(&mut follower);
        follower.finish(&mut hold);
        let out = &mut self.out;
        out.disclose(&mut follower);
        out.hear(&mut follower);
        hold.finish(|p, of| out.emit(p, of));
        self.out.tell(&mut follower);
        self.account(&mut hold);
        self.levels(&follower, hold.missed);
        self.batch(1, 1);
    }

    pub(crate) fn account(&mut self, hold: &mut Hold) {
        for source in hold.take_filtered() {
            self.out.accounts[usize::from(source)].filtered += 1;
        }
        for (source, account) in self.out.accounts.iter_mut().enumerate() {
            account.held = hold.held_of(source);
        }
    }

    /// A follower as the line is described.
    pub(crate) fn follower(&self, selection: Selection, records: bool, known: Option<Bitmap>) -> Follower {
        let mut follower = Follower::new(selection, records, known);
        follower.calls.measure = self.spec.measure;
        follower.calls.tells_rtcp = records && self.spec.rtcp;
        follower.calls.media.guesses = self.spec.guesses;
        follower.connections.limits = self.spec.limits;
        follower.connections.secrets.log = self.spec.keys.clone();
        follower.connections.pool = Pool::new(self.spec.pool.0, self.spec.pool.1);
        follower.calls.news = self.out.files_of_calls().map(|_| Vec::new());
        follower.calls.set_trunks(self.spec.trunks.clone());
        follower
    }

    /// What pass 2 counted of streams.
    pub(crate) fn media_levels(&self, f: &Follower) {
        self.shared.publish(|s| s.follow.kpi.take_media(&f.calls.kpi));
    }

    pub(crate) fn levels(&self, f: &Follower, missed: u64) {
        if self.trims.replace(f.connections.trims) < f.connections.trims {
            lc_io::memory::give_back();
        }
        let follow = follow(f, missed);
        self.shared.publish(|s| s.follow = follow);
    }
}

pub(crate) fn gate(filters: &[(LinkType, Program)], p: &Packet<'_>) -> Gate {
    if !p.link.is_supported() {
        return Gate::Unsupported;
    }
    match filters.iter().find(|(link, _)| *link == p.link) {
        Some((_, program)) if !program.matches(p.data, p.orig_len) => Gate::Filtered,
        _ => Gate::Pass,
    }
}
