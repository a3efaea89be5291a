"""What a process that was taken over would try. Run as a program: `probes.py locked|open ROLE USER`.

`locked` enters the real sandbox of the role and makes every attempt in the first thread and in one that starts later;
`open` only drops the privileges, and makes each attempt in a child. Writes one JSON object: the attempt, and the name
of the error that answered it, or `done`.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import threading
from pathlib import Path

from lippycatd import _dataplane, sandbox
from lippycatd.sandbox import identity

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
ARM = platform.machine() == "aarch64"
# Numbers of calls on x86_64 and on aarch64 (asm/unistd.h).
NUMBERS = {
    "clone": (56, 220), "clone3": (435, 435), "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "memfd_create": (319, 279),
    "io_uring_setup": (425, 425), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "keyctl": (250, 219), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "fsopen": (430, 430),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "rt_sigqueueinfo": (129, 138), "kill": (62, 129),
    "tgkill": (234, 131), "prctl": (157, 167), "seccomp": (317, 277), "personality": (135, 92), "capset": (126, 91),
    "setuid": (105, 146), "setgroups": (116, 159), "mprotect": (10, 226), "pkey_mprotect": (329, 288), "mmap": (9, 222),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142),
    "clock_settime": (227, 112), "settimeofday": (164, 170), "sethostname": (170, 161), "syslog": (103, 116),
    "swapon": (167, 224), "quotactl": (179, 60), "acct": (163, 89), "mknodat": (259, 33), "linkat": (265, 37),
    "symlinkat": (266, 36), "fchmodat": (268, 53), "fchownat": (260, 54), "open_by_handle_at": (304, 265),
    "shmget": (29, 194), "mq_open": (240, 180), "msgget": (68, 186), "semget": (64, 190), "fanotify_init": (300, 262),
    "inotify_init1": (294, 26), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122), "prlimit64": (302, 261), "setrlimit": (160, 164),
    "landlock_create_ruleset": (444, 444),
    "setsid": (112, 157), "setpgid": (109, 154), "mlockall": (151, 230), "getpid": (39, 172), "splice": (275, 76),
    "vmsplice": (278, 75), "tee": (276, 77), "kcmp": (312, 272), "migrate_pages": (256, 238), "iopl": (172, None),
    "modify_ldt": (154, None), "arch_prctl": (158, None), "lookup_dcookie": (212, 18), "timer_create": (222, 107),
}  # fmt: skip
TUNSETIFF, TUNSETPERSIST, TUNSETOWNER, TUNSETLINK = 0x400454CA, 0x400454CB, 0x400454CC, 0x400454CD
TUNSETOFFLOAD, TUNSETTXFILTER, TUNSETQUEUE, TUNSETCARRIER = 0x400454D0, 0x400454D1, 0x400454D9, 0x400454E2
TIOCSTI, SIOCSIFFLAGS, SIOCSHWTSTAMP, FS_IOC_SETFLAGS, SIOCGIFCONF = 0x5412, 0x8914, 0x89B0, 0x40086602, 0x8912
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_RX_RING, PACKET_TX_RING, PACKET_FANOUT = 263, 1, 5, 13, 18
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_BINDTODEVICE, SO_MARK, SO_ATTACH_BPF = 26, 27, 25, 36, 50
EXEC, WRITE, READ = mmap.PROT_EXEC, mmap.PROT_WRITE, mmap.PROT_READ
PAGE, ANONYMOUS = mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def call(name, *arguments):
    """One raw system call; OSError when it fails."""
    number = NUMBERS[name][ARM] if isinstance(name, str) else name
    result = LIBC.syscall(
        ctypes.c_long(number), *[ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    )
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Held:
    """What the process has open, as the real one has: a TAP, a packet socket, a listener; and others to attack."""

    def __init__(self, victim):
        self.victim = victim
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH14x", b"lcprobe%d", 0x1002))
        self.packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.other = socket.create_server(("127.0.0.1", 0))
        self.page = mmap.mmap(-1, PAGE, prot=READ | WRITE)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.page))
        self.buffer = ctypes.create_string_buffer(4096)
        self.true = ctypes.create_string_buffer(b"/bin/true")
        self.null = ctypes.c_void_p(0)


def attempts(held):
    """Attempt → how."""
    parent, buffer, null, address = os.getppid(), held.buffer, held.null, held.address
    flag = lambda number, value: lambda: fcntl.ioctl(held.tun, number, value)  # noqa: E731
    option = lambda *what: lambda: held.packet.setsockopt(*what)  # noqa: E731
    raw = lambda *what: lambda: call(*what)  # noqa: E731
    found = {
        # files
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read /proc of another": lambda: Path(f"/proc/{held.victim}/cmdline").read_bytes(),
        "write a stray file": lambda: Path("stray").write_text("x"),
        "make a directory": lambda: Path("directory").mkdir(),
        "make a node": raw("mknodat", -100, b"node", 0o10600, 0),
        "make a symbolic link": raw("symlinkat", b"/etc/passwd", -100, b"link"),
        "change a mode": raw("fchmodat", -100, b"/proc/self/comm", 0o666),
        "open by handle": raw("open_by_handle_at", -100, buffer, 0),
        # network
        **{
            f"socket {family.name}": lambda family=family: socket.socket(family, socket.SOCK_DGRAM).close()
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_PACKET, socket.AF_NETLINK, socket.AF_VSOCK)
        },
        "TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
        "connect an open TCP socket": lambda: _connect(held),
        "bind an open packet socket": lambda: held.packet.bind(("lo", 3)),
        "send on the captured wire": lambda: held.packet.sendto(b"x" * 60, ("lo", 0x0800)),
        "promiscuous": option(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("IHH8s", 1, 1, 0, b"")),
        "receive ring": option(SOL_PACKET, PACKET_RX_RING, struct.pack("4I", PAGE, 1, PAGE, 1)),
        "send ring": option(SOL_PACKET, PACKET_TX_RING, struct.pack("4I", PAGE, 1, PAGE, 1)),
        "fanout": option(SOL_PACKET, PACKET_FANOUT, 1),
        "attach a filter": option(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HxxxxxxQ", 1, address)),
        "detach a filter": option(socket.SOL_SOCKET, SO_DETACH_FILTER, 0),
        "attach a program": option(socket.SOL_SOCKET, SO_ATTACH_BPF, 0),
        "bind to a device": option(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo"),
        "mark": option(socket.SOL_SOCKET, SO_MARK, 1),
        "interfaces": lambda: fcntl.ioctl(held.listener, SIOCGIFCONF, bytes(40)),
        # the device
        "owner of the device": flag(TUNSETOWNER, os.getuid()),
        "persistent device": flag(TUNSETPERSIST, 0),
        "another device": flag(TUNSETIFF, struct.pack("16sH14x", b"lcother", 0x1002)),
        "offloads of the device": flag(TUNSETOFFLOAD, 0),
        "carrier of the device": flag(TUNSETCARRIER, struct.pack("i", 1)),
        "filter of the device": flag(TUNSETTXFILTER, bytes(64)),
        "link type of the device": flag(TUNSETLINK, 1),
        "flags of an interface": lambda: fcntl.ioctl(held.listener, SIOCSIFFLAGS, bytes(40)),
        "hardware timestamps": lambda: fcntl.ioctl(held.packet, SIOCSHWTSTAMP, bytes(40)),
        "type into a terminal": lambda: fcntl.ioctl(0, TIOCSTI, b"x"),
        "flags of a file": lambda: fcntl.ioctl(held.tun, FS_IOC_SETFLAGS, bytes(8)),
        # programs and processes
        "execute": raw("execve", held.true, null, null),
        "execute a descriptor": raw("execveat", -100, held.true, null, null, 0),
        "fork": lambda: _child(call("clone", signal.SIGCHLD, 0, 0, 0, 0)),
        "clone3": lambda: _child(call("clone3", ctypes.create_string_buffer(88), 88)),
        "signal another": lambda: os.kill(held.victim, signal.SIGURG),
        "signal a thread of another": raw("tgkill", held.victim, held.victim, signal.SIGURG),
        "signal with a value": raw("rt_sigqueueinfo", held.victim, signal.SIGURG, buffer),
        "signal all": lambda: os.kill(-1, 0),
        "signal by descriptor": raw("pidfd_open", held.victim, 0),
        "take a descriptor": raw("pidfd_getfd", 0, 0, 0),
        "be traced": raw("ptrace", 0, 0, 0, 0),
        "trace another": raw("ptrace", 0x4206, held.victim, 0, 0),
        "read memory of another": raw("process_vm_readv", held.victim, buffer, 1, buffer, 1, 0),
        "write memory of another": raw("process_vm_writev", held.victim, buffer, 1, buffer, 1, 0),
        "compare with another": raw("kcmp", parent, held.victim, 0, 0, 0),
        "owner of a descriptor": lambda: fcntl.fcntl(held.listener, fcntl.F_SETOWN, held.victim),
        "signal of a descriptor": lambda: fcntl.fcntl(held.listener, fcntl.F_SETSIG, signal.SIGURG),
        "CPUs of another": raw("sched_setaffinity", held.victim, 8, buffer),
        "priority": raw("setpriority", 0, 0, 5),
        "scheduler": raw("sched_setscheduler", 0, 0, buffer),
        "a limit": raw("prlimit64", 0, 4, struct.pack("QQ", 0, 0), 0),
        "limit of another": raw("prlimit64", held.victim, 4, 0, buffer),
        # memory
        "memory to write and execute": raw("mmap", 0, PAGE, READ | WRITE | EXEC, ANONYMOUS, -1, 0),
        "memory to execute": raw("mmap", 0, PAGE, READ | EXEC, ANONYMOUS, -1, 0),
        "make memory executable": raw("mprotect", address, PAGE, READ | EXEC),
        "make memory executable by key": raw("pkey_mprotect", address, PAGE, READ | EXEC, -1),
        "file in memory": raw("memfd_create", b"x", 0),
        "lock memory": raw("mlockall", 1),
        "faults by descriptor": raw("userfaultfd", 1),
        # privileges and namespaces
        "user 0": lambda: os.setuid(0),
        "groups": lambda: os.setgroups([0]),
        "capabilities": raw("capset", struct.pack("Ii", 0x20080522, 0), struct.pack("3I", 1 << 21, 1 << 21, 0) * 2),
        "dumpable again": raw("prctl", 4, 1, 0, 0, 0),
        "traced by anyone": raw("prctl", 0x59616D61, -1, 0, 0, 0),
        "ambient capability": raw("prctl", 47, 2, 12, 0, 0),
        "another filter": raw("seccomp", 1, 0, 0),
        "executable whatever is read": raw("personality", 0x0400000),
        **{f"unshare {name}": raw("unshare", bits) for name, bits in {
            "users": 0x10000000, "network": 0x40000000, "mounts": 0x20000, "files": 0x400}.items()},
        "enter a namespace": raw("setns", held.tun, 0x40000000),
        "new session": os.setsid,
        **{name: raw(name, 1, 1, 0) for name in ("shmget", "msgget", "semget")},
        # parts of the kernel that nobody needs
        **{name: raw(name, *[0] * 5) for name in (
            "mount", "umount2", "pivot_root", "chroot", "open_tree", "fsopen", "io_uring_setup", "bpf",
            "perf_event_open", "add_key", "keyctl", "init_module", "finit_module", "kexec_load", "reboot",
            "clock_settime", "settimeofday", "sethostname", "syslog", "swapon", "quotactl", "acct", "mq_open",
            "fanotify_init", "inotify_init1", "landlock_create_ruleset", "splice", "vmsplice", "tee", "migrate_pages",
            "timer_create", "linkat", "fchownat", "setpgid")},
    }  # fmt: skip
    if not ARM:
        found["a call of x32"] = raw(0x40000000 | NUMBERS["getpid"][0])
        found.update({name: raw(name, 1, 0) for name in ("iopl", "modify_ldt", "arch_prctl")})
    return found


def needed(held):
    """What must go on working, whatever is forbidden."""
    ours, theirs = socket.socketpair()
    return {
        "write": lambda: os.write(ours.fileno(), b"x"),
        "read": lambda: os.read(theirs.fileno(), 1),
        "own signal": lambda: os.kill(os.getpid(), 0),
        "device name": lambda: fcntl.ioctl(held.tun, 0x800454D2, bytes(40)),
        "packet counters": lambda: held.packet.getsockopt(SOL_PACKET, 6, 8),
        "own limits": lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
        "own CPUs": lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)),
        "memory": lambda: mmap.mmap(-1, PAGE).close(),
        "thread": _thread,
        "local time": lambda: Path("/etc/localtime").exists(),
        "own numbers": lambda: Path("/proc/self/stat").read_bytes(),
    }


def _connect(held):
    with socket.socket(fileno=os.dup(held.spare.fileno())) as spare:
        spare.connect(held.other.getsockname())


def _child(pid):
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0x40000000)  # __WALL


def _thread():
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def _victim(runs_as):
    """Another process of the same user; it ends with this one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.setresgid(*[runs_as.gid] * 3)
        os.setresuid(*[runs_as.uid] * 3)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    return child


def answer(attempt):
    """What came of an attempt."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return "done"


def in_a_child(attempt):
    """The answer of an attempt that may end the process, or become another program."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, answer(attempt).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return text or "done"


def main():
    """Enter, attempt, tell."""
    way, role, user = sys.argv[1:4]
    runs_as = identity.choose(user)
    held = Held(_victim(runs_as))
    held.spare = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    forbidden, allowed = attempts(held), needed(held)
    if way == "open":
        _dataplane.drop_privileges(runs_as.uid, runs_as.gid, [])
        sys.stdout.write(json.dumps({"open": {name: in_a_child(attempt) for name, attempt in forbidden.items()}}))
        return
    sandbox.enter(role, runs_as)
    found = {"first": {name: answer(attempt) for name, attempt in forbidden.items()}, "later": {}}
    later = threading.Thread(
        target=lambda: found["later"].update({name: answer(attempt) for name, attempt in forbidden.items()})
    )
    later.start()
    later.join()
    found["needed"] = {name: answer(attempt) for name, attempt in allowed.items()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
