//! A capture onto a TAP device: the bare write(2) loop over preloaded frames against the sink, on the same device.
//! `bench_tap FILE [ROUNDS]`, as root; the device is in a namespace of its own that goes with the process.
//!
//! For each way: nanoseconds of wall and of CPU time per frame (of all threads, and of the worker's), median of the
//! rounds; and its rate and its CPU time as parts of the bare loop's in the same round.

#[cfg(target_os = "linux")]
#[path = "../tests/common/mod.rs"]
mod common;

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("a TAP device needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::Write;
    use std::time::Instant;

    use lc_io::files::Input;
    use lc_io::interrupt::Interrupt;
    use lc_io::tap::{Config, Kind, VifSink};
    use lc_wire::{LinkType, Packet};
    use rustix::time::{clock_gettime, ClockId};

    use super::common::device;

    const WAYS: [&str; 7] = [
        "bare write(2), preloaded",
        "sink, own thread, preloaded",
        "sink, direct, preloaded",
        "file, bare write(2)",
        "file, sink, own thread",
        "file, sink, direct",
        "read only",
    ];

    fn cpu(clock: ClockId) -> f64 {
        let now = clock_gettime(clock);
        now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
    }

    fn config(direct: bool) -> Config {
        Config {
            name: "lc0".to_owned(),
            kind: Kind::Tap,
            mtu: 65_521,
            buffer_size: 4096,
            replay_timing: false,
            replay_speed: 1.0,
            rate_limit: 0,
            rate_burst: 0,
            blocking: true,
            direct,
        }
    }

    fn packet(data: &[u8]) -> Packet<'_> {
        Packet { ts: 0, number: 1, orig_len: data.len() as u32, source: 0, link: LinkType::ETHERNET, data }
    }

    struct Bench {
        tap: File,
        input: Input,
        frames: Vec<Vec<u8>>,
    }

    impl Bench {
        fn run(&mut self, way: usize) -> std::io::Result<()> {
            match way {
                0 => self.frames.iter().try_for_each(|frame| self.tap.write_all(frame)),
                1 | 2 => {
                    let mut sink = VifSink::new(self.tap.try_clone()?, &config(way == 2))?;
                    self.frames.iter().for_each(|frame| sink.offer(&packet(frame)));
                    self.check(sink.close(true).counters.written)
                }
                3 => {
                    self.input.rewind()?;
                    while let Some(packet) = self.input.next() {
                        self.tap.write_all(packet.data)?;
                    }
                    Ok(())
                }
                4 | 5 => {
                    self.input.rewind()?;
                    let mut sink = VifSink::new(self.tap.try_clone()?, &config(way == 5))?;
                    while let Some(packet) = self.input.next() {
                        sink.offer(&packet);
                    }
                    self.check(sink.close(true).counters.written)
                }
                _ => {
                    self.input.rewind()?;
                    while self.input.next().is_some() {}
                    Ok(())
                }
            }
        }

        fn check(&self, written: u64) -> std::io::Result<()> {
            assert_eq!(written, self.frames.len() as u64);
            Ok(())
        }
    }

    fn median(values: impl Iterator<Item = f64>) -> f64 {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    pub fn main() -> Result<(), Box<dyn std::error::Error>> {
        let mut arguments = std::env::args().skip(1);
        let name = arguments.next().ok_or("usage: bench_tap FILE [ROUNDS]")?;
        let rounds: usize = arguments.next().map_or(Ok(5), |text| text.parse())?;
        let mut input = Input::open_file(File::open(&name)?, &name, 0, &Interrupt::new())?;
        let mut frames = Vec::new();
        while let Some(packet) = input.next() {
            frames.push(packet.data.to_vec());
        }
        device::enter_namespace();
        let tap = device::create(libc::IFF_TAP, 65_521);
        let mut bench = Bench { tap, input, frames };
        let count = bench.frames.len() as f64;
        println!("{count} frames, {rounds} rounds, all ways in each round");
        let mut results = vec![Vec::new(); WAYS.len()];
        for _ in 0..rounds {
            for (way, results) in results.iter_mut().enumerate() {
                let (wall, busy, own) = (Instant::now(), cpu(ClockId::ProcessCPUTime), cpu(ClockId::ThreadCPUTime));
                bench.run(way)?;
                let (busy, own) = (cpu(ClockId::ProcessCPUTime) - busy, cpu(ClockId::ThreadCPUTime) - own);
                results.push((wall.elapsed().as_nanos() as f64 / count, busy / count, own / count));
            }
        }
        for (way, name) in WAYS.iter().enumerate() {
            let wall = median(results[way].iter().map(|r| r.0));
            let busy = median(results[way].iter().map(|r| r.1));
            let own = median(results[way].iter().map(|r| r.2));
            let rate = median(results[way].iter().zip(&results[0]).map(|(r, bare)| bare.0 / r.0));
            let cost = median(results[way].iter().zip(&results[0]).map(|(r, bare)| r.1 / bare.1));
            println!(
                "{name:28} wall {wall:6.0} ns  CPU {busy:6.0} ns (worker {own:5.0})  rate {rate:5.2}, CPU {cost:5.2} of bare"
            );
        }
        Ok(())
    }
}
