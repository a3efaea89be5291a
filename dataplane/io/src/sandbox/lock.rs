//! The lock: everything of this folder but the drop of privileges, in the one order that works.

use super::privileges::alone;
use super::status::status;
use super::{landlock, limits, seccomp, Role, Rules, SandboxError, Status};

/// Locks the process in for good: limits, memory, files, and then the system calls, which include those of the steps
/// before. Open descriptors stay usable.
///
/// # Errors
/// Threads are running; the kernel refuses a step. A part that this kernel does not have is no error: the status tells.
pub fn lock(role: Role, rules: &Rules) -> Result<Status, SandboxError> {
    alone()?;
    limits::limit()?;
    limits::no_executable_memory()?;
    landlock::restrict_files(rules)?;
    seccomp::filter(role)?;
    status()
}
