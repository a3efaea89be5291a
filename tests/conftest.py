"""What all tests share: the commands, the shared material, and what a test needs of the machine."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
# What takes long to make and is the same for every checkout: a Debian of debootstrap (250 MB, 90 s), layers of images.
CACHE = Path(os.environ.get("LIPPYCAT_CACHE", "/var/cache/lippycat"))
INCLUDE = "systemd,systemd-sysv,dbus,iproute2,tcpdump,python3,procps,nftables,init-system-helpers,udev"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def root():
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def lippycat():
    """Run a lippycat command to its end: a CompletedProcess with text."""

    def run(*args, timeout=120, **options):
        command = [str(BIN / "lippycat"), *map(str, args)]
        if "stdin" not in options and "input" not in options:
            options["stdin"] = subprocess.DEVNULL
        options.setdefault("text", True)
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False, **options)

    return run


@pytest.fixture(scope="session")
def shared():
    """The material beside the checkout (captures, generators, scorers); the test is skipped where it is not."""
    path = Path(os.environ.get("LIPPYCAT_SHARED", ROOT.parent / "shared"))
    if not (path / "tools").is_dir():
        pytest.skip(f"{path} is not here: set LIPPYCAT_SHARED to the folder with tools/ and captures/")
    return path


@pytest.fixture(scope="session")
def privileged():
    """Skip where no namespace and no device can be made."""
    if os.geteuid():
        pytest.skip("needs root: it makes network namespaces and TAP devices")
    if not Path("/dev/net/tun").exists():
        pytest.skip("needs /dev/net/tun (modprobe tun)")


@pytest.fixture
def netns(privileged):
    """The name of a namespace that nobody uses; what is left of it afterwards is a failure, and removed."""
    name = f"lc-t{os.getpid()}-{next(_numbers)}"
    yield name
    left = Path("/run/netns", name)
    existed = left.exists()
    if existed:
        subprocess.run(["ip", "netns", "delete", name], check=False)
    assert not existed, f"the namespace {name} was left behind"


@pytest.fixture(scope="session")
def base(privileged):
    """The root file system of a Debian 12 with systemd; nobody writes into it."""
    if shutil.which("debootstrap", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        pytest.skip("needs debootstrap (apt-get install debootstrap)")
    made = CACHE / f"bookworm-{hashlib.sha256(INCLUDE.encode()).hexdigest()[:8]}"
    if not made.is_dir():
        new = CACHE / f"{made.name}.{os.getpid()}"
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDE}", "bookworm", new]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            shutil.rmtree(new, ignore_errors=True)
            pytest.skip(f"debootstrap cannot make a Debian here: {done.stdout[-300:]}")
        new.rename(made)
    return made
