"""The libpcap source, which other systems than Linux use: its class is driven on a veth pair in a namespace of the
test, by a program that enters it. What it gives equals what tcpreplay sent, what it lacks is in its counter; and Linux
refuses it by name."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import pytest
from daemon_kit import BIN

from captures import files
from lippycatd import config
from lippycatd.errors import NotPossible
from lippycatd.sources import libpcap
from tests.e2e.test_live import Wire

_numbers = itertools.count()
PROGRAM = """
import json, os, sys, time
from lippycatd import _dataplane, config
from lippycatd.sources import libpcap
options = json.loads(sys.argv[1])
section = config.build(config.from_flags(options["flags"])).capture
capture, = libpcap.open_captures(section, ["a0"])
capture.start()
print("ready", flush=True)
if options["idle"]:  # nobody reads the pipe until all was sent
    sys.stdin.readline()
fd = os.open(options["out"], os.O_WRONLY | os.O_CREAT, 0o600)
line = _dataplane.Line(inputs=[(capture.input.name, capture.input.fd)], files=[_dataplane.FileSink(name="out", fd=fd)])
line.start()
if not options["idle"]:
    sys.stdin.readline()
time.sleep(1)
held = line.stats()
libpcap.account([capture], held, over=False)
capture.stop()
while not line.finished():
    time.sleep(0.01)
stats = line.stats()
libpcap.account([capture], stats, over=True)
capture.close()
capture.close()
libpcap.account([capture], line.stats(), over=True)  # still the last figures
print(json.dumps({"held": held["held"], "stats": {key: stats[key] for key in ("in", "selected", "filtered", "held",
    "dropped", "sources")}}))
"""


@pytest.fixture
def wire(privileged, tmp_path):
    made = Wire(f"lc-p{os.getpid()}-{next(_numbers)}", tmp_path)
    yield made
    made.close()


def captured(wire, send, *, idle=False, **flags):
    """What the source told after `send()`, and the packets it gave."""
    out = wire.scratch / f"out{next(_numbers)}.pcap"
    options = json.dumps({"flags": flags, "idle": idle, "out": str(out)})
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{wire.netns}", sys.executable, "-c", PROGRAM, options],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "ready\n"
        sent = send()
        told = process.communicate("\n", timeout=60)[0]
    assert process.returncode == 0
    return json.loads(told), files.read_pcap(out.read_bytes()), sent


def closed(stats):
    source = stats["sources"]["a0"]
    parts = (sum(each["dropped"].values()) + each["selected"] + each["filtered"] + each["held"]
             for each in (source, stats))  # fmt: skip
    return list(parts) == [source["in"], stats["in"]]


@pytest.mark.parametrize("name", ["demo.pcap", "qinq.pcap"])
def test_it_gives_what_was_sent(wire, root, name):
    capture = root / "captures" / name
    told, got, sent = captured(wire, lambda: wire.send(capture, "--pps=5000"))
    stats = told["stats"]
    assert [data for _, data in got] == [data for _, data in files.read_pcap(capture.read_bytes())]
    assert (stats["in"], stats["selected"], stats["dropped"], closed(stats)) == (sent, sent, {}, True)


def test_what_has_no_room_is_counted(wire, root):
    capture = root / "captures" / "demo.pcap"
    small = {"capture.buffer_size": "64KiB"}
    told, got, sent = captured(wire, lambda: wire.send(capture, "--pps=20000", "--loop=5"), idle=True, **small)
    stats = told["stats"]
    assert stats["dropped"].keys() <= {"kernel.buffer_full", "capture.unread"}
    assert stats["dropped"]["kernel.buffer_full"] > sent // 2
    assert (stats["in"], len(got), closed(stats)) == (sent, stats["selected"], True)


def test_the_snap_length(wire, root):
    capture = root / "captures" / "demo.pcap"
    _, got, sent = captured(wire, lambda: wire.send(capture, "--pps=5000"), **{"capture.snaplen": "60"})
    assert len(got) == sent
    assert max(len(data) for _, data in got) == 60


def test_linux_refuses_it_and_others_refuse_rings(lippycat, tmp_path):
    done = lippycat("sniff", "-i", "lo", env={**os.environ, "LIPPYCAT_CAPTURE_BACKEND": "libpcap"})
    line = "capture.backend: libpcap is for systems without AF_PACKET, and this is Linux; leave it out"
    assert (done.returncode, done.stderr) == (3, f"lippycat: {line}\n")
    path = tmp_path / "lippycatd.yaml"
    path.write_text("capture: {default_interface: lo, backend: libpcap}\n")
    done = subprocess.run(
        [BIN / "lippycatd", "--config", path, "--check-config"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, line in done.stdout + done.stderr) == (2, True), done
    section = config.build(config.from_flags({"capture.backend": "af_packet"})).capture
    with pytest.raises(NotPossible, match="af_packet needs Linux, and this is darwin"):
        libpcap.check(section, "darwin")


def test_what_cannot_be_opened_is_one_line(privileged):
    section = config.build(config.from_flags({})).capture
    with pytest.raises(NotPossible, match=r"^--interface: nothere: "):
        libpcap.open_captures(section, ["nothere"])
    with pytest.raises(NotPossible, match="link type 143 is not decoded"):
        libpcap.link_type(143)
