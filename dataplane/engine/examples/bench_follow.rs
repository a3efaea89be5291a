//! Following calls: CPU nanoseconds per packet, median of seven rounds over a capture in memory.
//! `bench_follow FILE USER` with a little-endian pcap file of Ethernet frames.

use std::hint::black_box;

use lc_engine::follow::Follower;
use lc_engine::select::{Selection, VOIP};
use lc_engine::verdict::{Decided, Marks};
use lc_proto::users::Patterns;
use lc_wire::{decode, LinkType, Packet};

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// Processor time of this thread, ns.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

/// Each frame of a file in memory.
fn each(file: &[u8], mut take: impl FnMut(&Packet<'_>, u64)) -> u64 {
    let (mut at, mut n) = (FILE_HEADER, 0u64);
    while let Some(head) = file.get(at..at + RECORD_HEADER) {
        let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        at += RECORD_HEADER;
        let Some(data) = file.get(at..at + word(8) as usize) else { break };
        let ts = u64::from(word(0)) * 1_000_000_000 + u64::from(word(4)) * 1000;
        take(&Packet { ts, number: n + 1, orig_len: word(12), source: 0, link: LinkType::ETHERNET, data }, n);
        at += data.len();
        n += 1;
    }
    n
}

fn measure(name: &str, mut round: impl FnMut() -> u64) {
    let mut costs: Vec<f64> = (0..7)
        .map(|_| {
            let start = cpu();
            let packets = round();
            (cpu() - start) / packets as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    println!("{name:<34} {:7.1} ns (from {:.1})", costs[3], costs[0]);
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(user)) = (arguments.next(), arguments.next()) else {
        eprintln!("bench_follow FILE USER");
        std::process::exit(2);
    };
    let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let selection = || Selection::new(Some(Patterns::compile(&[user.as_str()]).expect("a pattern")), [], VOIP);
    measure("walk", || {
        each(&file, |p, _| {
            black_box(p);
        })
    });
    measure("walk and decode", || {
        each(&file, |p, _| {
            let _ = black_box(decode(p.link, p.data));
        })
    });
    measure("follow, decisions (first pass)", || {
        let (mut follower, mut marks) = (Follower::new(selection(), false, None), Marks::default());
        let n = each(&file, |p, n| follower.frame(&mut marks, p, n));
        follower.finish(&mut marks);
        n
    });
    measure("follow, records of everything", || {
        let everything = Selection::new(None, [], VOIP);
        let mut follower = Follower::new(everything, true, None);
        let n = each(&file, |p, n| {
            follower.frame(&mut Decided, p, n);
            black_box(follower.take_records());
        });
        follower.finish(&mut Decided);
        n
    });
}
