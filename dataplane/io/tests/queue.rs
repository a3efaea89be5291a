//! The queue of a virtual interface, on a socket pair in place of a device: needs no privilege.
#![cfg(target_os = "linux")]

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
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
