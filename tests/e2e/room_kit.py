"""A helper service in a mount namespace of its own, beside which daemons run."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from daemon_kit import until

NETNS = "lc-ns"
POLICY = """\
namespace = "lc-ns"
socket = "/run/lippycat/helper.sock"
group = "nogroup"
[[peer]]
user = "nobody"
[[tap]]
name = "lc*"
kind = "tap"
count = 2
mtu = 65521
txqueuelen = 1000
"""
ROOM = (
    "mount -t tmpfs tmpfs /run/lippycat && mount -t tmpfs tmpfs /run/netns && chmod 755 /run/lippycat && echo && read _"
)


class Room:
    """A mount namespace with its own /run/lippycat and /run/netns, and a helper service in it."""

    def __init__(self, folder, policy=POLICY, arguments=(), netns=""):
        """`arguments`: the helper's; `netns`: the network namespace that it, and what is run here, is in."""
        for path in ("/run/lippycat", "/run/netns"):
            Path(path).mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", ROOM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "\n"
        inside = [f"--net=/run/netns/{netns}"] if netns else []
        self.prefix = ["nsenter", "-m", "-t", str(self.process.pid), *inside]
        self.arguments = arguments
        self.policy = folder / "helper.toml"
        self.policy.write_text(policy)
        self.policy.chmod(0o644)
        self.log = folder / "helper.log"
        self.log.touch()
        self.helper = None
        self.started = []

    def run(self, *command, check=True):
        return subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=check)

    def start_helper(self):
        before = self.log.read_text().count("serving")
        with self.log.open("a") as log:
            self.helper = subprocess.Popen(
                [*self.prefix, sys.executable, "-I", "-m", "lippycat_helper", "--policy", self.policy, *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        until(lambda: self.log.read_text().count("serving") > before, 20, self.log.read_text())

    def kill_helper(self):
        self.helper.kill()
        self.helper.wait(10)

    def read(self, path, netns=NETNS):
        """A tcpdump on lc0 that has begun to read."""
        process = subprocess.Popen(
            [*self.prefix, "ip", "netns", "exec", netns, "tcpdump", "-i", "lc0", "-n", "-U", "--immediate-mode",
             "-B", "65536", "-w", path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started.append(process)
        assert "listening on lc0" in process.stderr.readline()
        return process

    def close(self):
        for process in (*self.started, self.helper):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(10)
            if process is not None and process.stderr is not None:
                process.stderr.close()
        self.run("ip", "netns", "delete", NETNS, check=False)
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()
