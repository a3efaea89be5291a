//! Readers of capture files.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use lc_io::files::Input;
use lc_io::interrupt::Interrupt;
use rustix::fs::{memfd_create, MemfdFlags};

/// Packets read of what decompresses to more than its input.
const MANY: usize = 20_000;

fn input(bytes: &[u8]) -> Option<Input> {
    let mut file = File::from(memfd_create("lc-fuzz", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(bytes).ok()?;
    file.seek(SeekFrom::Start(0)).ok()?;
    Input::open_file(file, "fuzz", 0, &Interrupt::new()).ok()
}

/// Time, link type, length on the wire, captured bytes of every packet.
fn read(input: &mut Input, most: usize) -> Vec<(u64, u16, u32, Vec<u8>)> {
    let mut seen = Vec::new();
    while let Some(p) = input.next() {
        seen.push((p.ts, p.link.0, p.orig_len, p.data.to_vec()));
        assert_eq!(p.number, seen.len() as u64);
        if seen.len() == most {
            break;
        }
    }
    seen
}

/// pcap or pcapng as it is: no more packets, and no more bytes in them, than the file can hold; twice the same.
pub fn files(data: &[u8]) {
    if matches!(data, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]) {
        return;
    }
    let Some(mut opened) = input(data) else { return };
    let seen = read(&mut opened, usize::MAX);
    assert!(seen.len() <= data.len() / 12);
    assert!(seen.iter().map(|p| p.3.len()).sum::<usize>() <= data.len());
    if let Some(damage) = opened.damage() {
        assert!(!damage.to_string().contains('\n'));
    }
    opened.rewind().unwrap();
    assert_eq!(read(&mut opened, usize::MAX), seen);
}

/// A compressed capture: as given (0), or compressed here (1 gzip, 2 zstd) and then cut and changed at one place.
pub fn files_compressed(data: &[u8]) {
    let [kind, cut, at, byte, rest @ ..] = data else { return };
    let packed = match kind % 3 {
        0 => Some(rest.to_vec()),
        1 => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(rest).and_then(|()| gzip.finish()).ok()
        }
        _ => zstd::encode_all(rest, 1).ok(),
    };
    let Some(mut packed) = packed else { return };
    if kind % 3 > 0 && !packed.is_empty() {
        let n = packed.len();
        packed[usize::from(*at) * n / 256] ^= byte;
        packed.truncate(n - usize::from(*cut) * n / 256);
    }
    let Some(mut opened) = input(&packed) else { return };
    let seen = read(&mut opened, MANY);
    if opened.rewind().is_ok() {
        assert_eq!(read(&mut opened, MANY), seen);
    }
}
