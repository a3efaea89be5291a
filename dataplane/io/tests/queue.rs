//! The queue of a virtual interface, on a socket pair in place of a device: needs no privilege.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

use common::{frame, packet};
use lc_io::tap::{Config, Kind, VifSink};
use lc_wire::LinkType;

fn config() -> Config {
    Config {
        name: "lc0".to_owned(),
        kind: Kind::Tap,
        mtu: 1500,
        buffer_size: 1000,
        replay_timing: false,
        replay_speed: 1.0,
        rate_limit: 0,
        rate_burst: 0,
        blocking: true,
        direct: false,
    }
}

fn pair() -> (File, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (File::from(OwnedFd::from(ours)), theirs)
}

#[test]
fn a_file_waits_and_loses_nothing() {
    let (ours, theirs) = pair();
    let mut sink = VifSink::new(ours, &config()).unwrap();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        (0..5000u64).all(|i| {
            let n = theirs.recv(&mut buffer).unwrap();
            buffer[..n] == *frame(i, 100)
        })
    });
    for i in 0..5000 {
        sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET));
        assert!(sink.stats().counters.queued <= 1000 + 250);
    }
    let stats = sink.close(true);
    assert!(reader.join().unwrap());
    assert_eq!((stats.counters.written, stats.counters.offered), (5000, 5000));
    assert!(stats.latency.count > 0);
}

#[test]
fn live_drops_and_counts() {
    let (ours, _theirs) = pair();
    let mut sink = VifSink::new(ours, &Config { blocking: false, ..config() }).unwrap();
    let handle = sink.handle();
    for i in 0..5000 {
        sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET));
        assert!(handle.stats().counters.is_closed());
    }
    sink.flush();
    let stats = sink.stats();
    assert!(stats.counters.is_closed() && stats.utilization > 0.5);
    assert!(stats.counters.dropped.iter().any(|(name, n)| name == "queue_full" && n > 3000));
    let closed = sink.close(false);
    assert_eq!(closed.counters.queued, 0);
    assert!(closed.counters.is_closed());
}

#[test]
fn stop_frees_a_worker_that_waits_for_room() {
    let (ours, _theirs) = pair();
    let mut sink = VifSink::new(ours, &config()).unwrap();
    let handle = sink.handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        handle.stop();
        Instant::now()
    });
    for i in 0..5000 {
        sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET));
    }
    let stats = sink.close(true);
    let late = stopper.join().unwrap().elapsed();
    assert!(late < Duration::from_millis(50), "{late:?}");
    assert!(stats.counters.is_closed() && stats.counters.queued == 0);
    assert!(stats.counters.dropped.iter().any(|(name, n)| name == "stopped" && n > 3000));
}

#[test]
fn stop_frees_a_worker_that_writes_itself() {
    let (ours, _theirs) = pair();
    let limited = Config { direct: true, rate_limit: 1, rate_burst: 1, ..config() };
    let mut sink = VifSink::new(ours, &limited).unwrap();
    let handle = sink.handle();
    let watcher = handle.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let seen = watcher.stats().counters;
        assert!(seen.is_closed());
        assert_eq!((seen.written, seen.queued), (1, 1), "the frame that waits is on its way");
        handle.stop();
        Instant::now()
    });
    for i in 0..5000 {
        sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET));
        assert!(sink.stats().counters.is_closed());
    }
    let stats = sink.close(true);
    assert!(stopper.join().unwrap().elapsed() < Duration::from_millis(50));
    assert_eq!((stats.counters.written, stats.counters.offered), (1, 5000));
    assert!(stats.counters.is_closed());
}

#[test]
fn wrong_settings_are_refused() {
    for wrong in [Config { replay_speed: 0.0, ..config() }, Config { replay_speed: f64::NAN, ..config() }] {
        assert!(VifSink::new(pair().0, &wrong).is_err());
    }
    assert!(VifSink::new(pair().0, &Config { buffer_size: 0, ..config() }).is_err());
}

#[test]
fn a_device_may_come_later_and_be_another_one() {
    for direct in [false, true] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (again, others) = pair();
        let config = Config { direct, ..config() };
        let mut sink = VifSink::new(None, &config).unwrap();
        let handle = sink.handle();
        let offer = |sink: &mut VifSink, i: u64| {
            sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET));
            sink.flush();
        };
        offer(&mut sink, 0);
        assert!(!handle.stats().up && handle.is_gone());
        handle.replace(File::from(OwnedFd::from(ours)));
        offer(&mut sink, 1);
        let mut buffer = [0; 2048];
        let n = theirs.read(&mut buffer).unwrap();
        assert_eq!(buffer[..n], *frame(1, 100));
        assert!(handle.stats().up);
        drop(theirs); // the device goes: what is written until another one comes is counted
        for i in 2..4 {
            offer(&mut sink, i);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(handle.is_gone() && !handle.stats().up);
        handle.replace(again);
        offer(&mut sink, 4);
        let n = others.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..n], *frame(4, 100));
        let stats = sink.close(true);
        assert_eq!((stats.counters.offered, stats.counters.written, stats.up), (5, 2, true));
        assert!(stats.counters.is_closed());
        let gone: Vec<_> = stats.counters.dropped.iter().collect();
        assert!(matches!(gone[..], [("gone", 3)]), "{gone:?}");
    }
}

#[test]
fn the_rate_changes_while_frames_flow() {
    let (ours, theirs) = pair();
    let limited = Config { rate_limit: 1, rate_burst: 1, blocking: false, ..config() };
    let mut sink = VifSink::new(ours, &limited).unwrap();
    let offer = |sink: &mut VifSink, n: u64| {
        (0..n).for_each(|i| sink.offer(&packet(&frame(i, 100), 0, 0, LinkType::ETHERNET)));
        sink.flush();
        let due = Instant::now() + Duration::from_secs(5);
        while sink.stats().counters.queued > 0 && Instant::now() < due {
            std::thread::sleep(Duration::from_millis(1));
        }
        sink.stats().counters.written
    };
    theirs.set_nonblocking(true).unwrap();
    assert_eq!(offer(&mut sink, 5), 1);
    sink.handle().set_rate(0, 0);
    assert_eq!(offer(&mut sink, 5), 6);
    sink.handle().set_rate(1, 2);
    assert_eq!(offer(&mut sink, 5), 8);
    assert!(sink.close(true).counters.is_closed());
}
