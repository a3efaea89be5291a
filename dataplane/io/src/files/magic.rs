//! What a file is, by its first bytes.

use super::error::OpenProblem;
use super::snoop;
use super::stored::Compression;

/// Bytes looked at.
pub(super) const LENGTH: usize = 16;

/// What the first bytes say.
#[derive(Debug)]
pub(super) enum Kind {
    Pcap,
    Pcapng,
    Snoop,
    Compressed(Compression),
}

/// Beginnings of formats that are refused by name.
const FORMATS: [(&[u8], &str); 13] = [
    (b"btsnoop\0", "btsnoop"),
    (b"RTSS", "Microsoft Network Monitor 1"),
    (b"GMBU", "Microsoft Network Monitor 2"),
    (b"TRSNIFF data", "Sniffer"),
    (b"XCP\0", "NetXRay"),
    (b"iptrace 1.0", "AIX iptrace"),
    (b"iptrace 2.0", "AIX iptrace"),
    (b"\x1c\x00\x01\xac", "IXIA hardware capture"),
    (b"\x1c\x00\x01\xab", "IXIA software capture"),
    (b"\xac\x01\x00\x1c", "IXIA hardware capture"),
    (b"\xab\x01\x00\x1c", "IXIA software capture"),
    (b"\xaa\xaa\xaa\xaa", "5View"),
    (b"\x05VNF", "Visual Networks"),
];

/// Beginnings of compressed files that are not read, with the command that decompresses them.
const COMPRESSIONS: [(&[u8], &str, &str); 5] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"\x04\x22\x4d\x18", "lz4", "lz4 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
];

/// Names what begins with `head`, of at most [`LENGTH`] bytes.
pub(super) fn identify(head: &[u8]) -> Result<Kind, OpenProblem> {
    if head.is_empty() {
        return Err(OpenProblem::Empty);
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Kind::Compressed(Compression::Gzip));
    }
    let Some(first) = head.first_chunk::<4>() else {
        return Err(OpenProblem::HeaderShort(head.len()));
    };
    match *first {
        [0xa1, 0xb2, 0xc3, 0xd4]
        | [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d]
        | [0x4d, 0x3c, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0xcd, 0x34]
        | [0x34, 0xcd, 0xb2, 0xa1] => return Ok(Kind::Pcap),
        [0x0a, 0x0d, 0x0d, 0x0a] => return Ok(Kind::Pcapng),
        // A zstd frame, or a skippable one before it.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => return Ok(Kind::Compressed(Compression::Zstd)),
        _ => {}
    }
    if head.starts_with(snoop::MAGIC) {
        return Ok(Kind::Snoop);
    }
    if let Some((_, name)) = FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(OpenProblem::Format(name));
    }
    if let Some((_, name, tool)) = COMPRESSIONS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(OpenProblem::Compression(name, tool));
    }
    Err(OpenProblem::Unknown(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_have_a_name() {
        assert!(matches!(identify(b"snoop\0\0\0\0\0\0\x02"), Ok(Kind::Snoop)));
        assert!(matches!(identify(b"btsnoop\0\0\0\0\x01"), Err(OpenProblem::Format("btsnoop"))));
        assert!(matches!(identify(b"\xfd7zXZ\0\0\x04"), Err(OpenProblem::Compression("xz", _))));
        assert!(matches!(identify(b"<?xml version"), Err(OpenProblem::Unknown(_))));
        assert!(matches!(identify(b""), Err(OpenProblem::Empty)));
        assert!(matches!(identify(b"\xa1\xb2"), Err(OpenProblem::HeaderShort(2))));
        assert!(matches!(identify(&[0x28, 0xb5, 0x2f, 0xfd]), Ok(Kind::Compressed(Compression::Zstd))));
    }
}
