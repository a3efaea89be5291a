//! Reading a capture: CPU nanoseconds per packet, median of five passes. `bench_read FILE…` merges several files.

use std::fs::File;
use std::time::Instant;

use lc_io::files::Input;
use lc_io::interrupt::Interrupt;
use lc_io::merge::Merged;
use rustix::time::{clock_gettime, ClockId};

fn cpu() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let mut inputs = Vec::new();
    for (i, name) in names.iter().enumerate() {
        inputs.push(Input::open_file(File::open(name)?, name, u16::try_from(i)?, &Interrupt::new())?);
    }
    let mut merged = Merged::new(inputs);
    let mut costs = Vec::new();
    for _ in 0..5 {
        let (start, wall) = (cpu(), Instant::now());
        let (mut packets, mut bytes, mut sum) = (0u64, 0u64, 0u64);
        while let Some(packet) = merged.next() {
            packets += 1;
            bytes += packet.data.len() as u64;
            sum = sum.wrapping_add(packet.ts);
        }
        let (cost, wall) = (cpu() - start, wall.elapsed().as_secs_f64());
        costs.push(cost / packets as f64);
        println!(
            "{packets} packets, {bytes} bytes, check {sum:x}: {:.1} CPU ns/packet, {:.2} Mpps, {:.2} GB/s",
            cost / packets as f64,
            packets as f64 / wall / 1e6,
            bytes as f64 / wall / 1e9
        );
        for damage in merged.damages() {
            println!("{damage}");
        }
        merged.rewind()?;
    }
    costs.sort_by(f64::total_cmp);
    println!("median {:.1} CPU ns/packet", costs[costs.len() / 2]);
    Ok(())
}
