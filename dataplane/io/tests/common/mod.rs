//! What several tests need.
#![allow(dead_code)] // each test uses its part

use std::path::{Path, PathBuf};
use std::process::Command;

use lc_wire::{LinkType, Packet};

/// A directory that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lc-io-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Standard output of a program that must succeed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a program is there; says so when it is not.
pub fn has(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !there {
        println!("SKIPPED: needs {program}");
    }
    there
}

/// Whether the test runs as root; says so when it does not.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("SKIPPED: needs root");
    }
    root
}

/// Packets that capinfos reads in a file.
pub fn capinfos(path: &Path) -> u64 {
    let text = run("capinfos", &["-cMTr", path.to_str().unwrap()]);
    text.trim().rsplit('\t').next().unwrap().parse().unwrap()
}

/// A UDP frame of a known length whose bytes depend on `number`.
pub fn frame(number: u64, len: usize) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(((len - 14) as u16).to_be_bytes());
    frame.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0xc4, 0x13, 0xc4]);
    frame.extend(((len - 34) as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(number.to_be_bytes());
    frame.resize(len, number as u8);
    frame
}

pub fn packet(data: &[u8], ts: u64, source: u16, link: LinkType) -> Packet<'_> {
    Packet { ts, number: 1, orig_len: data.len() as u32, source, link, data }
}

/// A TAP or TUN device in a network namespace that only this thread, and what it starts, is in. It goes away with
/// the thread. Needs root.
#[cfg(target_os = "linux")]
pub mod device {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use super::run;

    const TUNSETIFF: libc::Ioctl = 0x4004_54ca;

    /// Moves this thread into a fresh namespace.
    pub fn enter_namespace() {
        // SAFETY: of the calling thread only the network namespace is changed.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
    }

    /// Creates `lc0` with this MTU, up and quiet. `flags` are IFF_TAP or IFF_TUN.
    pub fn create(flags: libc::c_int, mtu: u32) -> File {
        let file = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
        let mut request = [0u8; 40];
        request[..3].copy_from_slice(b"lc0");
        request[16..18].copy_from_slice(&((flags | libc::IFF_NO_PI) as u16).to_ne_bytes());
        // SAFETY: TUNSETIFF reads and writes a struct ifreq, 40 bytes: name, then flags.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        std::fs::write("/proc/sys/net/ipv6/conf/lc0/disable_ipv6", "1").unwrap();
        run("ip", &["link", "set", "lc0", "mtu", &mtu.to_string(), "up"]);
        file
    }
}
