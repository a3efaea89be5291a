"""What the helper's tests are made of: a stand-in for the daemon, a service, and looking at processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from lippycat_helper import wire

NOBODY = 65534

# Stands in for the daemon: gets the device from an executed helper, says what it has, waits for its standard input
# to end, and closes in order.
DAEMON = """
import json, sys
from lippycatd import privileged
from lippycatd.errors import PrivilegeError
request = json.loads(sys.argv[1])
try:
    helper = privileged.execute(privileged.VifRequest(**request))
    vif = helper.create()
except PrivilegeError as error:
    print(json.dumps({"error": str(error), "exit": error.exit_code}), flush=True)
    sys.exit(error.exit_code)
print(json.dumps({"helper": helper._process.pid, "inode": vif.netns_inode, "ifindex": vif.ifindex}), flush=True)
sys.stdin.read()
vif.close()
helper.close()
"""


def environment():
    """The environment for a child that imports the package as this process does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def until(true, seconds=10.0):
    """Wait until `true()` holds, and give its value."""
    end = time.monotonic() + seconds
    while not (value := true()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


def status(pid):
    """The fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def alive(pid):
    """Whether the process runs (a zombie does not)."""
    try:
        return not status(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return False


def keepers(name):
    """The processes that keep the namespace of this name."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"lippycat_helper.keeper\0{name}\0".encode() in entry.read_bytes():
                found.append(int(entry.parts[2]))
    return found


def links(netns):
    """The names of the interfaces in a namespace; none when it is not there."""
    done = subprocess.run(["ip", "-n", netns, "-json", "link"], capture_output=True, check=False)
    return {link["ifname"] for link in json.loads(done.stdout)} if done.returncode == 0 else set()


def marker(netns):
    """Where the marker of a namespace lies."""
    return Path("/run/lippycat", f"netns-{netns}")


def named(netns):
    """Whether the namespace has its name."""
    return Path("/run/netns", netns).exists()


def children(pid):
    """The processes that this one has started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def start_daemon(*prefix, **request):
    """Start DAEMON, in a session of its own."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", DAEMON, json.dumps(request)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


class Run:
    """One run of the command line: daemon, helper and keeper as processes."""

    def __init__(self, *prefix, **request):
        self.netns = request.get("netns", "lc-ns")
        self.process = start_daemon(*prefix, **request)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.said = json.loads(line)
        self.daemon, self.helper = self.process.pid, self.said.get("helper")
        found = keepers(self.netns) if self.helper else []
        self.keeper = next((pid for pid in found if int(status(pid)["PPid"]) == self.helper), None)

    def kill(self, *who):
        """Kill -9 these: daemon, helper, keeper."""
        for name in who:
            os.kill(getattr(self, name), signal.SIGKILL)

    def end(self):
        """End as a run ends by itself."""
        self.process.stdin.close()
        code = self.process.wait(20)
        assert code == 0, self.process.stderr.read()

    def close(self):
        """Whatever happened, leave no process behind."""
        for name in ("daemon", "helper", "keeper"):
            pid = getattr(self, name)
            if pid and alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            stream.close()
        self.process.wait(20)


class Service:
    """A helper service of its own, with its socket in a folder of the test."""

    def __init__(self, folder, policy, *prefix, role="tap", netns=""):
        self.arguments = ["--netns", netns] if netns else []
        self.path = str(folder / f"{role}.sock")
        self.role = role
        file = folder / "helper.toml"
        key = {"tap": "socket", "capture": "capture_socket"}[role]
        file.write_text(f'{key} = "{self.path}"\n{policy}')
        file.chmod(0o644)
        self.file = str(file)
        self.log = folder / "log"
        self.prefix = prefix
        self.start()

    def start(self):
        """Start it, and wait until it serves."""
        before = self.said().count("serving")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *self.prefix,
                    sys.executable,
                    "-I",
                    "-m",
                    "lippycat_helper",
                    "--role",
                    self.role,
                    "--policy",
                    self.file,
                    *self.arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        assert until(lambda: self.said().count("serving") > before or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()

    def said(self):
        """What it has logged."""
        return self.log.read_text() if self.log.exists() else ""

    def raw(self):
        """A connection of root's, greeted."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(5)
        sock.connect(self.path)
        message, _ = wire.receive(sock, wire.Reply.size(), wire.REPLY_FDS_MAX)
        return sock, wire.Reply.unpack(message)

    def stop(self):
        """End it as systemd does."""
        self.process.terminate()
        assert self.process.wait(10) == 0, self.said()

    def close(self):
        """End it in any case."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def as_nobody(work):
    """Run `work()` in a child without any privilege; it must return something for JSON."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import prctl  # noqa: PLC0415  only where the helper runs

            prctl.capbset.limit()
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            prctl.set_no_new_privs(1)
            os.write(write, json.dumps({"value": work()}).encode())
            code = 0
        except BaseException as error:  # noqa: BLE001  the child must end here, and say why
            os.write(write, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = json.loads(pipe.read() or b'{"error": "the child said nothing"}')
    os.waitpid(child, 0)
    assert "value" in said, said
    return said["value"]
