//! Limits of resources, and memory that can never be written and executed.

use std::io;

use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

use super::SandboxError;

/// Descriptors: a file or two a call, sockets of readers, rings; more than any configuration opens.
const DESCRIPTORS: u64 = 4096;

/// No core file (it would hold what was captured), a bounded number of descriptors, no POSIX message queues.
pub(super) fn limit() -> Result<(), SandboxError> {
    lower(Resource::Core, 0, "RLIMIT_CORE")?;
    lower(Resource::Nofile, DESCRIPTORS, "RLIMIT_NOFILE")?;
    lower(Resource::Msgqueue, 0, "RLIMIT_MSGQUEUE")
}

/// Sets both limits to at most `most`, for good.
fn lower(resource: Resource, most: u64, name: &'static str) -> Result<(), SandboxError> {
    let now = getrlimit(resource);
    let most = |limit: Option<u64>| Some(limit.map_or(most, |limit| limit.min(most)));
    let limits = Rlimit { current: most(now.current), maximum: most(now.maximum) };
    setrlimit(resource, limits).map_err(|error| SandboxError::Step(name, error.into()))
}

/// No memory that is writable and executable, none that becomes executable; false where this kernel does not know how
/// (it came with Linux 6.3).
pub(super) fn no_executable_memory() -> Result<bool, SandboxError> {
    // SAFETY: this option takes numbers only.
    let result =
        unsafe { libc::prctl(libc::PR_SET_MDWE, libc::c_ulong::from(libc::PR_MDWE_REFUSE_EXEC_GAIN), 0, 0, 0) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        error => Err(SandboxError::Step("PR_SET_MDWE", error)),
    }
}

/// Whether [`no_executable_memory`] is in force for the process.
pub(super) fn memory_is_fixed() -> bool {
    // SAFETY: as above; the result is a set of bits, or -1.
    let bits = unsafe { libc::prctl(libc::PR_GET_MDWE, 0, 0, 0, 0) };
    bits > 0 && bits as libc::c_uint & libc::PR_MDWE_REFUSE_EXEC_GAIN != 0
}
