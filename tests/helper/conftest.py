"""What the helper's tests start, and what they leave nothing of."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from capture_kit import PEERS, Wire, request
from helper_kit import Run, Service, marker, until
from manager_kit import Manager

from lippycatd import privileged as client


@pytest.fixture
def run(privileged):
    """Start runs of the command line; all are ended."""
    with contextlib.ExitStack() as stack:

        def start(*prefix, **request):
            made = Run(*prefix, **request)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def swept(netns):
    """A namespace's name; the test may leave it, and its marker, behind."""
    yield netns
    subprocess.run(["ip", "netns", "delete", netns], check=False, capture_output=True)
    for path in (Path("/run/netns", netns), marker(netns)):
        path.unlink(missing_ok=True)


@pytest.fixture
def folder():
    """A folder of root's that everybody may enter (pytest's own is closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="lippycat-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def service(privileged, folder, swept):
    """Start a service for the namespace `swept`; the policy's text is given."""
    with contextlib.ExitStack() as stack:

        def start(policy, *prefix, role="tap", netns=""):
            made = Service(folder, f'namespace = "{swept}"\n{policy}', *prefix, role=role, netns=netns)
            stack.callback(made.close)
            return made

        yield start


@pytest.fixture
def wire(swept, privileged):
    return Wire(swept)


@pytest.fixture
def capturing(service, wire):
    """Start a capture service in the namespace of `wire`; gives what opens a capture there."""
    with contextlib.ExitStack() as stack:

        def start(entries, *prefix):
            served = service(PEERS + entries, *wire.prefix, *prefix, role="capture")
            served.connect = lambda: stack.enter_context(client.connect_capture(served.path))

            def capture(peer=None, **options):
                got = (peer or served.connect()).open_capture(request(**options))
                stack.callback(got.close)
                return got

            served.capture = capture
            return served

        yield start


@pytest.fixture
def manager(privileged, folder, swept):
    with contextlib.closing(Manager(folder, swept)) as made:
        yield made


@pytest.fixture
def reader(manager, folder):
    """Start one tcpdump on lc0 of the namespace; gives what waits until it has seen so many frames, and no more."""
    started = []
    seen = folder / "seen.pcap"

    def start():
        # A short snap length: in immediate mode a slot of its ring is as long.
        options = ["-i", "lc0", "-n", "-U", "--immediate-mode", "-s", "128", "-Z", "root", "-w", str(seen)]
        command = ["ip", "netns", "exec", manager.netns, "tcpdump", *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        started.append(process)
        assert b"listening on" in process.stderr.readline()

        def heard(count):
            until(lambda: seen.read_bytes().count(b"\x88\xb5HEARD") >= count)
            process.send_signal(signal.SIGINT)
            process.wait(10)
            return seen.read_bytes().count(b"\x88\xb5HEARD") == count

        return heard

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()
