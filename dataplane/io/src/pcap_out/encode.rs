//! The bytes of both formats, little-endian: pcap with nanoseconds, and pcapng.

use lc_wire::{LinkType, Packet};

use crate::files::MAX_FRAME;

/// pcap file header, bytes.
pub(super) const PCAP_HEADER: usize = 24;
/// pcap record header, bytes.
const PCAP_RECORD: usize = 16;
/// Type of a pcapng enhanced packet block.
const ENHANCED: u32 = 6;
/// What writes, in the section header.
const APPLICATION: &str = concat!("lippycat ", env!("CARGO_PKG_VERSION"));

/// Appends the pcap file header.
pub(super) fn pcap_header(out: &mut Vec<u8>, link: LinkType) {
    out.extend(0xa1b2_3c4d_u32.to_le_bytes());
    out.extend(2u16.to_le_bytes());
    out.extend(4u16.to_le_bytes());
    out.extend([0; 8]);
    out.extend((MAX_FRAME as u32).to_le_bytes());
    out.extend(u32::from(link.0).to_le_bytes());
}

/// Appends a pcap record. Seconds beyond 2106 wrap: the format has 32 bits.
#[inline]
pub(super) fn pcap_record(out: &mut Vec<u8>, packet: &Packet<'_>) {
    let mut header = [0; PCAP_RECORD];
    header[0..4].copy_from_slice(&((packet.ts / 1_000_000_000) as u32).to_le_bytes());
    header[4..8].copy_from_slice(&((packet.ts % 1_000_000_000) as u32).to_le_bytes());
    header[8..12].copy_from_slice(&(packet.data.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&packet.orig_len.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(packet.data);
}

/// Appends an option; a longer value than the format allows is cut.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(65_535)];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out, value.len());
}

/// Appends a text option, cut at a character.
fn text(out: &mut Vec<u8>, code: u16, value: &str) {
    if !value.is_empty() {
        let cut = (0..=value.len().min(65_535)).rev().find(|&at| value.is_char_boundary(at)).unwrap_or(0);
        option(out, code, &value.as_bytes()[..cut]);
    }
}

#[inline]
fn pad(out: &mut Vec<u8>, len: usize) {
    const ZEROS: [u8; 3] = [0; 3];
    out.extend_from_slice(&ZEROS[..len.next_multiple_of(4) - len]);
}

/// Appends a block of options behind a fixed part.
fn block(out: &mut Vec<u8>, kind: u32, fixed: &[u8], options: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    out.extend(fixed);
    options(out);
    out.extend([0; 4]);
    let len = ((out.len() - start + 4) as u32).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&len);
    out.extend(len);
}

/// Appends a section header with a comment, if there is one.
pub(super) fn section(out: &mut Vec<u8>, comment: &str) {
    let mut fixed = [0xff; 16];
    fixed[0..4].copy_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    fixed[4..8].copy_from_slice(&[1, 0, 0, 0]);
    block(out, 0x0a0d_0d0a, &fixed, |out| {
        text(out, 1, comment);
        text(out, 4, APPLICATION);
    });
}

/// Appends an interface description: nanoseconds, and its name.
pub(super) fn interface(out: &mut Vec<u8>, link: LinkType, name: &str) {
    let mut fixed = [0; 8];
    fixed[0..2].copy_from_slice(&link.0.to_le_bytes());
    fixed[4..8].copy_from_slice(&(MAX_FRAME as u32).to_le_bytes());
    block(out, 1, &fixed, |out| {
        text(out, 2, name);
        option(out, 9, &[9]);
    });
}

/// Appends a decryption secrets block with a TLS key log.
pub(super) fn secrets(out: &mut Vec<u8>, text: &str) {
    let mut fixed = [0; 8];
    fixed[0..4].copy_from_slice(&0x544c_534b_u32.to_le_bytes());
    fixed[4..8].copy_from_slice(&(text.len() as u32).to_le_bytes());
    block(out, 10, &fixed, |out| {
        out.extend_from_slice(text.as_bytes());
        pad(out, text.len());
    });
}

/// Appends an enhanced packet block.
#[inline]
pub(super) fn enhanced(out: &mut Vec<u8>, interface: u32, packet: &Packet<'_>) {
    let padded = packet.data.len().next_multiple_of(4);
    let len = ((32 + padded) as u32).to_le_bytes();
    let mut header = [0; 28];
    header[0..4].copy_from_slice(&ENHANCED.to_le_bytes());
    header[4..8].copy_from_slice(&len);
    header[8..12].copy_from_slice(&interface.to_le_bytes());
    header[12..16].copy_from_slice(&((packet.ts >> 32) as u32).to_le_bytes());
    header[16..20].copy_from_slice(&(packet.ts as u32).to_le_bytes());
    header[20..24].copy_from_slice(&(packet.data.len() as u32).to_le_bytes());
    header[24..28].copy_from_slice(&packet.orig_len.to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(packet.data);
    pad(out, packet.data.len());
    out.extend_from_slice(&len);
}

/// Appends an interface statistics block: packets that the interface received, packets that were dropped.
pub(super) fn statistics(out: &mut Vec<u8>, interface: u32, ts: u64, received: u64, dropped: u64) {
    let mut fixed = [0; 12];
    fixed[0..4].copy_from_slice(&interface.to_le_bytes());
    fixed[4..8].copy_from_slice(&((ts >> 32) as u32).to_le_bytes());
    fixed[8..12].copy_from_slice(&(ts as u32).to_le_bytes());
    block(out, 5, &fixed, |out| {
        option(out, 4, &received.to_le_bytes());
        option(out, 5, &dropped.to_le_bytes());
    });
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
}

/// Of `out[from..end]`, which begins with a record: bytes and packets of the whole records.
pub(super) fn whole_records(out: &[u8], from: usize, end: usize) -> (usize, u64) {
    let (mut at, mut packets) = (from, 0);
    while end - at >= PCAP_RECORD && end - at - PCAP_RECORD >= word(out, at + 8) {
        at += PCAP_RECORD + word(out, at + 8);
        packets += 1;
    }
    (at, packets)
}

/// Of `out[..end]`, which begins with a block: bytes and packets of the whole blocks.
pub(super) fn whole_blocks(out: &[u8], end: usize) -> (usize, u64) {
    let (mut at, mut packets) = (0, 0);
    while end - at >= 8 && end - at >= word(out, at + 4) {
        packets += u64::from(word(out, at) == ENHANCED as usize);
        at += word(out, at + 4);
    }
    (at, packets)
}
