//! Writing captures: pcap with nanoseconds, and pcapng; to a descriptor, or to files in turn.
//!
//! Records are gathered in a buffer of 256 KiB and written with write(2). A full disk stops the sink at a whole
//! record: what was written stays readable, and what comes later is counted.

pub(crate) mod encode;
pub(crate) mod layout;
pub(crate) mod output;
mod rotation;
mod time;

use std::fs::File;
use std::io;
use std::path::Path;

use lc_wire::{LinkType, Packet};

use crate::counters::{DropReason, SinkCounters};
use crate::interrupt::Interrupt;
use layout::Layout;
use output::{explain, writable, Failure, Output};
use rotation::{Step, Turn};

pub use rotation::Rotation;

/// Bytes gathered before a write(2).
const BLOCK: usize = 256 << 10;

/// A file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pcap with nanoseconds: one link type, that of the first packet; others are dropped as `link_type`.
    Pcap,
    /// pcapng: an interface for each source and link type.
    Pcapng,
}

/// What is written beside the packets.
#[derive(Clone, Debug)]
pub struct Config {
    /// What messages call the sink.
    pub name: String,
    /// The file format.
    pub format: Format,
    /// A comment on the section (pcapng).
    pub comment: String,
    /// Names of the sources by [`Packet::source`], for the interface descriptions (pcapng).
    pub sources: Vec<String>,
    /// Link type of a pcap file in which no packet is.
    pub link: LinkType,
}

/// What a source lost, for the statistics at the end of a pcapng file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDrops {
    /// [`Packet::source`].
    pub source: u16,
    /// Packets that the interface received.
    pub received: u64,
    /// Packets that were dropped for want of room.
    pub dropped: u64,
}

/// One capture being written. It must be closed; dropping it loses what is in the buffer.
pub struct PcapWriter {
    layout: Layout,
    turn: Option<Turn>,
    output: Option<Output>,
    interrupt: Interrupt,
    buffer: Vec<u8>,
    /// Packets in the buffer.
    pending: u64,
    counters: SinkCounters,
    /// Since when nothing more is written, and as what packets are counted.
    refusing: Option<DropReason>,
}

impl PcapWriter {
    /// Writes to an open file or pipe.
    ///
    /// # Errors
    /// The descriptor cannot be examined.
    pub fn to_file(file: File, config: Config, interrupt: &Interrupt) -> io::Result<Self> {
        let output = Output::new(file, interrupt.clone()).map_err(|error| explain(&config.name, &error))?;
        let mut writer = Self::new(config, None, interrupt);
        writer.begin(output);
        Ok(writer)
    }

    /// The same on a descriptor.
    ///
    /// # Errors
    /// The descriptor cannot be examined.
    #[cfg(unix)]
    pub fn to_fd(fd: std::os::fd::OwnedFd, config: Config, interrupt: &Interrupt) -> io::Result<Self> {
        Self::to_file(File::from(fd), config, interrupt)
    }

    /// Writes to files in turn. The first one is created here, or at the first packet where its name has a time.
    ///
    /// # Errors
    /// The directory is not writable, or the file cannot be created.
    pub fn to_path(path: &Path, rotation: Rotation, config: Config, interrupt: &Interrupt) -> io::Result<Self> {
        writable(path).map_err(|error| explain(&config.name, &error))?;
        let mut writer = Self::new(config, Some(Turn::new(path, rotation)), interrupt);
        if rotation.seconds == 0 {
            writer.open()?;
        }
        Ok(writer)
    }

    fn new(config: Config, turn: Option<Turn>, interrupt: &Interrupt) -> Self {
        Self {
            layout: Layout::new(config),
            turn,
            output: None,
            interrupt: interrupt.clone(),
            buffer: Vec::with_capacity(BLOCK * 2),
            pending: 0,
            counters: SinkCounters::default(),
            refusing: None,
        }
    }

    /// Takes one packet. An error is returned once, when the writing ends early; the packets that cannot be written
    /// from then on are counted, and that is no error.
    ///
    /// # Errors
    /// One line: the disk is full, the reader of the pipe is gone, the next file cannot be created.
    #[inline]
    pub fn write(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        self.counters.offered += 1;
        if self.turn.is_some() && self.refusing.is_none() {
            if let Err(error) = self.rotate(packet.ts / 1_000_000_000) {
                self.lose();
                return Err(error);
            }
        }
        if self.refusing.is_some() {
            self.lose();
            return Ok(());
        }
        if let Err(reason) = self.layout.packet(&mut self.buffer, packet) {
            self.counters.dropped.add(reason, 1);
            return Ok(());
        }
        self.pending += 1;
        self.counters.queued += 1;
        if self.buffer.len() < BLOCK {
            return Ok(());
        }
        self.flush()
    }

    /// Takes a TLS key log for packets to come; only pcapng can hold it.
    pub fn secrets(&mut self, text: &str) {
        let now = self.output.is_some() && self.refusing.is_none();
        self.layout.secrets(&mut self.buffer, text, now);
    }

    /// Counts one packet that cannot be written.
    fn lose(&mut self) {
        self.counters.dropped.add(self.refusing.unwrap_or(DropReason::Error), 1);
    }

    /// Begins another file where it is time for one.
    fn rotate(&mut self, second: u64) -> io::Result<()> {
        let Some(turn) = &mut self.turn else { return Ok(()) };
        let Some(output) = &self.output else {
            turn.begin(second);
            return self.open();
        };
        let size = output.size() + self.buffer.len() as u64;
        match turn.step(second, size) {
            Step::Stay => Ok(()),
            Step::Next => {
                self.finish()?;
                self.open()
            }
            Step::End => {
                self.finish()?;
                self.refusing = Some(DropReason::FileLimit);
                Ok(())
            }
        }
    }

    /// Creates the present file of the turn.
    fn open(&mut self) -> io::Result<()> {
        let Some(turn) = &self.turn else { return Ok(()) };
        let named = turn.name().map_err(|error| explain(self.layout.name(), &error));
        let created = named.and_then(|path| {
            let output = Output::create(&path, self.interrupt.clone());
            output.map_err(|error| explain(&path.display().to_string(), &error))
        });
        match created {
            Ok(output) => {
                self.begin(output);
                Ok(())
            }
            Err(error) => {
                let reason = Failure { written: 0, error: error.kind().into() }.reason();
                self.refusing = Some(reason);
                Err(error)
            }
        }
    }

    fn begin(&mut self, output: Output) {
        self.output = Some(output);
        self.layout.begin(&mut self.buffer);
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// As [`PcapWriter::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        if self.refusing.is_some() || self.buffer.is_empty() {
            return Ok(());
        }
        let fresh = output.size() == 0;
        let result = output.write_all(&self.buffer);
        let (packets, failed) = match result {
            Ok(()) => (self.pending, None),
            Err(failure) => {
                let (bytes, packets) = self.layout.whole(&self.buffer, failure.written, fresh);
                (packets, Some((bytes, failure)))
            }
        };
        self.counters.written += packets;
        self.counters.queued -= self.pending;
        let lost = self.pending - packets;
        self.pending = 0;
        self.buffer.clear();
        failed.map_or(Ok(()), |(bytes, failure)| self.fail(bytes, lost, &failure))
    }

    /// Ends the writing after `bytes` of the last buffer; `lost` packets of it are not in the file.
    fn fail(&mut self, bytes: usize, lost: u64, failure: &Failure) -> io::Result<()> {
        let reason = failure.reason();
        self.refusing = Some(reason);
        self.counters.dropped.add(reason, lost);
        let cut = self.output.as_mut().map_or(Ok(()), |output| output.keep(bytes));
        let torn = cut.err().map_or(String::new(), |error| format!("; its last record is torn ({error})"));
        let (name, written) = (self.layout.name(), self.counters.written);
        let text = format!(
            "{name}: {}; {written} packets were written, the others are counted as {}{torn}",
            failure.error,
            reason.as_str()
        );
        Err(io::Error::new(failure.error.kind(), text))
    }

    /// Completes the present file.
    fn finish(&mut self) -> io::Result<()> {
        if self.output.is_some() {
            self.layout.end(&mut self.buffer);
        }
        self.flush()?;
        self.output = None;
        Ok(())
    }

    /// Completes and closes the file; in pcapng with what each source lost. Later packets are counted as `closed`.
    ///
    /// # Errors
    /// As [`PcapWriter::write`].
    pub fn close(&mut self, drops: &[SourceDrops]) -> io::Result<()> {
        if self.output.is_some() {
            self.layout.statistics(&mut self.buffer, drops);
        }
        let finished = self.finish();
        self.output = None;
        self.refusing.get_or_insert(DropReason::Closed);
        finished
    }

    /// The accounting at this moment. Packets in the buffer are `queued`.
    #[must_use]
    pub fn counters(&self) -> SinkCounters {
        self.counters
    }

    /// Why nothing more is written, if it is so: a full disk, a closed pipe, the number of files reached, closed.
    #[must_use]
    pub fn ended(&self) -> Option<DropReason> {
        self.refusing
    }

    /// The name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        self.layout.name()
    }
}
