//! What is written, as capinfos, tshark and our own reader read it.

mod common;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{capinfos, frame, has, packet, root, run, Scratch};
use lc_io::counters::DropReason;
use lc_io::files::Input;
use lc_io::interrupt::Interrupt;
use lc_io::pcap_out::{Config, Format, PcapWriter, Rotation, SourceDrops};
use lc_wire::LinkType;

const START: u64 = 1_700_000_000_123_456_789;

fn config(format: Format) -> Config {
    let sources = vec!["eth0".to_owned(), "second.pcap".to_owned()];
    Config { name: "out".to_owned(), format, comment: "a test: ä".to_owned(), sources, link: LinkType::ETHERNET }
}

fn create(path: &Path, format: Format) -> PcapWriter {
    PcapWriter::to_path(path, Rotation::default(), config(format), &Interrupt::new()).unwrap()
}

fn read(path: &Path) -> Vec<(u64, u16, Vec<u8>)> {
    let mut input = Input::open_file(File::open(path).unwrap(), "read", 0, &Interrupt::new()).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = input.next() {
        packets.push((packet.ts, packet.link.0, packet.data.to_vec()));
    }
    assert_eq!(input.damage(), None);
    packets
}

#[test]
fn both_formats_keep_every_nanosecond() {
    let scratch = Scratch::new("formats");
    for format in [Format::Pcap, Format::Pcapng] {
        let path = scratch.file("out");
        let mut writer = create(&path, format);
        let frames: Vec<_> = (0..3000).map(|i| frame(i, 60 + i as usize % 1400)).collect();
        for (i, data) in frames.iter().enumerate() {
            writer.write(&packet(data, START + i as u64, 0, LinkType::ETHERNET)).unwrap();
            assert!(writer.counters().is_closed());
        }
        assert!(writer.counters().queued > 0);
        writer.close(&[]).unwrap();
        assert_eq!((writer.counters().written, writer.counters().queued), (3000, 0));
        let back = read(&path);
        assert!(back.iter().zip(&frames).enumerate().all(|(i, (b, f))| b.0 == START + i as u64 && b.2 == *f));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        if has("capinfos") && has("tshark") {
            assert_eq!(capinfos(&path), 3000);
            let fields = ["-r", path.to_str().unwrap(), "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"];
            let text = run("tshark", &[&["-n", "-c", "2"], &fields[..]].concat());
            assert_eq!(text, "1700000000.123456789\t60\n1700000000.123456790\t61\n");
        }
        writer.write(&packet(&frames[0], START, 0, LinkType::ETHERNET)).unwrap();
        assert_eq!(writer.counters().dropped.get(DropReason::Closed), 1);
    }
}

#[test]
fn pcapng_says_interfaces_comment_and_drops() {
    let scratch = Scratch::new("pcapng");
    let path = scratch.file("out.pcapng");
    let mut writer = create(&path, Format::Pcapng);
    let data = frame(1, 61);
    let places = [(1, LinkType::ETHERNET), (0, LinkType::RAW), (1, LinkType::LINUX_SLL), (1, LinkType::ETHERNET)];
    for (i, (source, link)) in places.into_iter().enumerate() {
        writer.write(&packet(&data, START + i as u64, source, link)).unwrap();
    }
    writer.close(&[SourceDrops { source: 0, received: 77, dropped: 7 }]).unwrap();
    assert_eq!(read(&path).iter().map(|p| p.1).collect::<Vec<_>>(), [1, 101, 113, 1]);
    if has("capinfos") {
        let text = run("capinfos", &["-M", path.to_str().unwrap()]);
        for part in ["a test: ä", "Number of packets:   4", "Name = eth0", "Name = second.pcap", "nanoseconds (9)"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("Number of stat entries = 1").count(), 1, "{text}");
    }
}

#[test]
fn pcap_holds_one_link_type() {
    let scratch = Scratch::new("links");
    let path = scratch.file("out.pcap");
    let mut writer = create(&path, Format::Pcap);
    let data = frame(1, 60);
    for link in [LinkType::RAW, LinkType::ETHERNET, LinkType::RAW] {
        writer.write(&packet(&data, START, 0, link)).unwrap();
    }
    writer.close(&[]).unwrap();
    assert_eq!(read(&path).len(), 2);
    assert_eq!(writer.counters().dropped.iter().collect::<Vec<_>>(), [("link_type", 1)]);
    assert!(writer.counters().is_closed());
}

#[test]
fn nothing_written_is_a_file_all_the_same() {
    let scratch = Scratch::new("empty");
    for format in [Format::Pcap, Format::Pcapng] {
        let path = scratch.file("out");
        create(&path, format).close(&[]).unwrap();
        assert!(read(&path).is_empty());
        if has("capinfos") {
            assert_eq!(capinfos(&path), 0);
        }
    }
}

#[test]
fn rotation_names_and_loses_nothing() {
    let scratch = Scratch::new("rotation");
    let data = frame(1, 984);
    let fill = |rotation, name: &str, step: u64, packets: u64| {
        let path = scratch.file(name);
        let mut writer = PcapWriter::to_path(&path, rotation, config(Format::Pcap), &Interrupt::new()).unwrap();
        for i in 0..packets {
            writer.write(&packet(&data, START + i * step, 0, LinkType::ETHERNET)).unwrap();
        }
        writer.close(&[]).unwrap();
        assert!(writer.counters().is_closed());
        writer.counters()
    };
    let count = |name: &str| read(&scratch.file(name)).len();
    // A record is 1,000 bytes: the file is larger than 10,000 after ten of them and the header.
    fill(Rotation { size: 10_000, ..Rotation::default() }, "s.pcap", 1, 35);
    assert_eq!(["s.pcap", "s.pcap1", "s.pcap2", "s.pcap3"].map(count), [10, 10, 10, 5]);
    fill(Rotation { size: 10_000, count: 2, ..Rotation::default() }, "r.pcap", 1, 35);
    assert_eq!(["r.pcap0", "r.pcap1"].map(count), [10, 5]);
    let ended = fill(Rotation { seconds: 10, count: 2, ..Rotation::default() }, "t-%s.pcap", 1_000_000_000, 35);
    assert_eq!(["t-1700000000.pcap", "t-1700000010.pcap"].map(count), [10, 10]);
    assert_eq!(ended.dropped.iter().collect::<Vec<_>>(), [("file_limit", 15)]);
}

#[test]
fn rotation_by_size_as_tcpdump_does_it() {
    if !has("tcpdump") {
        return;
    }
    let scratch = Scratch::new("tcpdump");
    let frames: Vec<_> = (0..6000u64).map(|i| frame(i, 100 + (i as usize * 37) % 1300)).collect();
    let write = |path: &Path, rotation| {
        let mut writer = PcapWriter::to_path(path, rotation, config(Format::Pcap), &Interrupt::new()).unwrap();
        for (i, data) in frames.iter().enumerate() {
            writer.write(&packet(data, START + i as u64, 0, LinkType::ETHERNET)).unwrap();
        }
        writer.close(&[]).unwrap();
    };
    let input = scratch.file("input.pcap");
    write(&input, Rotation::default());
    for count in ["0", "1", "2", "11"] {
        let listing = |name: &str| {
            let mut files: Vec<_> = std::fs::read_dir(scratch.file(name))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .map(|path| (path.file_name().unwrap().to_owned(), read(&path)))
                .collect();
            files.sort();
            files
        };
        let [theirs, ours] = ["theirs", "ours"].map(|name| {
            let directory = scratch.file(&format!("{name}{count}"));
            std::fs::create_dir(&directory).unwrap();
            directory.join("x.pcap")
        });
        let (input, theirs) = (input.to_str().unwrap(), theirs.to_str().unwrap());
        let options = ["-Z", "root", "--time-stamp-precision=nano", "-r", input, "-w", theirs, "-C", "1"];
        let limit = if count == "0" { vec![] } else { vec!["-W", count] };
        run("tcpdump", &[&options[if root() { 0 } else { 2 }..], &limit].concat());
        write(&ours, Rotation { size: 1_000_000, seconds: 0, count: count.parse().unwrap() });
        let (theirs, ours) = (listing(&format!("theirs{count}")), listing(&format!("ours{count}")));
        assert!(!ours.is_empty() && theirs == ours, "-W {count}: {:?}", ours.iter().map(|f| &f.0).collect::<Vec<_>>());
    }
}

#[test]
fn a_symbolic_link_and_a_missing_directory_are_refused() {
    let scratch = Scratch::new("links-refused");
    std::os::unix::fs::symlink(scratch.file("target"), scratch.file("link")).unwrap();
    let open = |path: &Path| PcapWriter::to_path(path, Rotation::default(), config(Format::Pcap), &Interrupt::new());
    let error = open(&scratch.file("link")).err().unwrap();
    assert!(error.to_string().contains("a symbolic link is never written through"), "{error}");
    let error = open(&scratch.file("none/out.pcap")).err().unwrap();
    assert!(error.to_string().contains("no file can be created in"), "{error}");
}

#[test]
fn a_full_disk_stops_at_a_whole_record() {
    if !root() {
        return;
    }
    let scratch = Scratch::new("full");
    let mount = scratch.file("disk");
    std::fs::create_dir(&mount).unwrap();
    run("mount", &["-t", "tmpfs", "-o", "size=600k", "lc-io-test", mount.to_str().unwrap()]);
    let results = [Format::Pcap, Format::Pcapng].map(|format| {
        let path = mount.join("out");
        let mut writer = create(&path, format);
        let errors: Vec<_> = (0..2000u64)
            .filter_map(|i| {
                let data = frame(i, 700 + i as usize % 11);
                let result = writer.write(&packet(&data, START + i, 0, LinkType::ETHERNET));
                assert!(writer.counters().is_closed());
                result.err()
            })
            .collect();
        writer.close(&[]).unwrap();
        (errors, writer.counters(), read(&path).len() as u64)
    });
    run("umount", &[mount.to_str().unwrap()]);
    for (errors, counters, back) in results {
        assert_eq!(errors.len(), 1, "said once");
        assert!(errors[0].to_string().contains("counted as no_space"), "{}", errors[0]);
        assert_eq!(counters.written, back);
        assert!(back > 700 && counters.is_closed());
        assert_eq!(counters.dropped.get(DropReason::NoSpace), 2000 - back);
    }
}

#[test]
fn pipes() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        File::from(OwnedFd::from(theirs)).read_to_end(&mut bytes).unwrap();
        bytes.len()
    });
    let mut writer = PcapWriter::to_fd(ours.into(), config(Format::Pcap), &Interrupt::new()).unwrap();
    let data = frame(1, 984);
    for i in 0..1000 {
        writer.write(&packet(&data, START + i, 0, LinkType::ETHERNET)).unwrap();
    }
    writer.close(&[]).unwrap();
    assert_eq!(reader.join().unwrap(), 24 + 1_000_000);
}

#[test]
fn a_reader_that_goes_or_does_not_read() {
    let data = frame(1, 984);
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let mut writer = PcapWriter::to_fd(ours.into(), config(Format::Pcap), &Interrupt::new()).unwrap();
    writer.write(&packet(&data, START, 0, LinkType::ETHERNET)).unwrap();
    assert!(writer.flush().unwrap_err().to_string().contains("counted as closed"));
    assert_eq!(writer.counters().dropped.get(DropReason::Closed), 1);

    let (ours, _theirs) = UnixStream::pair().unwrap();
    let interrupt = Interrupt::new();
    let mut writer = PcapWriter::to_fd(ours.into(), config(Format::Pcap), &interrupt).unwrap();
    let stop = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        interrupt.set();
    });
    let errors = (0..2000).filter(|i| writer.write(&packet(&data, START + i, 0, LinkType::ETHERNET)).is_err()).count();
    stop.join().unwrap();
    assert_eq!((errors, writer.ended()), (1, Some(DropReason::Stopped)));
    assert!(writer.counters().is_closed());
}
