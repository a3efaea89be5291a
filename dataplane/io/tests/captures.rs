//! Every capture of `../shared/captures`, where it is present, against tshark: number of packets, and of each its
//! time, captured length and original length.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use lc_io::files::{Input, OpenProblem};
use lc_io::interrupt::Interrupt;

fn captures(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(under).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            captures(&path, found);
        } else if path.extension().is_some_and(|e| ["pcap", "pcapng", "cap", "snoop"].iter().any(|known| e == *known)) {
            found.push(path);
        }
    }
}

/// Time in nanoseconds (none where the file has none), captured and original length.
type Seen = (Option<u64>, usize, u32);

/// Every packet as tshark reads it, without the custom blocks that it lists among them.
fn tshark(path: &Path) -> Vec<Seen> {
    let fields = ["-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len", "-e", "frame.protocols"];
    let output = Command::new("tshark").args(["-n", "-Q", "-T", "fields"]).args(fields).arg("-r").arg(path).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines()
        .filter(|line| !(line.starts_with('\t') && line.ends_with("\tdata")))
        .map(|line| {
            let mut columns = line.split('\t');
            let ts = columns.next().unwrap().split_once('.').map(|(seconds, fraction)| {
                let fraction: u64 = format!("{fraction:0<9}").parse().unwrap();
                seconds.parse::<u64>().unwrap() * 1_000_000_000 + fraction
            });
            (ts, columns.next().unwrap().parse().unwrap(), columns.next().unwrap().parse().unwrap())
        })
        .collect()
}

fn same(ours: &Seen, theirs: &Seen) -> bool {
    (theirs.0.is_none() || ours.0 == theirs.0) && (ours.1, ours.2) == (theirs.1, theirs.2)
}

#[test]
fn every_capture_as_tshark_reads_it() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    if !shared.is_dir() || Command::new("tshark").arg("-v").output().is_err() {
        println!("SKIPPED: needs ../shared/captures and tshark");
        return;
    }
    let mut files = Vec::new();
    captures(&shared, &mut files);
    files.sort();
    let mut wrong = Vec::new();
    for path in &files {
        let name = path.strip_prefix(&shared).unwrap().display().to_string();
        let mut input = match Input::open_file(File::open(path).unwrap(), &name, 0, &Interrupt::new()) {
            Ok(input) => input,
            Err(error) => {
                println!("{error}");
                if !matches!(error.problem, OpenProblem::Format(_)) {
                    wrong.push(error.to_string());
                }
                continue;
            }
        };
        let mut ours = Vec::new();
        while let Some(packet) = input.next() {
            ours.push((Some(packet.ts), packet.data.len(), packet.orig_len));
        }
        if let Some(damage) = input.damage() {
            println!("{damage}");
        }
        let theirs = tshark(path);
        let first = ours.iter().zip(&theirs).find(|(a, b)| !same(a, b));
        if ours.len() != theirs.len() || first.is_some() {
            wrong.push(format!("{name}: {} packets, tshark {}; first other {first:?}", ours.len(), theirs.len()));
        }
    }
    println!("{} files", files.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
