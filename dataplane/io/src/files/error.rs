//! Why a capture file cannot be opened, or where it stopped being readable.

use std::fmt;
use std::io;

/// A file that is no capture, or cannot be read at all. Displayed as one line that begins with the file's name.
#[derive(Debug)]
pub struct OpenError {
    /// The name as the user knows it.
    pub name: String,
    /// The reason.
    pub problem: OpenProblem,
}

/// Why a file is refused.
#[derive(Debug)]
pub enum OpenProblem {
    /// The system refused to read it.
    Io(io::Error),
    /// It has no byte.
    Empty,
    /// It ends within its first header, of so many bytes.
    HeaderShort(usize),
    /// It is another format, which has a name.
    Format(&'static str),
    /// It is compressed in a way that is not read here; the command that decompresses it.
    Compression(&'static str, &'static str),
    /// Nothing known begins like this.
    Unknown([u8; 4]),
    /// Another version of the format: major, minor.
    Version(u16, u16),
    /// A link type beyond 65,535.
    Link(u32),
    /// A data link of a snoop file that has no link type.
    DataLink(u32),
    /// The first block is damaged.
    Damaged(DamageKind),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}

impl fmt::Display for OpenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Empty => f.write_str("the file is empty: a pcap or pcapng file was expected"),
            Self::HeaderShort(len) => write!(f, "the file ends within its header, after {len} bytes"),
            Self::Format(format) => {
                write!(f, "not a pcap or pcapng file: {format} format; convert it with editcap")
            }
            Self::Compression(kind, tool) => {
                write!(f, "{kind} compression is not read here; decompress it with {tool}")
            }
            Self::Unknown(magic) => {
                f.write_str("not a pcap or pcapng file: it begins with")?;
                magic.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Self::Version(major, minor) => {
                write!(f, "version {major}.{minor} of the file format is not known; convert it with editcap")
            }
            Self::DataLink(link) => write!(f, "a snoop file of data link {link}, which is not known"),
            Self::Link(link) => write!(f, "link type {link} does not exist"),
            Self::Damaged(kind) => write!(f, "the file is damaged in its first block: {kind}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Where a file stopped being readable. Displayed as one line that begins with the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name as the user knows it.
    pub name: String,
    /// Offset of the record or block, bytes; in the decompressed stream unless `kind` is about compression.
    pub offset: u64,
    /// Whether the file is compressed.
    pub compressed: bool,
    /// Packets read before it.
    pub packets: u64,
    /// What is wrong there.
    pub kind: DamageKind,
}

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// A pipe that brought no capture: as [`OpenProblem`] says it. (A file is refused when it is opened.)
    Refused(String),
    /// The file ends within a record or block: bytes that should be there, bytes that are.
    Truncated(u64, u64),
    /// A record's length is insane: the length, the most that is believed.
    RecordLength(u64, u64),
    /// A block's length is insane: the length, the least that its type needs.
    BlockLength(u32, u32),
    /// The length at a block's end differs from that at its start.
    BlockTrailer(u32, u32),
    /// A packet block names an interface that the section has not described: its number, how many there are.
    Interface(u32, usize),
    /// A section describes more interfaces than are kept.
    Interfaces(usize),
    /// A packet's captured length does not fit its block.
    CapturedLength(u32, u32),
    /// A section's byte order mark is neither order.
    ByteOrder(u32),
    /// A section of another version: major, minor.
    Version(u16, u16),
    /// A block's options run past its end.
    Options,
    /// The compressed stream is damaged: what the decoder said.
    Compression(String),
    /// The system failed to read: what it said.
    Read(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let DamageKind::Refused(problem) = &self.kind {
            return write!(f, "{}: {problem}", self.name);
        }
        let of = match (&self.kind, self.compressed) {
            (DamageKind::Compression(_), _) | (_, false) => "",
            _ => " of the decompressed stream",
        };
        write!(f, "{}: damaged at byte {}{of}, after {} packets: {}", self.name, self.offset, self.packets, self.kind)
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => f.write_str(problem),
            Self::Truncated(need, have) => write!(f, "the file ends here: {have} of {need} bytes are there"),
            Self::RecordLength(len, most) => write!(f, "a record of {len} bytes; at most {most} are possible"),
            Self::BlockLength(len, least) => {
                write!(f, "a block length of {len}; it must be a multiple of 4, at least {least}, and below 16 MiB")
            }
            Self::BlockTrailer(start, end) => write!(f, "a block of {start} bytes says {end} at its end"),
            Self::Interface(id, known) => {
                write!(f, "a packet of interface {id}, but the section has described {known} interfaces")
            }
            Self::Interfaces(most) => write!(f, "a section of more than {most} interfaces"),
            Self::CapturedLength(len, room) => {
                write!(f, "a packet of {len} captured bytes in a block with room for {room}")
            }
            Self::ByteOrder(mark) => write!(f, "a section with the byte order mark {mark:08x}"),
            Self::Version(major, minor) => write!(f, "a section of version {major}.{minor}; only 1.x is known"),
            Self::Options => f.write_str("the options of a block run past its end"),
            Self::Compression(what) => write!(f, "the compressed stream is damaged ({what})"),
            Self::Read(what) => write!(f, "reading failed: {what}"),
        }
    }
}
