//! Putting frames on a virtual interface.
//!
//! A [`VifSink`] owns the descriptor of a TAP or TUN device, as the helper passed it. Its thread writes the frames,
//! one write(2) each; a worker hands them over in batches through a bounded queue. A file's worker waits when the
//! queue is full; a live one drops and counts. [`Config::direct`] writes on the worker's own thread instead.

mod frame;
mod injector;
mod pace;
mod queue;
mod stats;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use lc_wire::Packet;

use crate::clock;
use crate::counters::DropReason;
use injector::Injector;
use queue::{Batch, Shared};

pub use frame::ADDRESSES;
pub use stats::{Latency, VifStats, LATENCY_BOUNDS};

/// Frames of a batch at most.
const BATCH_FRAMES: u64 = 256;
/// Bytes from which a batch is full.
const BATCH_BYTES: usize = 256 << 10;
/// Frames after which direct writing publishes its accounting.
const PUBLISH: u64 = 64;

/// The kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ethernet frames.
    Tap,
    /// IP packets.
    Tun,
}

/// How frames go onto a device.
#[derive(Clone, Debug)]
pub struct Config {
    /// The device's name, for messages.
    pub name: String,
    /// The device's kind.
    pub kind: Kind,
    /// The device's MTU, bytes. Longer frames are written, counted, and reported once.
    pub mtu: u32,
    /// Frames that the queue holds.
    pub buffer_size: u64,
    /// Whether frames keep the distances in time of their capture.
    pub replay_timing: bool,
    /// How much faster than the capture; only with `replay_timing`.
    pub replay_speed: f64,
    /// Frames a second, 0 for no limit.
    pub rate_limit: u64,
    /// Frames that may go at once under the limit; 0: what is due in 10 ms.
    pub rate_burst: u64,
    /// Whether the source can wait (a file); else frames that have no room, or come too fast, are dropped, and their
    /// timestamps are those of this machine's clock.
    pub blocking: bool,
    /// Write on the worker's thread, without a queue.
    pub direct: bool,
}

/// Something to tell the user, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It goes on.
    Warning(String),
    /// Something was lost.
    Error(String),
}

/// A virtual interface, as one worker sees it.
pub struct VifSink {
    kind: Kind,
    blocking: bool,
    batch_frames: u64,
    batch: Batch,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    direct: Option<Injector>,
}

/// The same interface as everybody else sees it: what it counts, what it has to say, and how to end its waits.
#[derive(Clone)]
pub struct VifHandle(Arc<Shared>);

impl VifHandle {
    /// What was counted up to the last batch.
    #[must_use]
    pub fn stats(&self) -> VifStats {
        self.0.stats()
    }

    /// The frames from now on go to this device; the one before, if any, is closed.
    pub fn replace(&self, device: File) {
        self.0.change(|next| next.device = Some(device));
    }

    /// Another limit from now on: frames a second (0 for none), and how many at once.
    pub fn set_rate(&self, rate_limit: u64, rate_burst: u64) {
        self.0.change(|next| next.rate = Some((rate_limit, rate_burst)));
    }

    /// Ends every wait at once. What is queued, and what is offered from now on, is dropped as `stopped`.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Whether the device was deleted: nothing can be written any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.lock().refusing == Some(DropReason::Gone)
    }

    /// What there is to tell since the last call.
    #[must_use]
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.0.lock().reports)
    }
}

impl VifSink {
    /// Takes the device over and starts its thread. Without a device frames are dropped as `gone` until one comes
    /// ([`VifHandle::replace`]).
    ///
    /// # Errors
    /// Not on Linux; a speed that is no positive number; no room for a thread.
    pub fn new(device: impl Into<Option<File>>, config: &Config) -> io::Result<Self> {
        let device = device.into();
        let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {text}", config.name));
        if !cfg!(target_os = "linux") {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a virtual interface needs Linux"));
        }
        if !(config.replay_speed.is_finite() && config.replay_speed > 0.0) {
            return Err(invalid("the replay speed must be greater than 0"));
        }
        if config.buffer_size == 0 {
            return Err(invalid("the buffer must hold at least one packet"));
        }
        let shared = Arc::new(Shared::new(config.buffer_size));
        if device.is_none() {
            shared.lock().refusing = Some(DropReason::Gone);
        }
        let injector = Injector::new(device, config, shared.clone());
        let (thread, direct) = if config.direct {
            (None, Some(injector))
        } else {
            (Some(crate::thread::spawn("lc-vif", move || injector.run())?), None)
        };
        Ok(Self {
            kind: config.kind,
            blocking: config.blocking,
            batch_frames: BATCH_FRAMES.min(config.buffer_size / 4).max(1),
            batch: Batch::default(),
            shared,
            thread,
            direct,
        })
    }

    /// The same on a descriptor.
    ///
    /// # Errors
    /// As [`VifSink::new`].
    #[cfg(unix)]
    pub fn from_fd(fd: std::os::fd::OwnedFd, config: &Config) -> io::Result<Self> {
        Self::new(File::from(fd), config)
    }

    /// Takes one packet. Waits when the queue is full and the source can wait.
    #[inline]
    pub fn offer(&mut self, packet: &Packet<'_>) {
        if self.direct.is_some() {
            return self.offer_direct(packet);
        }
        match frame::shape(self.kind, packet) {
            Ok(shape) => {
                if self.batch.frames.is_empty() {
                    self.batch.begun = clock::now();
                }
                if let Some(header) = &shape.header {
                    self.batch.arena.extend_from_slice(header);
                }
                self.batch.arena.extend_from_slice(&packet.data[shape.start..shape.end]);
                self.batch.frames.push((packet.ts, self.batch.arena.len() as u32));
            }
            Err(reason) => self.batch.drop_frame(reason),
        }
        let full = self.batch.frames.len() as u64 + self.batch.dropped >= self.batch_frames;
        if full || self.batch.arena.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn offer_direct(&mut self, packet: &Packet<'_>) {
        let Some(injector) = &mut self.direct else { return };
        injector.changed();
        injector.tally.offered += 1;
        let begun = if injector.tally.offered == 1 { clock::now() } else { 0 };
        match frame::shape(self.kind, packet) {
            Ok(frame::Shape { header: None, start, end }) => injector.write(packet.ts, &packet.data[start..end]),
            Ok(frame::Shape { header: Some(header), start, end }) => {
                self.batch.arena.clear();
                self.batch.arena.extend_from_slice(&header);
                self.batch.arena.extend_from_slice(&packet.data[start..end]);
                injector.write(packet.ts, &self.batch.arena);
            }
            Err(reason) => injector.tally.drops.add(reason, 1),
        }
        if begun > 0 && injector.tally.written > 0 {
            injector.observe(packet.ts, begun);
        }
        if injector.tally.offered >= PUBLISH {
            self.shared.publish(&mut injector.tally);
        }
    }

    /// Hands over what was gathered. Waits as [`VifSink::offer`] does.
    pub fn flush(&mut self) {
        if let Some(injector) = &mut self.direct {
            self.shared.publish(&mut injector.tally);
        } else if self.batch.frames.len() as u64 + self.batch.dropped > 0 {
            let batch = std::mem::take(&mut self.batch);
            self.batch = self.shared.put(batch, self.blocking);
        }
    }

    /// The next packet goes at once, and the schedule begins anew with it (a new loop over the input).
    pub fn anchor(&mut self) {
        self.flush();
        match &mut self.direct {
            Some(injector) => injector.anchor(),
            None => self.batch.anchor = true,
        }
    }

    /// What was counted, with the packets that were gathered and not yet handed over.
    #[must_use]
    pub fn stats(&self) -> VifStats {
        let tally = self.direct.as_ref().map(|injector| injector.tally).unwrap_or_default();
        let mut stats = self.shared.stats_with(tally);
        let gathered = self.batch.frames.len() as u64;
        stats.counters.offered += gathered + self.batch.dropped;
        stats.counters.queued += gathered;
        stats.counters.dropped.merge(&self.batch.drops);
        stats
    }

    /// For other threads.
    #[must_use]
    pub fn handle(&self) -> VifHandle {
        VifHandle(self.shared.clone())
    }

    /// Ends: writes what is queued (`drain`), on schedule, or drops it as `stopped`; closes the device.
    #[must_use]
    pub fn close(mut self, drain: bool) -> VifStats {
        self.end(drain);
        self.shared.stats()
    }

    fn end(&mut self, drain: bool) {
        if !drain {
            self.shared.stop();
        }
        self.flush();
        self.shared.close();
        self.direct = None;
        if let Some(thread) = self.thread.take() {
            if thread.join().is_err() {
                self.shared.lock().reports.push(Report::Error("the writing thread ended unexpectedly".to_owned()));
            }
        }
        // What came while the thread ended.
        self.shared.end(DropReason::Closed);
    }
}

impl Drop for VifSink {
    fn drop(&mut self) {
        if self.thread.is_some() || self.direct.is_some() {
            self.end(false);
        }
    }
}
