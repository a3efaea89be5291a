"""The start: what is imported before the lock, and that nothing is imported after it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CAPTURE = ROOT / "captures" / "call-be.pcap"
# Runs the command line and says on file descriptor 9 what was imported before and after the lock.
DRIVER = """
import json, os, sys
from lippycatd import _dataplane
late, early, lock = [], [], _dataplane.lock

def hook(event, arguments):
    if event == "import" and early:
        late.append(arguments[0])

def locking(*role, **paths):
    done = lock(*role, **paths)
    early.extend(sys.modules)
    return done

_dataplane.lock = locking
sys.addaudithook(hook)
from lippycatd import cli
status = cli.run(sys.argv[1:])
with open(9, "w") as told:
    told.write(json.dumps({"status": status, "early": early, "late": list(late)}))
"""


def start(*arguments, stderr=subprocess.PIPE):
    reading, writing = os.pipe()
    command = f'exec 9>&{writing}; exec "$@"'
    words = ["bash", "-c", command, "bash", sys.executable, "-c", DRIVER, *map(str, arguments)]
    environment = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "1", "HOME": "/nonexistent"}
    done = subprocess.run(
        words, pass_fds=[writing], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
        env=environment, timeout=60, check=False,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    assert text, done.stderr
    return json.loads(text)


WAYS = {
    "text": ["sniff", "-r", CAPTURE],
    "json": ["sniff", "voip", "-r", CAPTURE, "--format", "json"],
    "csv": ["sniff", "voip", "-r", CAPTURE, "--format", "csv"],
    "calls": ["sniff", "voip", "-r", CAPTURE],
    "filter": ["sniff", "-r", CAPTURE, "-q", "-f", "udp port sip"],
    "metrics": ["sniff", "-r", CAPTURE, "-q", "--metrics-listen", "localhost:0", "--metrics-linger", "200ms"],
    "console": ["sniff", "-r", CAPTURE, "-q", "--log-format", "console", "--log-level", "debug"],
    "not a capture": ["sniff", "-r", ROOT / "README.md"],
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_imported_after_the_lock(way):
    found = start(*WAYS[way])
    assert found["status"] == (1 if way == "not a capture" else 0)
    assert found["late"] == []


def test_nothing_is_imported_after_the_lock_on_a_terminal():
    ours, theirs = pty.openpty()
    found = start("sniff", "voip", "-r", CAPTURE, "-w", "/dev/null", stderr=theirs)
    os.close(theirs)
    os.close(ours)
    assert found["status"] == 0
    assert found["late"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a namespace and a device")
def test_nothing_is_imported_after_the_lock_with_an_interface():
    flags = [
        "-V",
        "--vif-required",
        "--vif-netns",
        f"lc-start{os.getpid()}",
        "--vif-startup-delay",
        "0",
        "--vif-linger",
        "0",
    ]
    found = start("sniff", "-r", CAPTURE, *flags)
    assert found["status"] == 0
    assert found["late"] == []


def test_a_fast_start_loads_only_what_it_uses():
    """What takes long to import is not imported for a plain extraction."""
    early = set(start("sniff", "voip", "-r", CAPTURE, "-w", "/dev/null")["early"])
    unused = {"dpkt", "prometheus_client", "pcapy", "yaml", "pyroute2", "http.server", "lippycat_helper"}
    assert not unused & early
