"""What stands in for systemd in the helper's tests: the socket, the notifications, the store of descriptors."""

from __future__ import annotations

import array
import contextlib
import os
import socket
import subprocess
import sys

from helper_kit import until

from lippycatd import privileged as client

FRAME = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5HEARD".ljust(60, b"\0")
POLICY = "[[peer]]\nuser = 0\n[[tap]]\nname = 'lc?'\ncount = 2\n[[tap]]\nname = 'lt0'\nkind = 'tun'\n"
# Passes descriptors as systemd does (sd_listen_fds(3)).
SYSTEMD = """
import fcntl, os, sys
given = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",")]
for number, fd in enumerate(given, 3):
    os.dup2(fd, number)
os.closerange(3 + len(given), 1024)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": sys.argv[2]}
os.execvp(sys.argv[3], sys.argv[3:])
"""


class Manager:
    """Stands in for systemd: a listening socket, a notification socket, a store that outlives the helper."""

    def __init__(self, folder, netns, policy=POLICY):
        self.path, self.file, self.log = str(folder / "helper.sock"), folder / "helper.toml", folder / "log"
        self.netns = netns
        self.file.write_text(f"namespace = '{netns}'\n{policy}")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        self.listener.listen()
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.settimeout(0)
        self.store, self.told, self.process = {}, [], None

    def start(self, *arguments, prefix=(), environment=()):
        """Start the helper with the listening socket and what the store has."""
        given = [self.listener.fileno(), *self.store.values()]
        names = ":".join(["lippycat-helper-tap.socket", *self.store])
        numbers = ",".join(map(str, given))
        command = [sys.executable, "-I", "-m", "lippycat_helper", "--policy", str(self.file)]
        ready = self.told.count("READY=1")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SYSTEMD, numbers, names, *prefix, *command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=given,
                env={"NOTIFY_SOCKET": self.notify.getsockname(), **dict(environment)},
            )
        assert until(lambda: self.read() or self.told.count("READY=1") > ready), self.said()

    def notify_for(self, uid):
        """Let a helper of this user notify."""
        os.chown(self.notify.getsockname(), uid, uid)

    def said(self):
        return self.log.read_text()

    def read(self):
        """Take what the helper tells, and act on FDSTORE."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text, ancillary, _, _ = self.notify.recvmsg(4096, 256)
                lines = dict(line.partition("=")[::2] for line in text.decode().split("\n"))
                fds = array.array("i")
                for _, _, data in ancillary:
                    fds.frombytes(data)
                self.told += text.decode().split("\n")
                if "FDSTORE" in lines:
                    (self.store[lines["FDNAME"]],) = fds
                elif "FDSTOREREMOVE" in lines and lines["FDNAME"] in self.store:
                    os.close(self.store.pop(lines["FDNAME"]))

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.read()

    def connect(self, **request):
        return client.connect(client.VifRequest(netns=self.netns, **request), self.path)

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for fd in self.store.values():
            os.close(fd)
        self.listener.close()
        self.notify.close()
