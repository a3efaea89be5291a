"""Running lippycatd on a pipe that a test feeds, with a stand-in for systemd's notify socket."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from captures import files
from demo.live import free_port, parse_metrics
from lippycatd.cli.control import ask
from lippycatd.cli.debug import UnixConnection

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"


def until(true, seconds=10.0, what="it did not happen"):
    """Wait until `true()` holds, and give its value."""
    due = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < due, what
        time.sleep(0.02)
    return value


class Feed:
    """A named pipe as the source, and what was written to it."""

    def __init__(self, path):
        self.path, self.sent, self.fd = path, 0, -1
        os.mkfifo(path, 0o644)

    def open(self):
        """The daemon opens its end at the same time."""
        self.fd = os.open(self.path, os.O_WRONLY)

    def send(self, packets):
        data = files.pcap(packets, nano=True)[24 if self.sent else 0 :]
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]
        self.sent += len(packets)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Daemon:
    """One lippycatd. Its folder is searchable for the user it drops to."""

    def __init__(
        self, config="", *, arguments=(), environment=None, inherited=None, prepare=None, more=(), program=(), fed=True
    ):
        """`inherited`: listening sockets by name; `more`: other pipes to feed; `prepare(self)` comes first.

        `program`: what is run in place of the command. Without `fed` there is no pipe, and the pages are read from the
        control socket, since the daemon may live in another network namespace.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="lc-daemon-"))
        self.folder.chmod(0o777)  # whoever the daemon runs as makes its control socket there
        self.out = self.folder / "out"
        self.out.mkdir()
        self.out.chmod(0o777)
        self.feed, *self.more = (Feed(self.folder / name) for name in ("source.fifo", *more))
        self.fed = fed
        self.port = free_port()
        self.control = self.folder / "control.sock"
        self.config = self.folder / "lippycatd.yaml"
        self.log = self.folder / "log"
        self.heard = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.folder / "notify.sock"))
        (self.folder / "notify.sock").chmod(0o666)
        threading.Thread(target=self._listen, daemon=True).start()
        self.write(config)
        if prepare:
            prepare(self)
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify.sock"), **(environment or {})}
        with self.log.open("w") as log:
            command = self._command(program or [BIN / "lippycatd"], arguments, inherited or {})
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, pass_fds=[each.fileno() for each in (inherited or {}).values()],
            )  # fmt: skip
        for feed in (self.feed, *self.more) if fed else ():
            opened = threading.Thread(target=feed.open, daemon=True)
            opened.start()
            opened.join(20)
            assert feed.fd >= 0, self.said()
        until(lambda: self.told("READY=1") or self.process.poll() is not None, 20, self.said())
        assert self.process.poll() is None, self.said()

    def _command(self, program, arguments, inherited):
        """The command line, as systemd would start it with these sockets."""
        command = [*map(str, program), "--config", str(self.config), *arguments]
        if not inherited:
            return command
        moves = " ".join(f"{10 + n}<&{each.fileno()}" for n, each in enumerate(inherited.values()))
        moves += "".join(f" {3 + n}<&{10 + n} {10 + n}<&-" for n in range(len(inherited)))
        names = ":".join(inherited)
        script = f'exec {moves}; export LISTEN_PID=$$ LISTEN_FDS={len(inherited)} LISTEN_FDNAMES={names}; exec "$@"'
        return ["bash", "-c", script, "bash", *command]

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                self.heard.append(self._notify.recv(4096).decode())

    def told(self, state):
        """How often the daemon has sent a state."""
        return sum(state in message.split("\n") for message in list(self.heard))

    def write(self, config):
        """The configuration: what every test needs, and what is given. Replaced in one step, as an editor does."""
        text = config.replace("{source}", str(self.feed.path)).replace("{folder}", str(self.folder))
        if "metrics:" not in text:
            text += f'\nmetrics: {{listen: "127.0.0.1:{self.port}"}}\n'
        text += f"\ndaemon: {{control_socket: {self.control}}}\n"
        new = self.config.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o644)
        new.rename(self.config)

    def reload(self):
        """`lippycat reload`: a CompletedProcess."""
        command = [BIN / "lippycat", "reload", "--socket", self.control]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    def ask_reload(self):
        """The same without a process: the answer's status, and the reason or the keys."""
        status, answer = ask(str(self.control), "POST", "/api/v1/reload")
        return status, answer.get("reason") or answer.get("changed")

    def get(self, path):
        """A page: (status, text)."""
        if not self.fed:
            connection = UnixConnection(str(self.control))
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            finally:
                connection.close()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        return json.loads(self.get("/api/v1/status")[1])

    def metrics(self):
        return parse_metrics(self.get("/metrics")[1])

    def accounting(self, name="main"):
        return self.status()["pipelines"][name]["accounting"]

    def read_all(self):
        """Wait until the daemon has read all that was sent."""
        until(lambda: self.accounting()["in"] == self.feed.sent, 20, "not all was read")

    def said(self):
        return self.log.read_text()

    def events(self):
        """The reports, each as an object."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def event(self, name):
        return [event for event in self.events() if event["event"] == name]

    def end(self, number=signal.SIGTERM):
        """Signal it; (exit status, seconds it took)."""
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(20)
        return status, time.monotonic() - begun

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        for feed in (self.feed, *self.more):
            feed.close()
        self._notify.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def closed(account):
    """Whether law 1 holds for a summary."""
    line = account["in"] == account["selected"] + account["filtered"] + account["held"] + sum(
        account["dropped"].values()
    )
    sinks = all(
        sink["offered"] == sink["written"] + sink["queued"] + sum(sink["dropped"].values())
        for sink in account["sinks"].values()
    )
    return line and sinks
