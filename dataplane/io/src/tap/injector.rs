//! Writing frames: one write(2) each, when they are due.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::frame::is_oversize;
use super::pace::{Bucket, Schedule};
use super::queue::{Batch, Next, Shared};
use super::stats::Tally;
use super::{Config, Kind, Report};
use crate::clock;
use crate::counters::DropReason;
use crate::interrupt::{Direction, Interrupt};

/// A wait from which the accounting is published before it, ns.
const LONG: u64 = 1_000_000;

/// The writing side.
pub(super) struct Injector {
    file: Option<File>,
    name: String,
    kind: Kind,
    mtu: usize,
    blocking: bool,
    schedule: Option<Schedule>,
    bucket: Option<Bucket>,
    pub tally: Tally,
    shared: Arc<Shared>,
    /// When the last frame that was waited for was due.
    due: u64,
    gone: bool,
    link_down: bool,
    reported: Reported,
}

/// What was said already, so that it is said once.
#[derive(Clone, Copy, Debug, Default)]
struct Reported {
    oversize: bool,
    error: bool,
    link_down: bool,
}

impl Injector {
    pub fn new(file: Option<File>, config: &Config, shared: Arc<Shared>) -> Self {
        let gone = file.is_none();
        Self {
            file,
            name: config.name.clone(),
            kind: config.kind,
            mtu: config.mtu as usize,
            blocking: config.blocking,
            schedule: config.replay_timing.then(|| Schedule::new(config.replay_speed)),
            bucket: (config.rate_limit > 0).then(|| Bucket::new(config.rate_limit, config.rate_burst)),
            tally: Tally::default(),
            shared,
            due: 0,
            gone,
            link_down: false,
            reported: Reported::default(),
        }
    }

    /// Whether each frame's time is looked at.
    pub fn is_paced(&self) -> bool {
        self.schedule.is_some() || self.bucket.is_some()
    }

    /// The next frame goes at once, and the schedule begins with it.
    pub fn anchor(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.release();
        }
    }

    /// The thread's work: batch after batch, until the end.
    pub fn run(mut self) {
        if self.is_paced() {
            clock::exact_timers();
        }
        let mut done = None;
        while let Some(batch) = self.shared.take(done.take(), &mut self.tally) {
            self.write_batch(&batch);
            done = Some(batch);
        }
    }

    /// Takes up another device or limit, where there is one.
    #[inline]
    pub fn changed(&mut self) {
        if let Some(next) = self.shared.changes() {
            self.take_up(next);
        }
    }

    #[cold]
    fn take_up(&mut self, next: Next) {
        if let Some(device) = next.device {
            self.file = Some(device);
            (self.gone, self.reported) = (false, Reported::default());
            let mut state = self.shared.lock();
            if state.refusing == Some(DropReason::Gone) {
                state.refusing = None;
            }
            drop(state);
            self.link(false);
        }
        if let Some((limit, burst)) = next.rate {
            self.bucket = (limit > 0).then(|| Bucket::new(limit, burst));
            if self.is_paced() {
                clock::exact_timers();
            }
        }
    }

    fn write_batch(&mut self, batch: &Batch) {
        self.changed();
        if batch.anchor {
            self.anchor();
        }
        let mut start = 0;
        for (i, &(ts, end)) in batch.frames.iter().enumerate() {
            self.write(ts, &batch.arena[start..end as usize]);
            if i == 0 {
                self.observe(ts, batch.begun);
            }
            start = end as usize;
        }
    }

    /// How late a frame was written: after its capture, where the machine that captured it is this one; else after it
    /// was offered or due.
    pub fn observe(&mut self, ts: u64, begun: u64) {
        let late = if self.blocking {
            clock::now().saturating_sub(begun.max(self.due))
        } else {
            clock::wall().saturating_sub(ts)
        };
        self.tally.latency.observe(late);
    }

    /// One frame: waits until it is due, writes it, counts it.
    #[inline]
    pub fn write(&mut self, ts: u64, frame: &[u8]) {
        if self.is_paced() {
            if let Err(reason) = self.pace(ts) {
                self.tally.drops.add(reason, 1);
                return;
            }
        }
        if self.gone || self.shared.is_stopped() {
            let reason = if self.gone { DropReason::Gone } else { DropReason::Stopped };
            self.tally.drops.add(reason, 1);
            return;
        }
        if frame.len() > self.mtu && is_oversize(self.kind, frame, self.mtu) {
            self.oversize(frame.len());
        }
        match self.put(frame) {
            Ok(()) => self.written(frame),
            Err(error) => self.failed(frame, error),
        }
    }

    /// A device takes a frame whole or not at all.
    #[inline]
    #[allow(clippy::unused_io_amount)]
    fn put(&mut self, frame: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write(frame).map(drop),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    #[inline]
    fn written(&mut self, frame: &[u8]) {
        self.tally.written += 1;
        self.tally.bytes += frame.len() as u64;
        if self.link_down {
            self.link(false);
        }
    }

    fn pace(&mut self, ts: u64) -> Result<(), DropReason> {
        if let Some(schedule) = &mut self.schedule {
            let due = schedule.due(ts, clock::now);
            self.wait(due)?;
        }
        while let Some(bucket) = &mut self.bucket {
            match bucket.take(clock::now()) {
                Ok(()) => break,
                Err(_) if !self.blocking => return Err(DropReason::RateLimit),
                Err(due) => self.wait(due)?,
            }
        }
        Ok(())
    }

    fn wait(&mut self, due: u64) -> Result<(), DropReason> {
        self.due = due;
        if due > clock::now() + LONG {
            self.shared.publish(&mut self.tally);
        }
        if self.shared.wait_until(due) {
            Ok(())
        } else {
            Err(DropReason::Stopped)
        }
    }

    #[cold]
    fn oversize(&mut self, len: usize) {
        self.tally.oversize += 1;
        if !std::mem::replace(&mut self.reported.oversize, true) {
            let text =
                format!("{}: a frame of {len} bytes is longer than the MTU of {}; it is written", self.name, self.mtu);
            self.report(Report::Warning(text));
        }
    }

    #[cold]
    fn failed(&mut self, frame: &[u8], mut error: io::Error) {
        // A write that was interrupted, or found the device's queue full, is tried again.
        while matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
            && !self.shared.is_stopped()
        {
            if let Some(file) = &self.file {
                let _ = Interrupt::new().wait(file, Direction::Write, Some(Duration::from_millis(20)));
            }
            match self.put(frame) {
                Ok(()) => return self.written(frame),
                Err(again) => error = again,
            }
        }
        let reason = reason(&error);
        self.tally.drops.add(reason, 1);
        let text = match reason {
            DropReason::Stopped => return,
            DropReason::LinkDown => {
                if !self.link_down {
                    self.link(true);
                }
                if std::mem::replace(&mut self.reported.link_down, true) {
                    return;
                }
                format!("{0}: the interface is down; frames are dropped until it is up: ip link set {0} up", self.name)
            }
            DropReason::Gone => {
                self.gone = true;
                self.shared.lock().refusing = Some(DropReason::Gone);
                format!("{}: the interface is gone; the frames for it are dropped", self.name)
            }
            _ if std::mem::replace(&mut self.reported.error, true) => return,
            _ => format!("{}: writing a frame of {} bytes failed: {error}", self.name, frame.len()),
        };
        self.report(Report::Error(text));
    }

    fn link(&mut self, down: bool) {
        self.link_down = down;
        self.shared.lock().link_down = down;
    }

    fn report(&self, report: Report) {
        self.shared.lock().reports.push(report);
    }
}

impl Drop for Injector {
    /// However the thread ends, nobody waits for it.
    fn drop(&mut self) {
        self.shared.publish(&mut self.tally);
        let reason = match (self.gone, self.shared.is_stopped()) {
            (true, _) => DropReason::Gone,
            (_, true) => DropReason::Stopped,
            _ if std::thread::panicking() => DropReason::Error,
            _ => DropReason::Closed,
        };
        self.shared.end(reason);
    }
}

/// What a write's error means.
fn reason(error: &io::Error) -> DropReason {
    #[cfg(target_os = "linux")]
    match error.raw_os_error() {
        Some(libc::EIO) => return DropReason::LinkDown,
        Some(libc::EBADFD | libc::EBADF | libc::ENODEV | libc::ENXIO | libc::EPIPE) => return DropReason::Gone,
        _ => {}
    }
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => DropReason::Stopped,
        _ => DropReason::Error,
    }
}
