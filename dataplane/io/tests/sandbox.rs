//! The sandbox, each case in a process of its own: the test starts itself again, with the case's name.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{read_to_string, File};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use common::{root, Scratch};
use lc_io::sandbox::{drop_privileges, lock, status, Enforcement, Role, Rules, SandboxError};

const NOBODY: u32 = 65_534;

/// The cases, and the environment variable that chooses one: tests run in threads, which the sandbox refuses.
fn main() {
    let cases: [(&str, fn()); 4] = [
        ("drops everything", drops_everything),
        ("threads and root are refused", threads_and_root_are_refused),
        ("locks files, network and programs", locks),
        ("needs no privilege to stay who it is", stays),
    ];
    if let Ok(chosen) = std::env::var("LC_IO_CASE") {
        return cases.iter().filter(|case| case.0 == chosen).for_each(|case| case.1());
    }
    let program = std::env::current_exe().unwrap();
    let mut failed = false;
    for (name, _) in cases {
        let passed = Command::new(&program).env("LC_IO_CASE", name).status().unwrap().success();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed |= !passed;
    }
    assert!(!failed);
}

fn drops_everything() {
    if !root() {
        return;
    }
    assert_ne!(status().unwrap().effective, 0);
    let now = drop_privileges(NOBODY, NOBODY, &[NOBODY]).unwrap();
    assert_eq!((now.uids, now.gids, now.groups), ([NOBODY; 3], [NOBODY; 3], vec![NOBODY]));
    assert_eq!([now.effective, now.permitted, now.inheritable, now.ambient, now.bounding], [0; 5]);
    assert!(now.no_new_privs && !now.dumpable);
    // A thread that starts later has as little.
    let text = std::thread::spawn(|| read_to_string("/proc/thread-self/status").unwrap()).join().unwrap();
    for name in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert!(text.lines().any(|line| line == format!("{name}\t0000000000000000")), "{name} {text}");
    }
    assert!(text.contains("NoNewPrivs:\t1"));
    assert_eq!(File::open("/etc/shadow").unwrap_err().kind(), ErrorKind::PermissionDenied);
}

fn threads_and_root_are_refused() {
    assert!(matches!(drop_privileges(0, 0, &[]), Err(SandboxError::Root)));
    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv());
    assert!(matches!(drop_privileges(NOBODY, NOBODY, &[]), Err(SandboxError::Threads(2))));
    let error = lock(Role::Capture, &Rules::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sandbox: 2 threads are running; privileges must be dropped before the second one starts"
    );
    drop(send);
    let _ = thread.join();
}

fn locks() {
    let scratch = Scratch::new("sandbox");
    let kept = scratch.file("kept.txt");
    std::fs::write(&kept, "kept").unwrap();
    std::fs::create_dir(scratch.file("out")).unwrap();
    std::fs::create_dir(scratch.file("other")).unwrap();
    let mut open = File::create(scratch.file("other/open")).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rules = Rules {
        read: vec![kept.clone(), "/none".into()],
        write: vec![scratch.file("out")],
        manage: vec![],
        connect: vec![],
    };
    let now = lock(Role::Capture, &rules).unwrap();
    assert_eq!(now.missing, [std::path::PathBuf::from("/none")]);
    assert!(now.no_new_privs);
    if now.landlock_abi == 0 {
        println!("SKIPPED: this kernel has no Landlock");
        assert_eq!(now.landlock, Enforcement::None);
        return;
    }
    assert_eq!(read_to_string(&kept).unwrap(), "kept");
    assert!(File::options().write(true).open(&kept).is_err());
    std::fs::write(scratch.file("out/new"), "new").unwrap();
    assert!(File::create(scratch.file("other/new")).is_err());
    assert!(read_to_string("/etc/passwd").is_err());
    assert!(Command::new("/bin/true").status().is_err());
    open.write_all(b"still").unwrap();
    if now.landlock_abi >= 4 {
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert_eq!(TcpListener::bind("127.0.0.1:0").unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    if now.landlock_abi >= 7 {
        assert_eq!(now.landlock, Enforcement::Full);
    }
    assert!(UnixStream::pair().is_ok());
    assert_eq!(status().unwrap(), now);
}

fn stays() {
    if !root() {
        return;
    }
    drop_privileges(NOBODY, NOBODY, &[]).unwrap();
    let again = drop_privileges(NOBODY, NOBODY, &[]).unwrap();
    assert_eq!(again.uids, [NOBODY; 3]);
    assert!(matches!(drop_privileges(1000, NOBODY, &[]), Err(SandboxError::Step("setresuid", _))));
    assert!(matches!(drop_privileges(NOBODY, NOBODY, &[0]), Err(SandboxError::Step("setgroups", _))));
}
