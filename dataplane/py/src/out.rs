//! The end of the line: counters, records, sinks.

use std::sync::Arc;

use lc_engine::follow::Follower;
use lc_engine::owners::{News, Of, OwnerMap};
#[cfg(target_os = "linux")]
use lc_engine::record::Record;
use lc_engine::snap;
use lc_io::clock;
use lc_io::pcap_out::SourceDrops;
use lc_wire::Packet;

#[cfg(target_os = "linux")]
use crate::call_sink::{named, CallSink};
use crate::shared::{Account, PacketRecord, Shared, Told};
use crate::sinks::Sink;

/// Where frames go that the line keeps.
pub struct Out {
    /// In the order of the summary.
    pub sinks: Vec<Sink>,
    /// By source.
    pub accounts: Vec<Account>,
    /// Whether a record of each packet is wanted.
    pub packets: bool,
    /// How many may still come (`--count`).
    pub left: Option<u64>,
    /// What Python reads.
    pub shared: Arc<Shared>,
    /// Bytes of speech that files get of an RTP packet.
    pub snap: Option<usize>,
    /// Monotonic time and the thread's processor time at the last publishing.
    pub clocks: (u64, u64),
}

impl Out {
    /// A selected frame.
    #[inline]
    pub fn emit(&mut self, p: &Packet<'_>, of: Of<'_>) {
        let kept = self.snap.map_or(p.data.len(), |speech| snap::length(p, &of, speech));
        if of.again {
            self.sinks.iter_mut().for_each(|sink| sink.offer(p, kept, of));
            return;
        }
        let account = &mut self.accounts[usize::from(p.source)];
        match &mut self.left {
            Some(0) => {
                account.count += 1;
                return;
            }
            Some(n) => *n -= 1,
            None => {}
        }
        account.selected += 1;
        for sink in &mut self.sinks {
            sink.offer(p, kept, of);
        }
        if self.packets {
            let (ts, number, source, link, orig_len) = (p.ts, p.number, p.source, p.link.0, p.orig_len);
            let record = PacketRecord { ts, number, source, link, orig_len, data: p.data.to_vec() };
            self.shared.tell([Told::Packet(record)]);
        }
    }

    /// Whether it must be known whose a frame is.
    pub fn asks_owners(&self) -> bool {
        self.snap.is_some() || self.files_of_calls().is_some()
    }

    /// The sink that writes a file per call.
    #[cfg(target_os = "linux")]
    pub fn files_of_calls(&self) -> Option<&CallSink> {
        self.sinks.iter().find_map(|s| match s {
            Sink::Calls(calls) => Some(calls),
            _ => None,
        })
    }

    /// There is none.
    #[cfg(not(target_os = "linux"))]
    pub fn files_of_calls(&self) -> Option<&()> {
        None
    }

    /// What happened to calls goes to the sink that writes a file for each; before their frames do.
    #[cfg(target_os = "linux")]
    pub fn hear(&mut self, follower: &mut Follower) {
        let Some(news) = follower.calls.news.as_mut().filter(|news| !news.is_empty()) else { return };
        let news = std::mem::take(news);
        self.each_calls(|calls| calls.hear(&news, follower.now()));
    }

    /// There is no such sink.
    #[cfg(not(target_os = "linux"))]
    pub fn hear(&mut self, _: &mut Follower) {}

    /// The line's time is `now`.
    #[cfg(target_os = "linux")]
    pub fn pass(&mut self, now: u64) {
        self.each_calls(|calls| calls.files.pass(now));
    }

    /// There is no sink that cares.
    #[cfg(not(target_os = "linux"))]
    pub fn pass(&mut self, _: u64) {}

    /// A first pass found these calls, and whose every frame is.
    #[cfg(target_os = "linux")]
    pub fn found(&mut self, news: &[News], owners: &OwnerMap) {
        self.each_calls(|calls| {
            for news in news {
                let News::Began(b) = news else { continue };
                if let Some(frames) = owners.frames().get(&b.call) {
                    calls.files.begin(b.call, named(b), Some(*frames));
                }
            }
        });
    }

    /// There is no sink that cares.
    #[cfg(not(target_os = "linux"))]
    pub fn found(&mut self, _: &[News], _: &OwnerMap) {}

    #[cfg(target_os = "linux")]
    fn each_calls(&mut self, mut work: impl FnMut(&mut CallSink)) {
        for sink in &mut self.sinks {
            if let Sink::Calls(calls) = sink {
                work(calls);
            }
        }
    }

    /// Records go to Python, those of calls with the name of their file.
    pub fn tell(&self, follower: &mut Follower) {
        if follower.calls.out.is_empty() {
            return;
        }
        let mut records = follower.take_records();
        #[cfg(target_os = "linux")]
        if let Some(calls) = self.files_of_calls() {
            for record in &mut records {
                if let Record::Call(call) = record {
                    call.file = calls.files.file_of(call.call).map(Into::into);
                }
            }
        }
        self.shared.tell(records.drain(..).map(Told::Record));
    }

    /// A TLS key log for what goes out from now on.
    #[cold]
    pub fn secrets(&mut self, text: &str) {
        self.sinks.iter_mut().for_each(|s| s.secrets(text));
    }

    /// Gives out the secrets of connections that were selected.
    #[inline]
    pub fn disclose(&mut self, follower: &mut Follower) {
        if !follower.connections.secrets.disclosed.is_empty() {
            std::mem::take(&mut follower.connections.secrets.disclosed).iter().for_each(|text| self.secrets(text));
        }
    }

    /// Whether the end was asked for, or `--count` is reached.
    pub fn ends(&self) -> bool {
        self.left == Some(0) || self.shared.stop.is_set() || self.shared.drains()
    }

    /// Publishes all counters; sinks hand on what they gathered, files keep their block.
    pub fn publish(&mut self) {
        self.sinks.iter_mut().for_each(Sink::publish);
        let accounts = self.accounts.clone();
        let clocks = (clock::now(), clock::thread_cpu());
        let (wall, cpu) = (clocks.0 - self.clocks.0, clocks.1.saturating_sub(self.clocks.1));
        self.clocks = clocks;
        self.shared.publish(|s| {
            s.accounts = accounts;
            s.busy = (cpu as f64 / wall.max(1) as f64).min(1.0);
        });
    }

    /// Everything gathered is handed on or written.
    pub fn flush(&mut self) {
        self.sinks.iter_mut().for_each(Sink::flush);
        self.publish();
    }

    /// A sink ends: what it has taken is written, elsewhere where that can take long.
    pub fn remove(&mut self, name: &str) {
        let Some(at) = self.sinks.iter().position(|s| s.name() == name) else { return };
        let mut sink = self.sinks.remove(at);
        let lost = self.lost();
        let close = move || sink.close(true, &lost);
        if let Err(error) = lc_io::thread::spawn("lc-close", close) {
            self.shared.damage(format!("{name}: cannot be closed in order: {error}"));
        }
    }

    /// What each source lost, for files that tell it.
    pub fn lost(&self) -> Vec<SourceDrops> {
        let lost = |(source, a): (u16, &Account)| SourceDrops {
            source,
            received: a.read + a.kernel,
            dropped: a.link_type + a.count + a.kernel,
        };
        (0..).zip(&self.accounts).map(lost).collect()
    }
}
