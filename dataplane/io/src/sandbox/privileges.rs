//! Becoming a user without any capability, for good.

use std::io;

use rustix::io::Errno;
use rustix::process::{set_dumpable_behavior, DumpableBehavior, Gid, Uid};
use rustix::thread::{
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_keep_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, CapabilitySet, CapabilitySets,
};

use super::status::{every_capability, status};
use super::{SandboxError, Status};

const SETPCAP: u64 = CapabilitySet::SETPCAP.bits();

/// Becomes `uid` and `gid` with these supplementary groups, gives up every capability in every set, makes sure that
/// no executed program gets any, and lets no other process look in. Reads all of it back from /proc/self/status.
///
/// Without the privilege to change users, `uid`, `gid` and `groups` must be those that the process has. The bounding
/// set stays where the process may not drop it; the status says so.
///
/// # Errors
/// Threads are running; `uid` is 0; a step is refused; the kernel shows that something is still held.
pub fn drop_privileges(uid: u32, gid: u32, groups: &[u32]) -> Result<Status, SandboxError> {
    alone()?;
    if uid == 0 {
        return Err(SandboxError::Root);
    }
    let before = status()?;
    step("clearing the ambient set", clear_ambient_capability_set())?;
    step("PR_SET_KEEPCAPS", set_keep_capabilities(false))?;
    if before.effective & SETPCAP != 0 {
        for one in every_capability() {
            step("dropping the bounding set", remove_capability_from_bounding_set(one))?;
        }
    }
    become_user(uid, gid, groups, &before)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    step("capset", set_capabilities(None, sets))?;
    step("PR_SET_NO_NEW_PRIVS", set_no_new_privs(true))?;
    step("PR_SET_DUMPABLE", set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    let now = status()?;
    verify(&now, uid, gid, before.effective & SETPCAP != 0)?;
    Ok(now)
}

fn step(name: &'static str, result: Result<(), Errno>) -> Result<(), SandboxError> {
    result.map_err(|error| SandboxError::Step(name, error.into()))
}

/// Groups first: without the user's privilege they cannot be changed any more.
fn become_user(uid: u32, gid: u32, groups: &[u32], before: &Status) -> Result<(), SandboxError> {
    let wanted: Vec<_> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    match set_thread_groups(&wanted) {
        Err(Errno::PERM) if same(groups, &before.groups) => {}
        result => step("setgroups", result)?,
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    step("setresgid", set_thread_res_gid(gid, gid, gid))?;
    step("setresuid", set_thread_res_uid(uid, uid, uid))
}

fn same(a: &[u32], b: &[u32]) -> bool {
    let sorted = |ids: &[u32]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    sorted(a) == sorted(b)
}

/// Refuses to go on with anything still held, by the kernel's own text, and by trying to become root.
fn verify(now: &Status, uid: u32, gid: u32, bounding: bool) -> Result<(), SandboxError> {
    let text = std::fs::read_to_string("/proc/self/status");
    let text = text.map_err(|error| SandboxError::Step("reading /proc/self/status", error))?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?");
    let ids = |id: u32| format!("\t{id}\t{id}\t{id}\t{id}");
    let empty = "\t0000000000000000";
    let checks = [
        (field("Uid:") == ids(uid), "another user is held"),
        (field("Gid:") == ids(gid), "another group is held"),
        (field("CapEff:") == empty, "an effective capability is held"),
        (field("CapPrm:") == empty, "a permitted capability is held"),
        (field("CapInh:") == empty, "an inheritable capability is held"),
        (field("CapAmb:") == empty, "an ambient capability is held"),
        (!bounding || field("CapBnd:") == empty, "the bounding set is not empty"),
        (field("NoNewPrivs:") == "\t1", "new privileges can be had"),
        (!now.dumpable, "the process can be looked into"),
        (set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_err(), "root can be had again"),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(SandboxError::NotHeld(what)),
        None => Ok(()),
    }
}

/// Refuses when the process has more than one thread.
pub(super) fn alone() -> Result<(), SandboxError> {
    let count = || -> io::Result<usize> { Ok(std::fs::read_dir("/proc/self/task")?.count()) };
    match count() {
        Ok(1) => Ok(()),
        Ok(threads) => Err(SandboxError::Threads(threads)),
        Err(error) => Err(SandboxError::Step("reading /proc/self/task", error)),
    }
}
