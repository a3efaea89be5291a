//! Writing a capture with write(2) from a buffer, with mmap(2) in windows, and with `PcapWriter`: nanoseconds of wall
//! and of CPU time per packet, median of the rounds. `bench_write FILE DIRECTORY [ROUNDS]`; every way writes the same
//! bytes to a fresh file in DIRECTORY, which is removed again.

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("this comparison needs Linux");
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::time::Instant;

    use lc_io::files::Input;
    use lc_io::interrupt::Interrupt;
    use lc_io::pcap_out::{Config, Format, PcapWriter, Rotation};
    use lc_wire::{LinkType, Packet};
    use rustix::mm::{mmap, munmap, MapFlags, ProtFlags};
    use rustix::time::{clock_gettime, ClockId};

    const HEADER: [u8; 24] = [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];

    enum Way {
        Write(usize),
        Map(usize),
        Writer(Format),
    }

    fn cpu() -> f64 {
        let now = clock_gettime(ClockId::ProcessCPUTime);
        now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
    }

    fn record(packet: &Packet<'_>) -> [u8; 16] {
        let mut header = [0; 16];
        header[0..4].copy_from_slice(&((packet.ts / 1_000_000_000) as u32).to_le_bytes());
        header[4..8].copy_from_slice(&((packet.ts % 1_000_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(packet.data.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&packet.orig_len.to_le_bytes());
        header
    }

    fn buffered(path: &Path, packets: &[Packet<'_>], size: usize) -> io::Result<()> {
        let mut file = File::create(path)?;
        let mut buffer = Vec::with_capacity(size * 2);
        buffer.extend_from_slice(&HEADER);
        for packet in packets {
            buffer.extend_from_slice(&record(packet));
            buffer.extend_from_slice(packet.data);
            if buffer.len() >= size {
                file.write_all(&buffer)?;
                buffer.clear();
            }
        }
        file.write_all(&buffer)
    }

    /// A shared mapping of one window of the file, which grows by a window at a time.
    struct Window {
        file: File,
        size: usize,
        at: *mut u8,
        begin: usize,
        used: usize,
    }

    impl Window {
        fn next(&mut self) -> io::Result<()> {
            if !self.at.is_null() {
                // SAFETY: `at` is the live mapping of `size` bytes made below, and no reference to it is kept.
                unsafe { munmap(self.at.cast(), self.size) }?;
                self.begin += self.size;
            }
            self.file.set_len((self.begin + self.size) as u64)?;
            let flags = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
            // SAFETY: the kernel chooses the place; the file has just been made long enough.
            let at = unsafe { mmap(std::ptr::null_mut(), self.size, flags.0, flags.1, &self.file, self.begin as u64) }?;
            self.at = at.cast();
            self.used = 0;
            Ok(())
        }

        fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
            while !bytes.is_empty() {
                if self.used == self.size {
                    self.next()?;
                }
                let n = bytes.len().min(self.size - self.used);
                // SAFETY: `used + n` is within the live mapping of `size` bytes.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(self.used), n) };
                self.used += n;
                bytes = &bytes[n..];
            }
            Ok(())
        }
    }

    fn mapped(path: &Path, packets: &[Packet<'_>], size: usize) -> io::Result<()> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        let mut window = Window { file, size, at: std::ptr::null_mut(), begin: 0, used: size };
        window.push(&HEADER)?;
        for packet in packets {
            window.push(&record(packet))?;
            window.push(packet.data)?;
        }
        // SAFETY: the live mapping of `size` bytes; nothing refers to it.
        unsafe { munmap(window.at.cast(), size) }?;
        window.file.set_len((window.begin + window.used) as u64)
    }

    fn writer(path: &Path, packets: &[Packet<'_>], format: Format) -> io::Result<()> {
        let (name, comment, sources, link) = ("bench".to_owned(), String::new(), Vec::new(), LinkType::ETHERNET);
        let config = Config { name, format, comment, sources, link };
        let mut writer = PcapWriter::to_path(path, Rotation::default(), config, &Interrupt::new())?;
        packets.iter().try_for_each(|packet| writer.write(packet))?;
        writer.close(&[])
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    pub fn main() -> Result<(), Box<dyn std::error::Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [name, directory, rest @ ..] = arguments.as_slice() else { return Err("FILE DIRECTORY [ROUNDS]".into()) };
        let rounds: usize = rest.first().map_or(Ok(5), |text| text.parse())?;
        let mut input = Input::open_file(File::open(name)?, name, 0, &Interrupt::new())?;
        let mut frames = Vec::new();
        while let Some(p) = input.next() {
            frames.push((p.ts, p.orig_len, p.data.to_vec()));
        }
        let packets: Vec<_> = frames
            .iter()
            .map(|(ts, orig_len, data)| Packet {
                ts: *ts,
                number: 1,
                orig_len: *orig_len,
                source: 0,
                link: LinkType::ETHERNET,
                data,
            })
            .collect();
        let path = PathBuf::from(directory).join(format!("bench_write-{}.pcap", std::process::id()));
        let ways = [
            ("write(2), 64 KiB", Way::Write(64 << 10)),
            ("write(2), 256 KiB", Way::Write(256 << 10)),
            ("write(2), 1 MiB", Way::Write(1 << 20)),
            ("mmap(2), 1 MiB windows", Way::Map(1 << 20)),
            ("mmap(2), 64 MiB windows", Way::Map(64 << 20)),
            ("PcapWriter, pcap", Way::Writer(Format::Pcap)),
            ("PcapWriter, pcapng", Way::Writer(Format::Pcapng)),
        ];
        println!("{} packets, {rounds} rounds, all ways in each round", packets.len());
        let mut results = vec![(Vec::new(), Vec::new()); ways.len()];
        for _ in 0..rounds {
            for ((_, way), results) in ways.iter().zip(&mut results) {
                let (wall, busy) = (Instant::now(), cpu());
                match way {
                    Way::Write(size) => buffered(&path, &packets, *size)?,
                    Way::Map(size) => mapped(&path, &packets, *size)?,
                    Way::Writer(format) => writer(&path, &packets, *format)?,
                }
                results.0.push(wall.elapsed().as_nanos() as f64 / packets.len() as f64);
                results.1.push((cpu() - busy) / packets.len() as f64);
                std::fs::remove_file(&path)?;
            }
        }
        for ((name, _), (wall, busy)) in ways.iter().zip(results) {
            println!("{name:24} wall {:5.0} ns  CPU {:5.0} ns", median(wall), median(busy));
        }
        Ok(())
    }
}
