"""Running lippycat-relay, with a stand-in for systemd's notify socket, and talking to it as lippycatd does."""

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
import urllib.error
import urllib.request
from pathlib import Path

from daemon_kit import until

from demo.live import free_port, parse_metrics
from lippycatd.model import handover

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"


class Relay:
    """One lippycat-relay. `{folder}` in its configuration is its own folder."""

    def __init__(self, config="", *, environment=None, listens=True):
        self.folder = Path(tempfile.mkdtemp(prefix="lc-relay-"))
        self.folder.chmod(0o777)  # whoever it runs as makes its socket there
        self.socket = self.folder / "relay.sock"
        self.port = free_port()
        self.log = self.folder / "log"
        self.heard = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self.folder / "notify.sock"))
        (self.folder / "notify.sock").chmod(0o666)
        threading.Thread(target=self._listen, daemon=True).start()
        self.config = self.folder / "relay.yaml"
        text = config.replace("{folder}", str(self.folder)) or "relay: {}\n"
        text = text.replace("relay: {", f"relay: {{socket: {self.socket}, ")
        self.config.write_text(text + f'\nmetrics: {{listen: "127.0.0.1:{self.port}"}}\n')
        self.config.chmod(0o644)
        self.environment = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify.sock"), **(environment or {})}
        self.process = None
        if listens:
            self.start()

    def _listen(self):
        with contextlib.suppress(OSError):
            while True:
                self.heard.append(self._notify.recv(4096).decode())

    def start(self):
        self.heard.clear()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [BIN / "lippycat-relay", "--config", self.config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip
        until(lambda: self.told("READY=1") or self.process.poll() is not None, 20, self.said())
        assert self.process.poll() is None, self.said()

    def told(self, state):
        return sum(state in message.split("\n") for message in list(self.heard))

    def said(self):
        return self.log.read_text()

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        return json.loads(self.get("/api/v1/status")[1])

    def metrics(self):
        return parse_metrics(self.get("/metrics")[1])

    def connect(self, wants=handover.Wants.HEP, name="test"):
        """A connection, and what it may have."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(10)
        sock.connect(str(self.socket))
        sock.send(handover.hello(wants, name))
        kind, body = handover.split(handover.receive(sock))
        assert kind is handover.Kind.WELCOME
        return sock, handover.flags(body)[0]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(10)
        self._notify.close()
        shutil.rmtree(self.folder, ignore_errors=True)
