//! Frames on a real device, in a namespace of the test's own, read by tcpdump.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{device, frame, has, packet, root, run, Scratch};
use lc_io::files::Input;
use lc_io::interrupt::Interrupt;
use lc_io::tap::{Config, Kind, Report, VifSink, ADDRESSES};
use lc_wire::LinkType;

fn config(kind: Kind) -> Config {
    Config {
        name: "lc0".to_owned(),
        kind,
        mtu: 1500,
        buffer_size: 4096,
        replay_timing: false,
        replay_speed: 1.0,
        rate_limit: 0,
        rate_burst: 0,
        blocking: true,
        direct: false,
    }
}

/// Runs a test in a namespace of its own, if that is possible here.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if root() && has("ip") && has("tcpdump") {
        std::thread::spawn(|| {
            device::enter_namespace();
            test();
        })
        .join()
        .unwrap();
    }
}

/// tcpdump on `lc0`, in the namespace of this thread; it holds the device, which else goes with the sink.
struct Reader {
    child: Child,
    path: PathBuf,
    _device: File,
}

impl Reader {
    fn new(device: &File, path: PathBuf) -> Self {
        let options = ["-i", "lc0", "-B", "65536", "-s", "0", "--time-stamp-precision=nano", "-w"];
        let mut child = Command::new("tcpdump")
            .args(options)
            .arg(&path)
            .args(["-Z", "root"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut messages = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("listening on") {
            line.clear();
            assert!(messages.read_line(&mut line).unwrap() > 0, "tcpdump ended");
        }
        child.stderr = Some(messages.into_inner());
        Self { child, path, _device: device.try_clone().unwrap() }
    }

    fn finish(mut self) -> Vec<(u64, Vec<u8>)> {
        // tcpdump sees a block of the ring when it is full, or after a second.
        std::thread::sleep(Duration::from_millis(1500));
        run("kill", &["-INT", &self.child.id().to_string()]);
        assert!(self.child.wait().unwrap().success());
        frames(&self.path)
    }
}

fn frames(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let mut input = Input::open_file(File::open(path).unwrap(), "tcpdump", 0, &Interrupt::new()).unwrap();
    let mut frames = Vec::new();
    while let Some(packet) = input.next() {
        frames.push((packet.ts, packet.data.to_vec()));
    }
    frames
}

#[test]
fn a_reader_sees_every_frame_as_it_was() {
    for direct in [false, true] {
        in_namespace(move || {
            let scratch = Scratch::new(if direct { "tap-direct" } else { "tap" });
            let file = device::create(libc::IFF_TAP, 1500);
            let reader = Reader::new(&file, scratch.file("seen.pcap"));
            let mut sink = VifSink::new(file, &Config { direct, ..config(Kind::Tap) }).unwrap();
            let handle = sink.handle();
            let sent: Vec<_> = (0..20_000).map(|i| frame(i, 60 + i as usize % 1440)).collect();
            for data in &sent {
                sink.offer(&packet(data, 0, 0, LinkType::ETHERNET));
                assert!(sink.stats().counters.is_closed());
                assert!(handle.stats().counters.is_closed());
            }
            let stats = sink.close(true);
            assert_eq!((stats.counters.offered, stats.counters.written), (20_000, 20_000));
            assert_eq!(stats.injected_bytes, sent.iter().map(|f| f.len() as u64).sum::<u64>());
            assert!(stats.up && stats.counters.is_closed());
            let seen = reader.finish();
            assert_eq!(seen.len(), sent.len());
            assert!(seen.iter().zip(&sent).all(|(a, b)| a.1 == *b));
        });
    }
}

#[test]
fn what_no_reader_sees_is_dropped_and_the_rest_written() {
    in_namespace(|| {
        let scratch = Scratch::new("tap-short");
        let file = device::create(libc::IFF_TAP, 1500);
        let reader = Reader::new(&file, scratch.file("seen.pcap"));
        let mut sink = VifSink::new(file, &config(Kind::Tap)).unwrap();
        let handle = sink.handle();
        let mut raw = vec![0x45; 40];
        raw[1] = 0;
        let mut tagged = frame(1, 60);
        tagged.truncate(16);
        (tagged[12], tagged[13]) = (0x81, 0);
        sink.offer(&packet(&frame(1, 60)[..13], 0, 0, LinkType::ETHERNET));
        sink.offer(&packet(&tagged, 0, 0, LinkType::ETHERNET));
        sink.offer(&packet(&raw, 0, 0, LinkType::RAW));
        sink.offer(&packet(&[0; 60], 0, 0, LinkType(147)));
        sink.offer(&packet(&frame(2, 1514), 0, 0, LinkType::ETHERNET));
        sink.offer(&packet(&frame(3, 1515), 0, 0, LinkType::ETHERNET));
        sink.offer(&packet(&frame(4, 9000), 0, 0, LinkType::ETHERNET));
        let stats = sink.close(true);
        let drops: Vec<_> = stats.counters.dropped.iter().collect();
        assert_eq!(drops, [("short", 2), ("no_ethertype", 1)]);
        assert_eq!((stats.counters.offered, stats.counters.written, stats.oversize), (7, 4, 2));
        let reports = handle.take_reports();
        assert!(matches!(reports.as_slice(), [Report::Warning(text)] if text.contains("1515 bytes")), "{reports:?}");
        let seen = reader.finish();
        let expected = [ADDRESSES.as_slice(), &[8, 0], &raw].concat();
        let lengths: Vec<_> = seen.iter().map(|f| f.1.len()).collect();
        assert_eq!((&seen[0].1, lengths.as_slice()), (&expected, [54, 1514, 1515, 9000].as_slice()));
    });
}

#[test]
fn tun_gets_ip_packets() {
    in_namespace(|| {
        let scratch = Scratch::new("tun");
        let file = device::create(libc::IFF_TUN, 1500);
        let reader = Reader::new(&file, scratch.file("seen.pcap"));
        let mut sink = VifSink::new(file, &config(Kind::Tun)).unwrap();
        let mut arp = frame(1, 60);
        (arp[12], arp[13]) = (8, 6);
        let sent = frame(7, 100);
        sink.offer(&packet(&sent, 0, 0, LinkType::ETHERNET));
        sink.offer(&packet(&arp, 0, 0, LinkType::ETHERNET));
        let stats = sink.close(true);
        assert_eq!(stats.counters.dropped.iter().collect::<Vec<_>>(), [("not_ip", 1)]);
        assert_eq!(reader.finish().into_iter().map(|f| f.1).collect::<Vec<_>>(), [sent[14..].to_vec()]);
    });
}

#[test]
fn an_interface_that_goes_down_or_away() {
    in_namespace(|| {
        let file = device::create(libc::IFF_TAP, 1500);
        let mut sink = VifSink::new(file, &config(Kind::Tap)).unwrap();
        let handle = sink.handle();
        let data = frame(1, 60);
        let mut send = |n: u64| {
            (0..n).for_each(|_| sink.offer(&packet(&data, 0, 0, LinkType::ETHERNET)));
            sink.flush();
            while sink.stats().counters.queued > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        run("ip", &["link", "set", "lc0", "down"]);
        send(300);
        assert!(!handle.stats().up);
        run("ip", &["link", "set", "lc0", "up"]);
        send(1);
        assert!(handle.stats().up && !handle.is_gone());
        run("ip", &["link", "del", "lc0"]);
        send(20_000);
        let stats = handle.stats();
        assert!(!stats.up && handle.is_gone());
        assert_eq!(stats.counters.dropped.iter().collect::<Vec<_>>(), [("link_down", 300), ("gone", 20_000)]);
        assert_eq!((stats.counters.written, stats.counters.offered), (1, 20_301));
        let reports = handle.take_reports();
        let [Report::Error(down), Report::Error(gone)] = reports.as_slice() else { panic!("{reports:?}") };
        assert!(down.contains("is down") && gone.contains("is gone"), "{reports:?}");
        let closed = sink.close(true);
        assert!(closed.counters.is_closed());
    });
}

#[test]
fn replay_keeps_the_gaps_and_long_gaps_end_at_once() {
    in_namespace(|| {
        let scratch = Scratch::new("replay");
        let file = device::create(libc::IFF_TAP, 1500);
        let reader = Reader::new(&file, scratch.file("seen.pcap"));
        let paced = Config { replay_timing: true, replay_speed: 2.0, ..config(Kind::Tap) };
        let mut sink = VifSink::new(file, &paced).unwrap();
        let handle = sink.handle();
        let data = frame(1, 60);
        // 200 ms of capture in gaps of 1 ms, then a gap of ten minutes.
        for i in 0..200 {
            sink.offer(&packet(&data, 1_000_000_000 + i * 1_000_000, 0, LinkType::ETHERNET));
        }
        sink.offer(&packet(&data, 600_000_000_000, 0, LinkType::ETHERNET));
        sink.flush();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(handle.stats().counters.written, 200, "published before a long wait");
        let started = Instant::now();
        handle.stop();
        let stats = sink.close(true);
        assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
        assert_eq!(stats.counters.dropped.iter().collect::<Vec<_>>(), [("stopped", 1)]);
        let seen = reader.finish();
        let mut errors: Vec<_> =
            seen.iter().enumerate().map(|(i, f)| (f.0 - seen[0].0).abs_diff(i as u64 * 500_000)).collect();
        errors.sort_unstable();
        println!("error p50 {} ns, p99 {} ns", errors[100], errors[198]);
        assert!(errors[100] < 100_000, "p50 {} ns", errors[100]);
    });
}

#[test]
fn a_rate_limit_makes_a_file_wait_and_live_drop() {
    in_namespace(|| {
        let file = device::create(libc::IFF_TAP, 1500);
        let data = frame(1, 60);
        let limited = Config { rate_limit: 1000, rate_burst: 10, ..config(Kind::Tap) };
        let mut sink = VifSink::new(file.try_clone().unwrap(), &limited).unwrap();
        let started = Instant::now();
        (0..110).for_each(|_| sink.offer(&packet(&data, 0, 0, LinkType::ETHERNET)));
        let stats = sink.close(true);
        assert_eq!(stats.counters.written, 110);
        assert!(started.elapsed() >= Duration::from_millis(99), "{:?}", started.elapsed());
        let mut sink = VifSink::new(file, &Config { blocking: false, ..limited }).unwrap();
        (0..110).for_each(|_| sink.offer(&packet(&data, 0, 0, LinkType::ETHERNET)));
        let stats = sink.close(true);
        assert!(stats.counters.dropped.iter().next().is_some_and(|(name, n)| name == "rate_limit" && n >= 90));
        assert!(stats.counters.is_closed());
    });
}
