//! Landlock: which files stay reachable. No program can be executed, no TCP port bound or (but those that are
//! named) connected to, no abstract Unix socket of another process reached, and no other process signalled, where the kernel knows how (ABI 4 and 6).

use std::path::PathBuf;
use std::sync::Mutex;

use landlock::{
    Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, ABI,
};

use super::{Enforcement, Rules, SandboxError};

/// What is asked for; an older kernel does what it can.
const TARGET: ABI = ABI::V7;

/// Version of the kernel's Landlock (0 without), what is enforced, and the paths that could not be opened.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub abi: u32,
    pub enforcement: Enforcement,
    pub missing: Vec<PathBuf>,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Locks the calling thread, and all that it starts, to the files of `rules`. Open descriptors stay usable. A kernel
/// without Landlock is no error: [`state`] tells.
pub(super) fn restrict_files(rules: &Rules) -> Result<(), SandboxError> {
    let abi = version();
    let mut missing = Vec::new();
    let enforcement = restrict(rules, &mut missing).map_err(|error| SandboxError::Landlock(error.to_string()))?;
    if let Ok(mut state) = STATE.lock() {
        *state = Some(State { abi, enforcement, missing });
    }
    Ok(())
}

/// What is in force since [`restrict_files`], which the kernel does not tell; before it, what this kernel has.
pub(super) fn state() -> State {
    let known = STATE.lock().ok().and_then(|state| state.clone());
    known.unwrap_or_else(|| State { abi: version(), ..State::default() })
}

/// LANDLOCK_CREATE_RULESET_VERSION: asks for the version instead of creating anything.
fn version() -> u32 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes a null pointer and the size 0, and returns a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION) };
    u32::try_from(version).unwrap_or(0)
}

fn restrict(rules: &Rules, missing: &mut Vec<PathBuf>) -> Result<Enforcement, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read | AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg;
    let manage = write | AccessFs::MakeDir | AccessFs::RemoveFile | AccessFs::RemoveDir;
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(TARGET))?
        .handle_access(AccessNet::from_all(TARGET))?
        .scope(Scope::from_all(TARGET))?
        .create()?;
    for (paths, access) in [(&rules.read, read), (&rules.write, write), (&rules.manage, manage)] {
        for path in paths {
            ruleset = allow(ruleset, path, access, missing)?;
        }
    }
    for &port in &rules.connect {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    Ok(match ruleset.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => Enforcement::Full,
        RulesetStatus::PartiallyEnforced => Enforcement::Partial,
        RulesetStatus::NotEnforced => Enforcement::None,
    })
}

/// A file gets of `access` what files have.
fn allow(
    ruleset: RulesetCreated,
    path: &PathBuf,
    access: BitFlags<AccessFs>,
    missing: &mut Vec<PathBuf>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(beneath) = PathFd::new(path) else {
        missing.push(path.clone());
        return Ok(ruleset);
    };
    let directory = path.metadata().is_ok_and(|metadata| metadata.is_dir());
    let access = if directory { access } else { access & AccessFs::from_file(TARGET) };
    ruleset.add_rule(PathBeneath::new(beneath, access))
}
