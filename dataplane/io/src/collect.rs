//! Datagrams and streams that others send, turned into a capture on a pipe, which a line reads as any other.
//!
//! One thread waits for all sockets. While the pipe is full nothing is read: senders of streams wait, and datagrams that
//! the kernel has no room for are counted.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{poll, PollFd, PollFlags, Timespec};

use crate::interrupt::{Direction, Interrupt};

/// Streams at once; more are closed.
const MAX_STREAMS: usize = 256;
/// Bytes of a stream that wait for the rest of a packet.
const MAX_PENDING: usize = 1 << 16;
/// Reads of one socket until the next one's turn.
const AT_ONCE: usize = 64;
/// How often what the kernel dropped is asked for.
const LOOK: Duration = Duration::from_millis(500);
/// A stream that says nothing for so long makes room.
const QUIET: Duration = Duration::from_secs(600);
/// getsockopt(2), linux/sock_diag.h: SK_MEMINFO_DROPS of SO_MEMINFO.
const DROPS: usize = 8;

/// What is made of the bytes.
pub trait Take: Send {
    /// A packet; what becomes of it is appended to `out`.
    fn packet(&mut self, bytes: &[u8], out: &mut Vec<u8>);
    /// Length of the packet that a stream goes on with; `Ok(None)` where that cannot be told yet.
    ///
    /// # Errors
    /// The stream holds something else, and is closed.
    #[allow(clippy::result_unit_err)] // the reason is the taker's to count
    fn length(&mut self, stream: &[u8]) -> Result<Option<usize>, ()>;
}

/// What the collector itself counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Datagrams that the kernel had no room for.
    pub kernel: u64,
    /// Streams that were accepted.
    pub accepted: u64,
    /// Streams that are open.
    pub open: u64,
    /// Streams that were closed for what they held, or because there were too many.
    pub closed: [u64; 2],
    /// Bytes of streams that ended within a packet, as packets.
    pub cut: u64,
}

struct Stream {
    socket: TcpStream,
    pending: Vec<u8>,
    last: Instant,
}

/// Sockets on one side, a pipe on the other.
pub struct Collector<T> {
    /// Bound sockets; each is set to wait for nothing.
    pub datagrams: Vec<UdpSocket>,
    /// Listening sockets.
    pub listeners: Vec<TcpListener>,
    /// Where the capture goes.
    pub pipe: File,
    /// What is made of the bytes.
    pub take: T,
    /// Asks for the end.
    pub stop: Interrupt,
    /// What is counted.
    pub counts: Arc<Mutex<Counts>>,
}

impl<T: Take> Collector<T> {
    /// Until the end is asked for, or nobody reads the pipe.
    pub fn run(mut self) {
        let mut streams: Vec<Stream> = Vec::new();
        let (mut buffer, mut out) = (vec![0; 1 << 16], Vec::new());
        let mut look = Instant::now();
        while !self.stop.is_set() {
            let ready = self.wait(&streams);
            let (datagrams, rest) = ready.split_at(self.datagrams.len());
            let (listeners, peers) = rest.split_at(self.listeners.len());
            for (at, _) in datagrams.iter().enumerate().filter(|(_, ready)| **ready) {
                for _ in 0..AT_ONCE {
                    let Ok(n) = self.datagrams[at].recv(&mut buffer) else { break };
                    self.take.packet(&buffer[..n], &mut out);
                }
            }
            let mut at = 0;
            let before = streams.len();
            streams.retain_mut(|s| {
                at += 1;
                if peers[at - 1] {
                    return self.read(s, &mut buffer, &mut out);
                }
                s.last.elapsed() < QUIET
            });
            for (at, _) in listeners.iter().enumerate().filter(|(_, ready)| **ready) {
                self.accept(at, &mut streams);
            }
            if before != streams.len() {
                self.count(|c| c.open = streams.len() as u64);
            }
            if look.elapsed() >= LOOK {
                look = Instant::now();
                self.dropped();
            }
            if !self.write(&mut out) {
                break;
            }
        }
        self.dropped();
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Which of all sockets can be read.
    fn wait(&self, streams: &[Stream]) -> Vec<bool> {
        let sockets = self.datagrams.iter().map(AsFd::as_fd);
        let sockets = sockets.chain(self.listeners.iter().map(AsFd::as_fd));
        let sockets = sockets.chain(streams.iter().map(|s| s.socket.as_fd()));
        let mut fds: Vec<PollFd<'_>> = sockets.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        if poll(&mut fds, Some(&timeout)).is_err() {
            return vec![false; fds.len()];
        }
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }

    fn accept(&mut self, at: usize, streams: &mut Vec<Stream>) {
        while let Ok((socket, _)) = self.listeners[at].accept() {
            if streams.len() >= MAX_STREAMS || socket.set_nonblocking(true).is_err() {
                self.count(|c| c.closed[1] += 1);
                continue;
            }
            self.count(|c| c.accepted += 1);
            streams.push(Stream { socket, pending: Vec::new(), last: Instant::now() });
        }
    }

    /// Takes what a stream has; false at its end.
    fn read(&mut self, s: &mut Stream, buffer: &mut [u8], out: &mut Vec<u8>) -> bool {
        s.last = Instant::now();
        for _ in 0..AT_ONCE {
            match s.socket.read(buffer) {
                Ok(0) => {
                    if !s.pending.is_empty() {
                        self.count(|c| c.cut += 1);
                    }
                    return false;
                }
                Ok(n) => s.pending.extend(&buffer[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return false,
            }
            if !self.packets(s, out) {
                self.count(|c| c.closed[0] += 1);
                return false;
            }
        }
        true
    }

    /// Takes the whole packets out of what is pending; false where it is something else.
    fn packets(&mut self, s: &mut Stream, out: &mut Vec<u8>) -> bool {
        let mut at = 0;
        loop {
            match self.take.length(&s.pending[at..]) {
                Err(()) => return false,
                Ok(Some(n)) if n <= s.pending.len() - at => {
                    self.take.packet(&s.pending[at..at + n], out);
                    at += n;
                }
                Ok(_) => break,
            }
        }
        s.pending.drain(..at);
        s.pending.len() <= MAX_PENDING
    }

    /// Writes all of it, and waits while the pipe is full; false at the end.
    fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let mut at = 0;
        while at < out.len() {
            match self.pipe.write(&out[at..]) {
                Ok(n) => at += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.stop.wait(&self.pipe, Direction::Write, None) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        out.clear();
        true
    }

    fn dropped(&self) {
        let kernel = self.datagrams.iter().map(drops).sum();
        self.count(|c| c.kernel = kernel);
    }
}

/// Datagrams for which a socket had no room, since it was made.
#[cfg(target_os = "linux")]
fn drops(socket: &UdpSocket) -> u64 {
    let mut figures = [0u32; DROPS + 1];
    let mut len = std::mem::size_of_val(&figures) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to the array, whose size that is.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, figures.as_mut_ptr().cast(), &mut len)
    };
    if result == 0 {
        u64::from(figures[DROPS])
    } else {
        0
    }
}

/// Not told on this system.
#[cfg(not(target_os = "linux"))]
fn drops(_: &UdpSocket) -> u64 {
    0
}
