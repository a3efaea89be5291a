//! One ring: walking it, and what it counts.

use std::fs::File;
use std::io;

use lc_wire::{LinkType, Packet};

use super::header::{self, Frame};
use super::map::Map;
use super::socket::{self, Statistics};
use super::{Geometry, Version};
use crate::clock;

// struct tpacket_block_desc (linux/if_packet.h): version, offset to private data, then struct tpacket_hdr_v1.
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const BLOCK_FIRST: usize = 16;

/// What is known of a capture beside its socket.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The interface's name, or `any`; what messages call it.
    pub name: String,
    /// Number of the source, [`Packet::source`].
    pub source: u16,
    /// Bytes kept of a frame at most, 0 for all.
    pub snaplen: usize,
    /// MTU of the interface, 0 where it is not known.
    pub mtu: usize,
    /// Interfaces of our own, whose frames are not captured.
    pub own: Vec<i32>,
}

/// What one source counted since its start: `packets = read + drops + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames that the kernel counted, its drops included.
    pub packets: u64,
    /// Frames for which the ring had no room.
    pub drops: u64,
    /// How often the ring was full.
    pub freezes: u64,
    /// Frames taken from the ring.
    pub read: u64,
    /// Of them: the outgoing twin of a frame on the loopback device.
    pub loopback: u64,
    /// Of them: frames of our own interfaces.
    pub own: u64,
    /// Of them: frames seen before on another interface.
    pub duplicates: u64,
    /// Of them: entries of the ring without sense.
    pub damaged: u64,
    /// How often the interface went down.
    pub downs: u64,
}

impl Counters {
    /// Frames in the ring.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.packets.saturating_sub(self.drops + self.read)
    }

    /// The end was asked for: what came after is no part of the capture.
    pub fn end(&mut self) {
        self.packets = self.read + self.drops;
    }

    /// Those of another ring of the same source.
    pub(super) fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.drops += other.drops;
        self.freezes += other.freezes;
        self.read += other.read;
        self.loopback += other.loopback;
        self.own += other.own;
        self.duplicates += other.duplicates;
        self.damaged += other.damaged;
        self.downs += other.downs;
    }

    fn add(&mut self, s: Statistics) {
        self.packets += s.packets;
        self.drops += s.drops;
        self.freezes += s.freezes;
    }
}

/// A mapped ring and its socket.
#[derive(Debug)]
pub struct Ring {
    pub(super) socket: File,
    map: Map,
    geometry: Geometry,
    pub(super) settings: Settings,
    ifindex: i32,
    /// The slot or block that is read, or is to come next.
    part: usize,
    parts: usize,
    /// It is ours until it is released.
    open: bool,
    /// Frames left in the block, and where the next header is in it.
    left: u32,
    at: usize,
    /// The frame that was reached.
    frame: Frame,
    frame_part: usize,
    /// Monotonic time at which the part came over.
    pub(super) came: u64,
    pub(super) counters: Counters,
    /// Frames longer than the MTU allows were seen.
    super_frame: Option<u32>,
}

impl Ring {
    /// Maps the ring of a socket.
    ///
    /// # Errors
    /// One line: it has no such ring, or is no packet socket.
    pub fn new(socket: File, geometry: Geometry, settings: Settings) -> io::Result<Self> {
        let refuse = |what: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {what}", settings.name));
        let wanted = match geometry.version {
            Version::V2 => libc::tpacket_versions::TPACKET_V2,
            Version::V3 => libc::tpacket_versions::TPACKET_V3,
        } as libc::c_int;
        match socket::version(&socket) {
            Ok(version) if version == wanted => {}
            Ok(version) => return Err(refuse(format!("its ring has version {} of TPACKET", version + 1))),
            Err(error) => return Err(refuse(format!("no packet socket: {error}"))),
        }
        if !geometry.is_possible() {
            return Err(refuse(format!("no ring can have this geometry: {geometry:?}")));
        }
        let map = Map::new(&socket, geometry.len()).map_err(|e| refuse(format!("the ring cannot be mapped: {e}")))?;
        let ifindex = socket::bound_to(&socket)?;
        let none = Frame {
            ts: 0,
            orig_len: 0,
            link: LinkType::ETHERNET,
            ifindex,
            outgoing: false,
            loopback: false,
            start: 0,
            len: 0,
            next: 0,
        };
        Ok(Self {
            socket,
            map,
            geometry,
            settings,
            ifindex,
            part: 0,
            parts: geometry.parts(),
            open: false,
            left: 0,
            at: 0,
            frame: none,
            frame_part: 0,
            came: 0,
            counters: Counters::default(),
            super_frame: None,
        })
    }

    /// Goes on to the next frame; false when the ring has none now. The frame before it is gone.
    #[inline]
    pub fn advance(&mut self) -> bool {
        loop {
            if self.left == 0 && !self.open_part() {
                return false;
            }
            self.left -= 1;
            self.counters.read += 1;
            let (begin, len) = self.geometry.part(self.part);
            // SAFETY: the part's status was TP_STATUS_USER when it was opened, and it is not released before the
            // next call.
            let bytes = unsafe { self.map.part_mut(begin, len) };
            let found = bytes.get_mut(self.at..).and_then(|b| header::frame(self.geometry.version, b));
            let Some(frame) = found else {
                // the rest of the part cannot be trusted
                self.counters.read += u64::from(self.left);
                self.counters.damaged += 1 + u64::from(self.left);
                self.left = 0;
                continue;
            };
            self.frame_part = begin + self.at;
            self.frame = frame;
            self.at += frame.next;
            if frame.outgoing && frame.loopback {
                self.counters.loopback += 1;
            } else if self.settings.own.contains(&frame.ifindex) {
                self.counters.own += 1;
            } else {
                return true;
            }
        }
    }

    /// Opens the next part, after giving back what was read of the one before.
    fn open_part(&mut self) -> bool {
        loop {
            if self.open {
                self.map.release(self.status_of(self.geometry.part(self.part).0));
                self.open = false;
                self.part = if self.part + 1 == self.parts { 0 } else { self.part + 1 };
            }
            let (begin, len) = self.geometry.part(self.part);
            if self.map.status(self.status_of(begin)) & libc::TP_STATUS_USER == 0 {
                return false;
            }
            self.open = true;
            self.came = clock::now();
            (self.left, self.at) = (1, 0);
            if self.geometry.version == Version::V3 {
                // SAFETY: the status shows TP_STATUS_USER.
                let b = unsafe { self.map.part(begin, len) };
                let word = |at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
                (self.left, self.at) = (word(BLOCK_PACKETS), word(BLOCK_FIRST) as usize);
            }
            if self.left > 0 {
                return true;
            }
        }
    }

    /// Whether [`Ring::advance`] would find something to read.
    #[inline]
    pub(super) fn has_frames(&self) -> bool {
        if self.left > 0 {
            return true;
        }
        let next = if self.open { self.part + 1 } else { self.part };
        let (begin, _) = self.geometry.part(if next >= self.parts { 0 } else { next });
        self.map.status(self.status_of(begin)) & libc::TP_STATUS_USER != 0
    }

    /// How many quarters of the ring wait to be read, 0 to 3.
    pub(super) fn quarters(&self) -> u8 {
        let waits = |k: &u8| {
            let part = (self.part + usize::from(*k) * self.parts / 4) % self.parts;
            self.map.status(self.status_of(self.geometry.part(part).0)) & libc::TP_STATUS_USER != 0
        };
        (1..=3u8).take_while(waits).count() as u8
    }

    fn status_of(&self, begin: usize) -> usize {
        match self.geometry.version {
            Version::V3 => begin + BLOCK_STATUS,
            Version::V2 => begin,
        }
    }

    /// The frame that was reached.
    #[inline]
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        let f = &self.frame;
        let len = if self.settings.snaplen == 0 { f.len } else { f.len.min(self.settings.snaplen) };
        // SAFETY: the part is ours until the next `advance`, which needs `&mut self`.
        let data = unsafe { self.map.part(self.frame_part + f.start, len) };
        let (source, number) = (self.settings.source, self.counters.read);
        Packet { ts: f.ts, number, orig_len: f.orig_len, source, link: f.link, data }
    }

    /// Its time.
    pub(super) fn ts(&self) -> u64 {
        self.frame.ts
    }

    /// The interface it was seen on.
    pub(super) fn seen_on(&self) -> i32 {
        self.frame.ifindex
    }

    /// Reads the kernel's counters.
    pub(super) fn count(&mut self) {
        if let Ok(s) = socket::statistics(&self.socket) {
            self.counters.add(s);
        }
    }

    /// The longest time between a frame's arrival and its being seen, ns.
    pub(super) fn lag(&self) -> u64 {
        match self.geometry.version {
            Version::V2 => 500_000,
            Version::V3 => 2_000_000 * u64::from(self.geometry.retire_ms.max(1)) + 1_000_000,
        }
    }

    /// Whether the interface was deleted: this socket stays deaf.
    pub(super) fn is_deaf(&self) -> bool {
        self.ifindex > 0 && socket::bound_to(&self.socket).is_ok_and(|now| now != self.ifindex)
    }

    /// The length of a frame that was longer than the interface's MTU allows (GRO, LRO), once.
    pub(super) fn super_frame(&mut self) -> Option<u32> {
        // room for a stack of VLAN tags
        const HEADERS: usize = 14 + 4 * 4;
        if self.settings.mtu > 0
            && self.super_frame.is_none()
            && self.frame.orig_len as usize > self.settings.mtu + HEADERS
        {
            self.super_frame = Some(self.frame.orig_len);
            return self.super_frame;
        }
        None
    }
}
