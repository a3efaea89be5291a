"""HEP packets to send, and a run of lippycat that receives them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import subprocess
import urllib.request

from daemon_kit import BIN, until

from demo.live import free_port, parse_metrics

INVITE = (
    "{method} sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}\r\nFrom: <sip:{user}@x>;tag=1"
    "\r\nTo: <sip:bob@example.net>\r\nCall-ID: {call}\r\nCSeq: {n} {method}\r\nContent-Length: 0\r\n\r\n"
)


def sip(user="alice", call="c1", n=1, method="INVITE"):
    return INVITE.format(user=user, call=call, n=n, method=method).encode()


def chunk(kind, value, vendor=0):
    return struct.pack("!HHH", vendor, kind, 6 + len(value)) + value


def packet(payload, src="192.0.2.1", dst="192.0.2.2", *more, protocol=1, seconds=1_700_000_000, ports=(5060, 5061)):
    v6 = ":" in src
    family = socket.AF_INET6 if v6 else socket.AF_INET
    body = chunk(1, bytes([10 if v6 else 2])) + chunk(2, b"\x11")
    body += chunk(5 if v6 else 3, socket.inet_pton(family, src)) + chunk(6 if v6 else 4, socket.inet_pton(family, dst))
    body += chunk(7, ports[0].to_bytes(2, "big")) + chunk(8, ports[1].to_bytes(2, "big"))
    body += (
        chunk(9, seconds.to_bytes(4, "big")) + chunk(10, (123_456).to_bytes(4, "big")) + chunk(11, bytes([protocol]))
    )
    body += b"".join(more) + chunk(15, payload)
    return b"HEP3" + struct.pack("!H", 6 + len(body)) + body


class Sniff:
    """`lippycat sniff voip --hep-listen`, until it is ended."""

    def __init__(self, folder, *more):
        self.port, self.pages, self.out = free_port(), free_port(), folder / "out.pcap"
        self.log = folder / "log"
        command = [BIN / "lippycat", "sniff", "voip", "--hep-listen", f"127.0.0.1:{self.port}", "-w", self.out]
        command += ["--metrics-listen", f"127.0.0.1:{self.pages}", "--format", "json", *more]
        self.records = folder / "records"
        with self.log.open("w") as log, self.records.open("w") as records:
            self.process = subprocess.Popen(list(map(str, command)), stdout=records, stderr=log)
        until(lambda: self.figures() is not None or self.process.poll() is not None, 20)
        assert self.process.poll() is None, self.log.read_text()

    def figures(self):
        url = f"http://127.0.0.1:{self.pages}/metrics"
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return parse_metrics(answer.read().decode())
        return None

    def metric(self, name, **labels):
        text = ",".join(f'{key}="{value}"' for key, value in sorted({**labels, "source": self.source}.items()))
        return self.figures().get(f"lippycat_{name}{{{text}}}", 0)

    @property
    def source(self):
        return f"hep:127.0.0.1:{self.port}"

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(20)
        return status, [json.loads(line) for line in self.records.read_text().splitlines()]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def shown(path, *fields, only="sip"):
    command = ["tshark", "-n", "-r", path, "-Y", only, "-T", "fields", "-o", "udp.check_checksum:TRUE"]
    command += ["-o", "ip.check_checksum:TRUE", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]
