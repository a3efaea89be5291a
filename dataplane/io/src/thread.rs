//! Threads of the data plane: named, and never chosen for a signal, so that those reach the main thread.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread in which every signal is blocked.
///
/// # Errors
/// The system has no room for another thread.
pub fn spawn<F, T>(name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let _blocked = Blocked::new();
    Builder::new().name(name.to_owned()).spawn(body)
}

/// All signals blocked in the calling thread, until it is dropped; a new thread inherits that.
#[cfg(unix)]
struct Blocked(libc::sigset_t);

#[cfg(unix)]
impl Blocked {
    fn new() -> Self {
        // SAFETY: sigset_t is a plain array; both calls fill in the sets that are passed.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Self(before)
        }
    }
}

#[cfg(unix)]
impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by `new`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut());
        }
    }
}

#[cfg(not(unix))]
struct Blocked;

#[cfg(not(unix))]
impl Blocked {
    fn new() -> Self {
        Self
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn signals_stay_with_the_others() {
        let mask = super::spawn("lc-test", || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let field = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap().to_owned();
            (field("Name:"), field("SigBlk:"))
        });
        let (name, blocked) = mask.unwrap().join().unwrap();
        assert!(name.ends_with("lc-test"));
        // SIGINT is bit 1, SIGTERM bit 14.
        let bits = u64::from_str_radix(blocked.rsplit('\t').next().unwrap(), 16).unwrap();
        assert_eq!(bits & (1 << 1 | 1 << 14), 1 << 1 | 1 << 14);
    }
}
