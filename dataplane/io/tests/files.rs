//! Capture files byte by byte: orders, variants, blocks, damage, compression, pipes, merging.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{has, run, Scratch};
use lc_io::files::{Damage, DamageKind, Input, OpenError, OpenProblem};
use lc_io::interrupt::Interrupt;
use lc_io::merge::Merged;

/// Number, time, link type, original length, data.
type Seen = (u64, u64, u16, u32, Vec<u8>);

fn file(scratch: &Scratch, name: &str, bytes: &[u8]) -> File {
    let path = scratch.file(name);
    std::fs::write(&path, bytes).unwrap();
    File::open(path).unwrap()
}

fn all(input: &mut Input) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(p) = input.next() {
        seen.push((p.number, p.ts, p.link.0, p.orig_len, p.data.to_vec()));
    }
    seen
}

fn open(file: File) -> Result<Input, OpenError> {
    Input::open_file(file, "t.pcap", 3, &Interrupt::new())
}

/// Reads bytes through a file, twice, and once through a pipe: the same each time.
fn read(bytes: &[u8]) -> Result<(Vec<Seen>, Option<Damage>), OpenError> {
    let scratch = Scratch::new(&format!("files-{:?}", std::thread::current().id()));
    let mut input = open(file(&scratch, "file", bytes))?;
    let (seen, damage) = (all(&mut input), input.damage().cloned());
    assert_eq!(input.next().map(|p| p.number), None);
    input.rewind().unwrap();
    assert!((all(&mut input), input.damage()) == (seen.clone(), damage.as_ref()), "the second reading differs");
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let owned = bytes.to_vec();
    let writer = std::thread::spawn(move || owned.chunks(7).try_for_each(|chunk| ours.write_all(chunk)));
    let mut piped = open(File::from(OwnedFd::from(theirs)))?;
    assert!(!piped.is_regular() && piped.rewind().is_err());
    let through = all(&mut piped);
    match &damage {
        // How much of a damaged block a decompressor still gives depends on the pieces that it gets.
        Some(damage) if damage.compressed => assert!(piped.damage().is_some()),
        _ => assert!((&through, piped.damage()) == (&seen, damage.as_ref()), "a pipe is read otherwise"),
    }
    drop(piped);
    let _ = writer.join().unwrap();
    Ok((seen, damage))
}

struct Order(bool);

impl Order {
    fn u16(&self, n: u16) -> [u8; 2] {
        if self.0 {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    fn u32(&self, n: u32) -> [u8; 4] {
        if self.0 {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        }
    }

    fn words(&self, words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|&n| self.u32(n)).collect()
    }

    fn header(&self, magic: u32, minor: u16, link: u32) -> Vec<u8> {
        [&self.u32(magic)[..], &self.u16(2), &self.u16(minor), &self.words(&[0, 0, 65_535, link])].concat()
    }

    fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = body.len() as u32 + 12;
        [self.words(&[kind, len]), body, self.words(&[len])].concat()
    }

    fn section(&self) -> Vec<u8> {
        let versions = [self.u16(1), self.u16(0)].concat();
        self.block(0x0a0d_0d0a, &[self.words(&[0x1a2b_3c4d]), versions, vec![0xff; 8]].concat())
    }

    fn interface(&self, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
        self.block(1, &[&self.u16(link)[..], &[0; 2], &self.u32(snaplen), options].concat())
    }

    fn enhanced(&self, interface: u32, time: u64, data: &[u8]) -> Vec<u8> {
        let len = data.len() as u32;
        let words = self.words(&[interface, (time >> 32) as u32, time as u32, len, len + 5]);
        self.block(6, &[&words, data].concat())
    }
}

#[test]
fn pcap_in_every_order_and_resolution() {
    for big in [false, true] {
        let o = Order(big);
        for (magic, ns) in [(0xa1b2_c3d4, 1_000_000_007_000), (0xa1b2_3c4d, 1_000_000_000_007)] {
            // Six upper bits of the link type hold the length of a frame check sequence.
            let bytes = [o.header(magic, 4, 0x1400_0001), o.words(&[1000, 7, 3, 60]), b"abc".to_vec()].concat();
            let (seen, damage) = read(&bytes).unwrap();
            assert_eq!(seen, [(1, ns, 1, 60, b"abc".to_vec())]);
            assert_eq!(damage, None);
        }
        let long = [o.words(&[1, 2, 3, 60]), vec![9; 8], b"abc".to_vec()].concat();
        let bytes = [o.header(0xa1b2_cd34, 4, 113), long].concat();
        assert_eq!(read(&bytes).unwrap().0, [(1, 1_000_002_000, 113, 60, b"abc".to_vec())]);
        for minor in [2, 3] {
            let bytes = [o.header(0xa1b2_c3d4, minor, 1), o.words(&[1, 0, 60, 3]), b"abc".to_vec()].concat();
            assert_eq!(read(&bytes).unwrap().0, [(1, 1_000_000_000, 1, 60, b"abc".to_vec())]);
        }
    }
}

#[test]
fn pcap_damage_keeps_what_was_readable() {
    let o = Order(false);
    let record = [o.words(&[1, 0, 3, 3]), b"abc".to_vec()].concat();
    let good = [o.header(0xa1b2_c3d4, 4, 1), record.clone(), record.clone()].concat();
    for cut in 1..16 {
        let (seen, damage) = read(&[&good[..], &record[..cut]].concat()).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(damage.unwrap().kind, DamageKind::Truncated(16, cut as u64));
    }
    let (_, damage) = read(&[&good[..], &record[..18]].concat()).unwrap();
    let text = damage.unwrap().to_string();
    assert_eq!(text, "t.pcap: damaged at byte 62, after 2 packets: the file ends here: 18 of 19 bytes are there");
    let insane = [good.clone(), o.words(&[1, 0, 0xffff_ffff, 3])].concat();
    let (seen, damage) = read(&insane).unwrap();
    assert_eq!((seen.len(), damage.unwrap().kind), (2, DamageKind::RecordLength(0xffff_ffff, 262_144)));
}

#[test]
fn the_longest_frame_is_read() {
    let o = Order(false);
    let data = vec![7; 262_144];
    let record = [o.words(&[1, 0, 262_144, 262_144]), data.clone()].concat();
    let small = [o.words(&[2, 0, 1, 1]), vec![1]].concat();
    let (seen, damage) = read(&[o.header(0xa1b2_c3d4, 4, 1), small.clone(), record, small].concat()).unwrap();
    assert_eq!((seen.len(), damage), (3, None));
    assert_eq!(seen[1].4, data);
}

#[test]
fn pcapng_sections_interfaces_and_blocks() {
    let (le, be) = (Order(false), Order(true));
    let nanoseconds = [9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let packet = [&be.u16(0)[..], &be.u16(65_535), &be.words(&[0, 5, 2, 9]), b"pb"].concat();
    let bytes = [
        le.section(),
        le.interface(1, 4, &[]),
        le.interface(101, 0, &nanoseconds),
        le.block(3, &[&le.u32(6)[..], b"simple"].concat()),
        le.enhanced(1, 77, b"enhanced"),
        le.block(3, &[&le.u32(3)[..], b"abc"].concat()),
        le.block(0x8000_1234, &[1; 300_000]),
        be.section(),
        be.interface(113, 0, &[]),
        be.block(2, &packet),
        be.enhanced(0, 1 << 32, b"x"),
    ];
    let (seen, damage) = read(&bytes.concat()).unwrap();
    assert_eq!(damage, None);
    assert_eq!(seen[0], (1, 0, 1, 6, b"simp".to_vec()), "the snapshot length cuts a simple packet block");
    assert_eq!(seen[1], (2, 1_000_000_077, 101, 13, b"enhanced".to_vec()));
    assert_eq!(seen[2], (3, 1_000_000_077, 1, 3, b"abc".to_vec()), "it has the time of the packet before");
    assert_eq!(seen[3], (4, 5_000, 113, 9, b"pb".to_vec()));
    assert_eq!(seen[4], (5, 4_294_967_296_000, 113, 6, b"x".to_vec()));
}

#[test]
fn pcapng_damage() {
    let o = Order(false);
    let start = [o.section(), o.interface(1, 0, &[]), o.enhanced(0, 1, b"good")].concat();
    let lied = |at: usize, with: &[u8]| {
        let mut block = o.enhanced(0, 1, b"next");
        block.splice(at..at + with.len(), with.iter().copied());
        block
    };
    let cases = [
        (o.enhanced(0, 1, b"next")[..20].to_vec(), DamageKind::Truncated(36, 20)),
        (o.enhanced(0, 1, b"next")[..3].to_vec(), DamageKind::Truncated(12, 3)),
        (lied(4, &o.u32(35)), DamageKind::BlockLength(35, 32)),
        (lied(4, &o.u32(8)), DamageKind::BlockLength(8, 32)),
        (lied(4, &o.u32(0xffff_fff0)), DamageKind::BlockLength(0xffff_fff0, 32)),
        (lied(32, &o.u32(40)), DamageKind::BlockTrailer(36, 40)),
        (lied(8, &o.u32(1)), DamageKind::Interface(1, 1)),
        (lied(20, &o.u32(5)), DamageKind::CapturedLength(5, 4)),
        (o.section()[..12].iter().copied().chain([0; 16]).collect(), DamageKind::Truncated(28, 28)),
        ([o.words(&[0x0a0d_0d0a, 28, 0x1234]), vec![0; 16]].concat(), DamageKind::ByteOrder(0x1234)),
        (o.interface(1, 0, &[9, 0, 9, 0]), DamageKind::Options),
        (o.block(99, &[0; 40])[..20].to_vec(), DamageKind::Truncated(52, 20)),
        ([o.section(), o.enhanced(0, 1, b"x")].concat(), DamageKind::Interface(0, 0)),
    ];
    for (tail, kind) in cases {
        let (seen, damage) = read(&[&start[..], &tail].concat()).unwrap();
        assert_eq!(seen.len(), 1);
        let found = damage.unwrap();
        if kind != DamageKind::Truncated(28, 28) {
            assert_eq!(found.kind, kind);
        }
        assert!(found.offset >= start.len() as u64 && found.packets == 1);
    }
}

/// A snoop record: header with the record's length, frame, padding (RFC 1761).
fn snoop_record(orig_len: u32, frame: &[u8], padding: usize) -> Vec<u8> {
    let words = [orig_len, frame.len() as u32, (24 + frame.len() + padding) as u32, 0, 7, 9];
    let mut record: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    record.extend(frame);
    record.extend(vec![0; padding]);
    record
}

#[test]
fn snoop() {
    let start = |version: u32, link: u32| [&b"snoop\0\0\0"[..], &version.to_be_bytes(), &link.to_be_bytes()].concat();
    let whole = [start(2, 4), snoop_record(60, b"abc", 1), snoop_record(4, b"defg", 0)].concat();
    let (seen, damage) = read(&whole).unwrap();
    let ts = 7_000_009_000;
    assert_eq!(seen, [(1, ts, 1, 60, b"abc".to_vec()), (2, ts, 1, 4, b"defg".to_vec())]);
    assert_eq!(damage, None);
    assert_eq!(read(&[start(2, 8), snoop_record(4, b"x", 3)].concat()).unwrap().0[0].2, 10); // FDDI
    assert!(read(&start(2, 99)).err().unwrap().to_string().contains("data link 99"));
    assert!(read(&start(3, 4)).err().unwrap().to_string().contains("version 3.0"));
    let kind = |bytes: &[u8]| read(bytes).unwrap().1.unwrap().kind;
    assert_eq!(kind(&whole[..whole.len() - 1]), DamageKind::Truncated(28, 27));
    let mut lied = whole.clone();
    lied[16 + 11] = 26;
    assert_eq!(kind(&lied), DamageKind::RecordLength(26, 24 + 3 + 4096));
    lied[16 + 4] = 9;
    assert_eq!(kind(&lied), DamageKind::RecordLength(0x0900_0003, 262_144));
}

#[test]
fn what_is_no_capture_is_refused_by_name() {
    let refused = |bytes: &[u8]| read(bytes).err().unwrap().to_string();
    assert_eq!(
        refused(b"btsnoop\0\0\0\0\x01"),
        "t.pcap: not a pcap or pcapng file: btsnoop format; convert it with editcap"
    );
    assert!(refused(b"").contains("the file is empty"));
    assert!(refused(b"\xd4\xc3\xb2\xa1\x02\0").contains("ends within its header, after 6 bytes"));
    assert!(refused(b"hello, world").contains("it begins with 68 65 6c 6c"));
    assert!(refused(&Order(false).header(0xa1b2_c3d4, 4, 70_000)).contains("link type 70000 does not exist"));
    let mut version = Order(false).header(0xa1b2_c3d4, 4, 1);
    version[4] = 3;
    assert!(refused(&version).contains("version 3.4"));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"hello, world").unwrap();
    drop(ours);
    let mut piped = open(File::from(OwnedFd::from(theirs))).unwrap();
    assert!(piped.next().is_none());
    assert_eq!(piped.damage().unwrap().to_string(), "t.pcap: not a pcap or pcapng file: it begins with 68 65 6c 6c");
    let directory = open(File::open("/").unwrap()).err().unwrap();
    assert!(matches!(directory.problem, OpenProblem::Io(_)), "{directory}");
}

fn sample() -> Vec<u8> {
    let o = Order(false);
    let records = (0..5000u32).flat_map(|i| [o.words(&[i, 0, 100, 100]), vec![i as u8; 100]].concat());
    o.header(0xa1b2_c3d4, 4, 1).into_iter().chain(records).collect()
}

fn compress(scratch: &Scratch, bytes: &[u8], program: &str) -> Vec<u8> {
    let path = scratch.file("plain");
    std::fs::write(&path, bytes).unwrap();
    run("sh", &["-c", &format!("{program} -c {0} > {0}.out", path.display())]);
    std::fs::read(scratch.file("plain.out")).unwrap()
}

#[test]
fn gzip_and_zstd_in_several_members() {
    let scratch = Scratch::new("compressed");
    let plain = sample();
    let expected = read(&plain).unwrap();
    for program in ["gzip", "zstd"] {
        if !has(program) {
            continue;
        }
        let halves = [&plain[..100_000], &plain[100_000..]].map(|half| compress(&scratch, half, program));
        assert!(read(&halves.concat()).unwrap() == expected, "{program}");
        let whole = halves.concat();
        let (seen, damage) = read(&whole[..whole.len() - 100]).unwrap();
        let damage = damage.unwrap();
        assert!(seen.len() >= 862 && seen.len() < 5000, "{program} {}", seen.len());
        assert!(matches!(damage.kind, DamageKind::Compression(_) | DamageKind::Truncated(..)), "{damage}");
        let mut torn = whole.clone();
        let at = halves[0].len() + halves[1].len() / 2;
        torn[at..at + 40].fill(0xa5);
        let (seen, damage) = read(&torn).unwrap();
        assert!(seen.len() >= 862 && damage.is_some(), "{program} {}", seen.len());
        let twice = compress(&scratch, &whole, program);
        assert!(matches!(read(&twice).err().unwrap().problem, OpenProblem::Compression("twofold", _)));
    }
}

#[test]
fn position_reaches_the_size() {
    let scratch = Scratch::new("position");
    let plain = sample();
    let packed = if has("gzip") { compress(&scratch, &plain, "gzip") } else { plain.clone() };
    for bytes in [plain, packed] {
        let mut input = open(file(&scratch, "file", &bytes)).unwrap();
        assert_eq!((input.size(), input.is_regular()), (Some(bytes.len() as u64), true));
        let mut before = 0;
        while input.next().is_some() {
            assert!(input.position() >= before);
            before = input.position();
        }
        assert_eq!(input.position(), bytes.len() as u64);
    }
}

#[test]
fn a_pipe_that_says_nothing_is_interrupted() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let interrupt = Interrupt::new();
    let sample = sample();
    ours.write_all(&sample[..24 + 116 + 50]).unwrap();
    let mut input = Input::open_file(File::from(OwnedFd::from(theirs)), "-", 0, &interrupt).unwrap();
    assert!(input.ready(Duration::ZERO));
    assert!(input.next().is_some());
    assert!(!input.ready(Duration::from_millis(10)));
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        interrupt.set();
        Instant::now()
    });
    assert!(input.next().is_none());
    assert!(stopper.join().unwrap().elapsed() < Duration::from_millis(50));
    assert_eq!(input.damage(), None, "it was not the file's fault");
}

fn times(times: &[u32], mark: u8) -> Vec<u8> {
    let o = Order(false);
    let records = times.iter().flat_map(|&t| [o.words(&[t, 0, 1, 1]), vec![mark]].concat());
    o.header(0xa1b2_c3d4, 4, 1).into_iter().chain(records).collect()
}

#[test]
fn merging_by_time_is_stable() {
    let scratch = Scratch::new("merge");
    let parts = [times(&[1, 3, 3, 9], b'a'), times(&[3, 4, 2], b'b'), times(&[], b'c'), times(&[0, 3], b'd')];
    let inputs = parts.iter().enumerate().map(|(i, bytes)| {
        Input::open_file(file(&scratch, &i.to_string(), bytes), "part", i as u16, &Interrupt::new()).unwrap()
    });
    let mut merged = Merged::new(inputs.collect());
    for _ in 0..2 {
        let mut seen = String::new();
        while let Some(p) = merged.next() {
            assert_eq!(usize::from(p.source), usize::from(p.data[0] - b'a'));
            seen += &format!("{}{}{} ", p.data[0] as char, p.ts / 1_000_000_000, p.number);
        }
        // `b` goes back in time: its order stays.
        assert_eq!(seen, "d01 a11 a32 a33 b31 d32 b42 b23 a94 ");
        assert_eq!(merged.damages().count(), 0);
        assert_eq!(merged.size(), Some(merged.position()));
        merged.rewind().unwrap();
    }
}

#[test]
fn rewinding_a_file_that_changed_is_an_error() {
    let scratch = Scratch::new("changed");
    let mut input = open(file(&scratch, "file", &sample())).unwrap();
    std::fs::write(Path::new(&scratch.file("file")), b"something else").unwrap();
    assert!(input.rewind().unwrap_err().to_string().contains("not a pcap or pcapng file"));
    assert!(input.next().is_none());
}

/// A linear congruential generator: the same mutations each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn mutated_files_end_and_never_panic() {
    let o = Order(false);
    let pcap = times(&[1, 2, 3, 4], b'm');
    let options = [9, 0, 1, 0, 9, 0, 0, 0, 14, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    let blocks = [o.section(), o.interface(1, 9, &options), o.enhanced(0, 1, b"data"), o.block(3, &o.words(&[4, 5]))];
    let pcapng = [blocks.concat(), Order(true).section(), o.block(77, &[1; 30])].concat();
    let mut random = Random(1);
    for i in 0..20_000 {
        let mut bytes = if i % 2 == 0 { pcap.clone() } else { pcapng.clone() };
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8][random.below(6)];
        }
        bytes.truncate(bytes.len() - random.below(3) * random.below(bytes.len()) / 2);
        let memory = rustix::fs::memfd_create("lc-io", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(memory);
        file.write_all(&bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        if let Ok(mut input) = open(file) {
            let seen = all(&mut input);
            assert!(seen.iter().map(|p| p.4.len()).sum::<usize>() <= bytes.len());
        }
    }
}
