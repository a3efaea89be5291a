//! The system calls that a confined process may make, by role. Everything that is not named here answers EPERM.
//!
//! An argument is checked wherever a call does very different things by it. A new call goes into the group whose
//! reason fits; a call that fits none is a question for the design, not a line here.

use libc::c_long;

use super::Role;

/// What one argument (counted from 0) of a call must be. The kernel compares numbers only, never what pointers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    /// The lower half of the argument equals.
    Be(u8, u64),
    /// The pointer is null.
    BeNull(u8),
    /// These bits are set.
    Have(u8, u64),
    /// These bits are not set.
    Lack(u8, u64),
}

/// A call, and one way to make it: all conditions hold. A call may be listed several times, once for each way.
pub(super) type Way = (c_long, Vec<Must>);

/// All that `role` may call. `own` is the id of the process.
pub(super) fn allowed(role: Role, own: u64) -> Vec<Way> {
    let mut ways: Vec<Way> = [DESCRIPTORS, FILES, WAITING, TIME, THREADS, IDENTITY, SOCKETS, LEGACY]
        .into_iter()
        .flatten()
        .map(|&call| (call, Vec::new()))
        .collect();
    ways.extend(memory());
    ways.extend(threads_and_signals(own));
    ways.extend(arguments(libc::SYS_fcntl, FCNTL));
    ways.extend(arguments(libc::SYS_ioctl, IOCTL));
    ways.extend(arguments(libc::SYS_prctl, PRCTL));
    ways.push((libc::SYS_prctl, vec![Must::Be(0, libc::PR_CAP_AMBIENT as u64), Must::Be(1, CAP_AMBIENT_IS_SET)]));
    ways.extend(options(libc::SYS_getsockopt, GET_OPTIONS));
    ways.extend(options(libc::SYS_setsockopt, SET_OPTIONS));
    ways.push((libc::SYS_socketpair, vec![Must::Be(0, libc::AF_UNIX as u64)]));
    if role == Role::Daemon || role == Role::Relay {
        // The helper, the relay and systemd are reached anew when they have been away.
        ways.push((libc::SYS_socket, vec![Must::Be(0, libc::AF_UNIX as u64)]));
        ways.push((libc::SYS_connect, Vec::new()));
    }
    if role == Role::Relay {
        ways.extend([libc::AF_INET, libc::AF_INET6].map(|f| (libc::SYS_socket, vec![Must::Be(0, f as u64)])));
        ways.push((libc::SYS_sendmmsg, Vec::new())); // the C library asks name servers with it
        ways.extend(options(libc::SYS_setsockopt, NETWORK_OPTIONS));
    }
    // The pages' server listens once more on the sockets that were bound before the lock; none can be bound after it.
    ways.push((libc::SYS_listen, Vec::new()));
    ways
}

/// Reading, writing and copying what is open.
const DESCRIPTORS: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_flock,
];

/// Names of files: which of them exist for the process is Landlock's to say.
const FILES: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_mkdirat,
];

/// Waiting for descriptors.
const WAITING: &[c_long] = &[
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
];

/// Clocks are read and waited for, never set.
const TIME: &[c_long] = &[
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getrusage,
];

/// What threads need beside starting, and the end.
const THREADS: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_membarrier,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_restart_syscall,
    libc::SYS_wait4, // for the helper, which was started before
    libc::SYS_waitid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Asking who one is, and what the machine is.
const IDENTITY: &[c_long] = &[
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_capget,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
    libc::SYS_getrlimit,
];

/// Sockets that are open, and what comes out of them.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
];

/// Older forms of calls above, which only this architecture has and its C library still uses.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[c_long] = &[
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[c_long] = &[];

/// Memory is never executable that was not so before the lock.
fn memory() -> Vec<Way> {
    let exec = libc::PROT_EXEC as u64;
    vec![
        (libc::SYS_mmap, vec![Must::Lack(2, exec)]),
        (libc::SYS_mprotect, vec![Must::Lack(2, exec)]),
        (libc::SYS_munmap, Vec::new()),
        (libc::SYS_mremap, Vec::new()),
        (libc::SYS_madvise, Vec::new()),
        (libc::SYS_brk, Vec::new()),
    ]
}

/// New threads but no new process, signals to this process only, limits to read, and CPUs for the calling thread.
fn threads_and_signals(own: u64) -> Vec<Way> {
    vec![
        (libc::SYS_clone, vec![Must::Have(0, (libc::CLONE_VM | libc::CLONE_THREAD) as u64)]),
        (libc::SYS_clone3, Vec::new()), // a second filter answers ENOSYS: its flags lie behind a pointer
        (libc::SYS_kill, vec![Must::Be(0, own)]),
        (libc::SYS_tgkill, vec![Must::Be(0, own)]),
        (libc::SYS_prlimit64, vec![Must::Be(0, 0), Must::BeNull(2)]),
        (libc::SYS_sched_setaffinity, vec![Must::Be(0, 0)]),
    ]
}

fn arguments(call: c_long, second: &[u64]) -> impl Iterator<Item = Way> + '_ {
    let index = u8::from(call != libc::SYS_prctl);
    second.iter().map(move |&value| (call, vec![Must::Be(index, value)]))
}

fn options(call: c_long, pairs: &[(i32, i32)]) -> impl Iterator<Item = Way> + '_ {
    pairs.iter().map(move |&(level, name)| (call, vec![Must::Be(1, level as u64), Must::Be(2, name as u64)]))
}

/// Flags, duplicates, locks and pipe sizes; no signals to owners.
const FCNTL: &[u64] = &[
    libc::F_DUPFD as u64,
    libc::F_DUPFD_CLOEXEC as u64,
    libc::F_GETFD as u64,
    libc::F_SETFD as u64,
    libc::F_GETFL as u64,
    libc::F_SETFL as u64,
    libc::F_GETLK as u64,
    libc::F_SETLK as u64,
    libc::F_GETPIPE_SZ as u64,
    libc::F_SETPIPE_SZ as u64,
];

// linux/if_tun.h and linux/sockios.h
const TUNGETIFF: u64 = 0x8004_54d2;
const SIOCGSKNS: u64 = 0x894c;

/// Asking a terminal, a pipe, a device what it is. Nothing that changes a device.
const IOCTL: &[u64] = &[
    libc::TCGETS,
    libc::TIOCGWINSZ,
    libc::FIONREAD,
    libc::FIONBIO,
    libc::FIOCLEX,
    libc::FIONCLEX,
    TUNGETIFF,
    SIOCGSKNS,
];

// linux/prctl.h
const CAP_AMBIENT_IS_SET: u64 = 1;
const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_GET_AUXV: u64 = 0x4155_5856;

/// Names of threads, timer slack, and asking what is in force.
const PRCTL: &[u64] = &[
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_SET_TIMERSLACK as u64,
    libc::PR_GET_DUMPABLE as u64,
    libc::PR_GET_NO_NEW_PRIVS as u64,
    libc::PR_GET_SECCOMP as u64,
    libc::PR_GET_MDWE as u64,
    libc::PR_CAPBSET_READ as u64,
    PR_SET_VMA,
    PR_GET_AUXV,
];

/// What a socket is and how it fares.
const GET_OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_TYPE),
    (libc::SOL_SOCKET, libc::SO_DOMAIN),
    (libc::SOL_SOCKET, libc::SO_PROTOCOL),
    (libc::SOL_SOCKET, libc::SO_ERROR),
    (libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
    (libc::SOL_SOCKET, libc::SO_PEERCRED),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_COOKIE),
    (libc::SOL_SOCKET, libc::SO_MEMINFO),
    (libc::SOL_PACKET, libc::PACKET_STATISTICS),
    (libc::SOL_PACKET, libc::PACKET_VERSION),
];

/// Time limits, and what a web server sets. Nothing that widens a capture.
const SET_OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
];

/// What a client on the network sets; the errors are for the C library's questions to name servers.
const NETWORK_OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_IP, libc::IP_RECVERR),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
];
