//! The filter over system calls: default deny with EPERM, in every thread of the process.

use std::collections::BTreeMap;

use seccompiler::{
    apply_filter_all_threads, BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::calls::{allowed, Must};
use super::{Role, SandboxError};

/// Puts the filters of `role` in force; false where this kernel has none. Nothing can take them away again.
///
/// # Errors
/// The rules do not make a filter; the kernel refuses it.
pub(super) fn filter(role: Role) -> Result<bool, SandboxError> {
    let fault = |error: &dyn std::fmt::Display| SandboxError::Seccomp(error.to_string());
    let programs = programs(role, std::process::id().into()).map_err(|error| fault(&error))?;
    for program in &programs {
        match apply_filter_all_threads(program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error)) if absent(&error) => return Ok(false),
            Err(error) => return Err(fault(&error)),
        }
    }
    Ok(true)
}

/// A kernel without seccomp, or without filters.
fn absent(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// The C library starts a thread with clone3, whose flags no filter can see; at ENOSYS it takes clone, whose flags one
/// can. The strictest answer of all filters counts; among two errors that of the filter which came last. So the one
/// for clone3 only has to come in addition.
fn programs(role: Role, own: u64) -> Result<[BpfProgram; 2], BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let no_clone3 = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        arch,
    )?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, conditions) in allowed(role, own) {
        let ways = rules.entry(call).or_default();
        if !conditions.is_empty() {
            ways.push(SeccompRule::new(conditions.into_iter().map(condition).collect::<Result<_, _>>()?)?);
        }
    }
    let list = SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow, arch)?;
    Ok([no_clone3.try_into()?, list.try_into()?])
}

fn condition(must: Must) -> Result<SeccompCondition, BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    match must {
        Must::Be(index, value) => SeccompCondition::new(index, Dword, SeccompCmpOp::Eq, value & 0xffff_ffff),
        Must::BeNull(index) => SeccompCondition::new(index, Qword, SeccompCmpOp::Eq, 0),
        Must::Have(index, bits) => SeccompCondition::new(index, Dword, SeccompCmpOp::MaskedEq(bits), bits),
        Must::Lack(index, bits) => SeccompCondition::new(index, Dword, SeccompCmpOp::MaskedEq(bits), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_listed_both_with_and_without_conditions() {
        for role in [Role::Capture, Role::Daemon, Role::Relay] {
            let ways = allowed(role, 1);
            let free: Vec<_> = ways.iter().filter(|way| way.1.is_empty()).map(|way| way.0).collect();
            assert!(ways.iter().all(|way| way.1.is_empty() || !free.contains(&way.0)));
            let mut once = free.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), free.len());
        }
    }

    #[test]
    fn a_filter_fits_the_kernel_limit() {
        for role in [Role::Capture, Role::Daemon, Role::Relay] {
            for program in programs(role, 1).unwrap() {
                assert!(program.len() < 4096, "{}", program.len());
            }
        }
    }
}
