//! One flag that ends every wait of a pipeline, and the sign that whoever looks at it lives.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How long a wait on a descriptor may go on before it looks at the flag again.
const SLICE: Duration = Duration::from_millis(20);

/// Asks to end. Clones share the flag; once set it stays set.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    set: AtomicBool,
    beats: AtomicU64,
}

/// What a descriptor is awaited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Bytes, or the end, can be read.
    Read,
    /// Bytes can be written.
    Write,
}

impl Interrupt {
    /// A flag that is not set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every wait that looks at this flag, now and later.
    pub fn set(&self) {
        self.0.set.store(true, Ordering::Release);
    }

    /// Whether the end was asked for.
    #[must_use]
    #[inline]
    pub fn is_set(&self) -> bool {
        self.0.set.load(Ordering::Acquire)
    }

    /// A sign of life: one iteration of a loop, or one look at the flag while waiting.
    #[inline]
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// Waits until `file` is ready. False when the flag was set, or `limit` has passed, before it was.
    #[must_use]
    pub fn wait(&self, file: &File, direction: Direction, limit: Option<Duration>) -> bool {
        let mut left = limit;
        loop {
            if self.is_set() {
                return false;
            }
            self.beat();
            let slice = left.map_or(SLICE, |left| left.min(SLICE));
            if ready(file, direction, slice) {
                return true;
            }
            if let Some(rest) = left {
                if rest <= slice {
                    return false;
                }
                left = Some(rest - slice);
            }
        }
    }
}

#[cfg(unix)]
fn ready(file: &File, direction: Direction, limit: Duration) -> bool {
    use rustix::event::{poll, PollFd, PollFlags, Timespec};
    let flags = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let timeout = Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos() as _ };
    match poll(&mut [PollFd::new(file, flags)], Some(&timeout)) {
        Ok(count) => count > 0,
        Err(error) => error != rustix::io::Errno::INTR,
    }
}

#[cfg(not(unix))]
fn ready(_: &File, _: Direction, _: Duration) -> bool {
    true
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Instant;

    #[test]
    fn a_set_flag_ends_a_wait() {
        let (read, mut write) = std::os::unix::net::UnixStream::pair().unwrap();
        let read = File::from(std::os::fd::OwnedFd::from(read));
        let flag = Interrupt::new();
        assert!(!flag.wait(&read, Direction::Read, Some(Duration::ZERO)));
        let other = flag.clone();
        let started = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(10));
            other.set();
        });
        assert!(!flag.wait(&read, Direction::Read, None));
        assert!(started.elapsed() < Duration::from_millis(500));
        thread.join().unwrap();
        let fresh = Interrupt::new();
        write.write_all(b"x").unwrap();
        assert!(fresh.wait(&read, Direction::Read, None));
    }
}
