//! What is in force for the calling thread, asked from the kernel by system calls: /proc may be out of reach.

use std::io;

use rustix::thread::{
    capabilities, capability_is_in_ambient_set, capability_is_in_bounding_set, no_new_privs, secure_computing_mode,
    CapabilitySet,
};

use super::{landlock, limits, SandboxError, Status};

/// What is in force for the calling thread.
///
/// # Errors
/// A system call for it is refused.
pub fn status() -> Result<Status, SandboxError> {
    let step = |name| move |error: rustix::io::Errno| SandboxError::Step(name, error.into());
    let sets = capabilities(None).map_err(step("capget"))?;
    let dumpable = rustix::process::dumpable_behavior().map_err(step("PR_GET_DUMPABLE"))?;
    let files = landlock::state();
    Ok(Status {
        uids: ids(libc::getresuid).map_err(|error| SandboxError::Step("getresuid", error))?,
        gids: ids(libc::getresgid).map_err(|error| SandboxError::Step("getresgid", error))?,
        groups: rustix::process::getgroups().map_err(step("getgroups"))?.into_iter().map(|gid| gid.as_raw()).collect(),
        effective: sets.effective.bits(),
        permitted: sets.permitted.bits(),
        inheritable: sets.inheritable.bits(),
        bounding: mask(capability_is_in_bounding_set),
        ambient: mask(capability_is_in_ambient_set),
        no_new_privs: no_new_privs().map_err(step("PR_GET_NO_NEW_PRIVS"))?,
        dumpable: dumpable != rustix::process::DumpableBehavior::NotDumpable,
        seccomp: secure_computing_mode().map_or(2, |mode| mode as u8),
        mdwe: limits::memory_is_fixed(),
        landlock_abi: files.abi,
        landlock: files.enforcement,
        missing: files.missing,
    })
}

/// Every capability that this kernel has, one at a time.
pub(super) fn every_capability() -> impl Iterator<Item = CapabilitySet> {
    let known = |one: &CapabilitySet| capability_is_in_bounding_set(*one).is_ok();
    (0..64).map(|bit| CapabilitySet::from_bits_retain(1 << bit)).take_while(known)
}

fn mask(held: impl Fn(CapabilitySet) -> rustix::io::Result<bool>) -> u64 {
    every_capability().filter(|&one| held(one).unwrap_or(false)).fold(0, |mask, one| mask | one.bits())
}

type GetThree = unsafe extern "C" fn(*mut u32, *mut u32, *mut u32) -> libc::c_int;

fn ids(get: GetThree) -> io::Result<[u32; 3]> {
    let mut ids = [0; 3];
    let [real, effective, saved] = &mut ids;
    // SAFETY: getresuid(2) and getresgid(2) write one number to each of three live pointers.
    if unsafe { get(real, effective, saved) } == 0 {
        Ok(ids)
    } else {
        Err(io::Error::last_os_error())
    }
}
