//! What a file begins with, what each packet becomes, and what the file ends with, in either format.

use std::sync::Arc;

use lc_wire::{LinkType, Packet};

use super::{encode, Config, Format, SourceDrops};
use crate::counters::DropReason;

/// The state of one file's contents.
pub(crate) struct Layout {
    config: Arc<Config>,
    /// pcap: the file's link type, once its header is there.
    link: Option<LinkType>,
    /// pcapng: source and link type of the interfaces described so far.
    interfaces: Vec<(u16, LinkType)>,
    /// Time of the last packet.
    last: u64,
    /// pcapng: key logs, for the next file too.
    secrets: String,
}

/// Key logs that are kept for the next file, bytes.
const MAX_SECRETS: usize = 16 << 20;

impl Layout {
    pub fn new(config: impl Into<Arc<Config>>) -> Self {
        Self { config: config.into(), link: None, interfaces: Vec::new(), last: 0, secrets: String::new() }
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// A new file. The header of a pcap file waits for its first packet's link type.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        self.link = None;
        self.interfaces.clear();
        if self.config.format == Format::Pcapng {
            encode::section(out, &self.config.comment);
            if !self.secrets.is_empty() {
                encode::secrets(out, &self.secrets);
            }
        }
    }

    /// A TLS key log for packets to come, where the format can hold it; `now` if a file is open.
    pub fn secrets(&mut self, out: &mut Vec<u8>, text: &str, now: bool) {
        if self.config.format != Format::Pcapng {
            return;
        }
        if now {
            encode::secrets(out, text);
        }
        if self.secrets.len() + text.len() <= MAX_SECRETS {
            self.secrets.push_str(text);
        }
    }

    /// One packet.
    ///
    /// # Errors
    /// Its link type is not that of the pcap file.
    #[inline]
    pub fn packet(&mut self, out: &mut Vec<u8>, packet: &Packet<'_>) -> Result<(), DropReason> {
        match self.config.format {
            Format::Pcap => {
                if self.link != Some(packet.link) {
                    self.adopt(out, packet.link)?;
                }
                encode::pcap_record(out, packet);
            }
            Format::Pcapng => {
                let key = (packet.source, packet.link);
                let known = self.interfaces.iter().position(|interface| *interface == key);
                let interface = known.unwrap_or_else(|| self.describe(out, key));
                encode::enhanced(out, interface as u32, packet);
            }
        }
        self.last = packet.ts;
        Ok(())
    }

    /// The first packet of a pcap file decides its link type.
    #[cold]
    fn adopt(&mut self, out: &mut Vec<u8>, link: LinkType) -> Result<(), DropReason> {
        if self.link.is_some() {
            return Err(DropReason::LinkType);
        }
        self.link = Some(link);
        encode::pcap_header(out, link);
        Ok(())
    }

    /// The first packet of an interface describes it.
    #[cold]
    fn describe(&mut self, out: &mut Vec<u8>, key: (u16, LinkType)) -> usize {
        let name = self.config.sources.get(usize::from(key.0)).map_or("", String::as_str);
        encode::interface(out, key.1, name);
        self.interfaces.push(key);
        self.interfaces.len() - 1
    }

    /// What sources lost, where the format can say it.
    pub fn statistics(&self, out: &mut Vec<u8>, drops: &[SourceDrops]) {
        for drop in drops {
            // A pcap file has described no interface.
            if let Some(i) = self.interfaces.iter().position(|(source, _)| *source == drop.source) {
                encode::statistics(out, i as u32, self.last, drop.received, drop.dropped);
            }
        }
    }

    /// The file's end: a pcap file without packets still has a header.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.config.format == Format::Pcap && self.link.is_none() {
            self.link = Some(self.config.link);
            encode::pcap_header(out, self.config.link);
        }
    }

    /// Bytes and packets of the whole records in `out[..end]`; `fresh` when a file's beginning is in it.
    pub fn whole(&self, out: &[u8], end: usize, fresh: bool) -> (usize, u64) {
        match self.config.format {
            Format::Pcapng => encode::whole_blocks(out, end),
            Format::Pcap if !fresh => encode::whole_records(out, 0, end),
            Format::Pcap if end < encode::PCAP_HEADER => (0, 0),
            Format::Pcap => encode::whole_records(out, encode::PCAP_HEADER, end),
        }
    }
}
