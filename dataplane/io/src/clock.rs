//! The monotonic clock, and sleeping by it.

/// Nanoseconds of the monotonic clock.
#[cfg(unix)]
#[must_use]
#[inline]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Nanoseconds since the first call.
#[cfg(not(unix))]
#[must_use]
pub fn now() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Nanoseconds since 1970-01-01 UTC, by the machine's clock.
#[must_use]
pub fn wall() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Nanoseconds of processor time that the calling thread has used; 0 where the system does not tell.
#[must_use]
pub fn thread_cpu() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
    }
    #[cfg(not(target_os = "linux"))]
    0
}

/// Sleeps until a time of [`now`]; may return early.
#[cfg(target_os = "linux")]
pub fn sleep_until(deadline: u64) {
    use rustix::thread::clock_nanosleep_absolute;
    use rustix::time::{ClockId, Timespec};
    let seconds = i64::try_from(deadline / 1_000_000_000).unwrap_or(i64::MAX);
    let request = Timespec { tv_sec: seconds, tv_nsec: (deadline % 1_000_000_000) as _ };
    let _ = clock_nanosleep_absolute(ClockId::Monotonic, &request);
}

/// Sleeps until a time of [`now`]; may return early.
#[cfg(not(target_os = "linux"))]
pub fn sleep_until(deadline: u64) {
    std::thread::sleep(std::time::Duration::from_nanos(deadline.saturating_sub(now())));
}

/// Lets timers of this thread end on the nanosecond; the kernel would gather those within 50 µs.
pub fn exact_timers() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}
