//! How exactly a schedule is kept: frames in irregular gaps go onto a TAP device with replay timing, and tcpdump's
//! nanosecond timestamps are compared with theirs. `bench_replay [RATE [SECONDS]]`, as root, with tcpdump; the device
//! is in a namespace of its own that goes with the process. Prints errors of the gaps, drift, and CPU time.

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
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use lc_io::files::Input;
    use lc_io::interrupt::Interrupt;
    use lc_io::tap::{Config, Kind, VifSink};
    use lc_wire::LinkType;
    use rustix::time::{clock_gettime, ClockId};

    use super::common::{device, frame, packet, run, Scratch};

    /// Gaps between half and one and a half of the mean, always the same ones.
    fn schedule(rate: u64, seconds: u64) -> Vec<u64> {
        let (mean, mut ts, mut state) = (1_000_000_000 / rate, 1_700_000_000_000_000_000, 1u64);
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ts += mean / 2 + (state >> 33) % mean;
            ts
        };
        (0..rate * seconds).map(next).collect()
    }

    fn inject(tap: &File, times: &[u64]) -> std::io::Result<f64> {
        let config = Config {
            name: "lc0".to_owned(),
            kind: Kind::Tap,
            mtu: 1500,
            buffer_size: 4096,
            replay_timing: true,
            replay_speed: 1.0,
            rate_limit: 0,
            rate_burst: 0,
            blocking: true,
            direct: false,
        };
        let cpu = || clock_gettime(ClockId::ProcessCPUTime);
        let before = cpu();
        let mut sink = VifSink::new(tap.try_clone()?, &config)?;
        for (i, &ts) in times.iter().enumerate() {
            sink.offer(&packet(&frame(i as u64, 214), ts, 0, LinkType::ETHERNET));
        }
        assert_eq!(sink.close(true).counters.written, times.len() as u64);
        let after = cpu();
        Ok((after.tv_sec - before.tv_sec) as f64 + (after.tv_nsec - before.tv_nsec) as f64 * 1e-9)
    }

    fn read(path: &Path) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
        let mut input = Input::open_file(File::open(path)?, "tcpdump", 0, &Interrupt::new())?;
        let mut times = Vec::new();
        while let Some(packet) = input.next() {
            times.push(packet.ts);
        }
        Ok(times)
    }

    pub fn main() -> Result<(), Box<dyn std::error::Error>> {
        let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
        let rate = arguments.next().unwrap_or(Ok(18_500))?;
        let seconds = arguments.next().unwrap_or(Ok(10))?;
        let times = schedule(rate, seconds);
        device::enter_namespace();
        let tap = device::create(libc::IFF_TAP, 1500);
        let scratch = Scratch::new("replay-bench");
        let path = scratch.file("seen.pcap");
        let options = ["-i", "lc0", "-B", "65536", "--time-stamp-precision=nano", "-Z", "root", "-w"];
        let mut tcpdump = Command::new("tcpdump").args(options).arg(&path).stderr(Stdio::piped()).spawn()?;
        let mut messages = BufReader::new(tcpdump.stderr.take().ok_or("no stderr")?);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            messages.read_line(&mut line)?;
        }
        let cpu = inject(&tap, &times)?;
        std::thread::sleep(Duration::from_millis(1500));
        run("kill", &["-INT", &tcpdump.id().to_string()]);
        tcpdump.wait()?;
        let seen = read(&path)?;
        assert_eq!(seen.len(), times.len(), "tcpdump saw another number of frames");
        let gaps = |times: &[u64]| times.windows(2).map(|pair| pair[1] as i64 - pair[0] as i64).collect::<Vec<_>>();
        let mut errors: Vec<_> = gaps(&seen).iter().zip(gaps(&times)).map(|(a, b)| (a - b).abs()).collect();
        errors.sort_unstable();
        let at = |part: f64| errors[(errors.len() as f64 * part) as usize] as f64 / 1000.0;
        let whole = |times: &[u64]| times[times.len() - 1] as i64 - times[0] as i64;
        println!(
            "{rate} packets/s, {seconds} s: gap error p50 {:.1} p90 {:.1} p99 {:.1} us, drift {:.1} us, {:.0} % CPU",
            at(0.5),
            at(0.9),
            at(0.99),
            (whole(&seen) - whole(&times)) as f64 / 1000.0,
            cpu / seconds as f64 * 100.0
        );
        Ok(())
    }
}
