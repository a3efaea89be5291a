//! Taking from the process what it does not need: privileges, files, the network, system calls.
//!
//! Everything here acts on the calling thread, and a thread that starts later inherits it; so it comes before any
//! thread does, and is refused when there are some. What is in force is read back from the kernel, not remembered.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod limits;
#[cfg(target_os = "linux")]
mod lock;
#[cfg(target_os = "linux")]
mod privileges;
#[cfg(target_os = "linux")]
mod seccomp;
#[cfg(target_os = "linux")]
mod status;

use std::fmt;
use std::io;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub use lock::lock;
#[cfg(target_os = "linux")]
pub use privileges::drop_privileges;
#[cfg(target_os = "linux")]
pub use status::status;

/// What a confined process is for, and so what it may still ask the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One run of the command line: everything is open by then.
    Capture,
    /// The service: it also connects to Unix sockets, and makes none of another kind.
    Daemon,
    /// The relay: it also connects to the network, by TCP to the ports of [`Rules::connect`] only.
    Relay,
}

/// Files that stay reachable after [`lock`]; everything else is out of reach, as are execution and all other TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Files to read, and directories to list and read files in.
    pub read: Vec<PathBuf>,
    /// Files to read and write, and directories to create, read and write files in.
    pub write: Vec<PathBuf>,
    /// Directories in which files and directories are also renamed and removed.
    pub manage: Vec<PathBuf>,
    /// TCP ports that may be connected to.
    pub connect: Vec<u16>,
}

/// How much of what was asked for Landlock enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// Nothing: it was not locked, or this kernel has no Landlock.
    #[default]
    None,
    /// Files, and of network and signals what this kernel knows.
    Partial,
    /// Files, TCP, abstract Unix sockets and signals.
    Full,
}

/// What is in force for the calling thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Real, effective and saved user.
    pub uids: [u32; 3],
    /// Real, effective and saved group.
    pub gids: [u32; 3],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capability sets, a bit each: effective.
    pub effective: u64,
    /// Permitted.
    pub permitted: u64,
    /// Inheritable.
    pub inheritable: u64,
    /// Bounding.
    pub bounding: u64,
    /// Ambient.
    pub ambient: u64,
    /// Whether executing a program can give no privilege.
    pub no_new_privs: bool,
    /// Whether other processes of the user may look into this one.
    pub dumpable: bool,
    /// 0 none, 1 strict, 2 a filter.
    pub seccomp: u8,
    /// Whether memory can never become executable (PR_SET_MDWE).
    pub mdwe: bool,
    /// Version of Landlock in this kernel; 0 without.
    pub landlock_abi: u32,
    /// What Landlock enforces since [`lock`].
    pub landlock: Enforcement,
    /// Paths of [`Rules`] that could not be opened, so nothing is allowed there.
    pub missing: Vec<PathBuf>,
}

/// Why the process is not confined. Displayed as one line.
#[derive(Debug)]
pub enum SandboxError {
    /// So many threads run already.
    Threads(usize),
    /// The user to drop to is root.
    Root,
    /// A step was refused: which one, why.
    Step(&'static str, io::Error),
    /// A step succeeded, and yet the kernel shows something else: what.
    NotHeld(&'static str),
    /// Landlock refused the rules.
    Landlock(String),
    /// The filter over system calls could not be put in force.
    Seccomp(String),
    /// Not on this system.
    Unsupported,
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(n) => {
                write!(f, "sandbox: {n} threads are running; privileges must be dropped before the second one starts")
            }
            Self::Root => f.write_str("sandbox: dropping to root would drop nothing; choose another user with --user"),
            Self::Step(step, error) => write!(f, "sandbox: {step} failed: {error}"),
            Self::NotHeld(what) => write!(f, "sandbox: {what} although it was dropped; not going on"),
            Self::Landlock(error) => write!(f, "sandbox: Landlock refused the rules: {error}"),
            Self::Seccomp(error) => write!(f, "sandbox: seccomp refused the filter: {error}"),
            Self::Unsupported => f.write_str("sandbox: dropping privileges needs Linux"),
        }
    }
}

impl std::error::Error for SandboxError {}

/// Not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn lock(_: Role, _: &Rules) -> Result<Status, SandboxError> {
    Err(SandboxError::Unsupported)
}

/// Not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn drop_privileges(_: u32, _: u32, _: &[u32]) -> Result<Status, SandboxError> {
    Err(SandboxError::Unsupported)
}

/// Not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn status() -> Result<Status, SandboxError> {
    Err(SandboxError::Unsupported)
}
