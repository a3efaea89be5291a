//! The end of the line: counters, records, sinks.

use std::sync::Arc;

use lc_io::clock;
use lc_io::pcap_out::SourceDrops;
use lc_wire::Packet;

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
    /// Monotonic time and the thread's processor time at the last publishing.
    pub clocks: (u64, u64),
}

impl Out {
    /// A selected frame.
    #[inline]
    pub fn emit(&mut self, p: &Packet<'_>) {
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
            sink.offer(p);
        }
        if self.packets {
            let (ts, number, source, link, orig_len) = (p.ts, p.number, p.source, p.link.0, p.orig_len);
            let record = PacketRecord { ts, number, source, link, orig_len, data: p.data.to_vec() };
            self.shared.tell([Told::Packet(record)]);
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
