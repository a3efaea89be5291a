"""In a container: the first step on a node, capture in a namespace that is entered by name, the probe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from capture_kit import EVERYTHING, PEERS, ethernet, packets, request
from helper_kit import status

from lippycatd import privileged as client


def node(*arguments, prefix=()):
    command = [*prefix, sys.executable, "-I", "-m", "lippycat_helper.node", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def probe(path):
    command = [sys.executable, "-I", "-m", "lippycat_helper.probe", path]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def inode(name):
    return place(f"/run/netns/{name}")


def place(path):
    info = Path(path).stat()
    return info.st_dev, info.st_ino


@pytest.fixture
def host(wire):
    """A name for the namespace of `wire`, which stands for the host's."""
    name = f"{wire.netns}-host"
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    Path("/run/netns", name).unlink(missing_ok=True)


@pytest.fixture
def made(wire):
    name = f"{wire.netns}-lc"
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    Path("/run/netns", name).unlink(missing_ok=True)


def test_it_names_the_host_makes_the_namespace_and_refuses_injection(wire, host, made):
    arguments = ("--netns", made, "--host", host, "--host-from", f"/run/netns/{wire.netns}")
    done = node(*arguments)
    assert done.returncode == 0, done.stderr
    assert inode(host) == inode(wire.netns)
    assert inode(made) not in {inode(wire.netns), place("/proc/self/ns/net")}
    links = subprocess.run(["ip", "-n", made, "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert links.count("\n") == 1
    assert " lo:" in links
    rules = subprocess.run([*wire.prefix, "nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert rules.count("meta mark 0x6c630001") == 5  # lo, two pairs
    # It may run again: what is there stays.
    before = inode(host), inode(made)
    done = node(*arguments)
    assert (done.returncode, done.stderr) == (0, f"lippycat-helper: /run/netns/{host} is there and stays\n")
    assert (inode(host), inode(made)) == before


def test_a_name_whose_mount_is_gone_is_made_anew(wire, host, made):
    for name in (host, made):
        Path("/run/netns", name).touch(mode=0o0)
    done = node("--netns", made, "--host", host, "--host-from", f"/run/netns/{wire.netns}")
    assert done.returncode == 0, done.stderr
    assert inode(host) == inode(wire.netns)
    assert inode(made)[0] == inode(host)[0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            "/proc/self/ns/net",
            "/proc/self/ns/net is this container's own network, not the host's: mount the host's /proc",
        ),
        ("/nowhere", "cannot read /nowhere: No such file or directory; or name the host's network on the node"),
    ],
)
def test_what_is_not_the_host_is_refused(host, made, source, said):
    done = node("--netns", made, "--host", host, "--host-from", source)
    assert done.returncode == 3
    assert done.stderr.startswith(f"lippycat-helper: {said}")
    assert not Path("/run/netns", host).exists()


def test_without_the_capability_it_says_so(host, made):
    done = node("--netns", made, prefix=("setpriv", "--bounding-set", "-sys_admin"))
    assert done.returncode == 3
    assert "add the capability SYS_ADMIN" in done.stderr


def test_capture_in_a_namespace_that_is_entered(service, wire):
    """The helper is started outside, gives up SYS_ADMIN, and its sockets see the other namespace's interfaces."""
    served = service(f'{PEERS}[[capture]]\ninterface = "w0"\n{EVERYTHING}', role="capture", netns=wire.netns)
    assert place(f"/proc/{served.process.pid}/ns/net") == inode(wire.netns)
    held = status(served.process.pid)
    assert (held["CapPrm"], held["CapEff"], held["CapBnd"]) == (f"{1 << 13:016x}", f"{1 << 13:016x}", f"{0:016x}")

    with client.connect_capture(served.path) as helper:
        got = helper.open_capture(request())
        wire.send("p0", ethernet())
        assert packets(got.fds[0]) == 1
        assert got.ifindex == wire.index("w0")
        got.close()


def test_a_namespace_that_is_missing_is_not_made_for_a_capture(folder, swept):
    file = folder / "helper.toml"
    file.write_text(f'namespace = "{swept}"\ncapture_socket = "{folder}/s"\n{PEERS}')
    file.chmod(0o644)
    command = [sys.executable, "-I", "-m", "lippycat_helper", "--role", "capture", "--policy", file, "--netns", swept]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 3
    assert f"there is no namespace {swept} to capture in" in done.stderr
    assert not Path("/run/netns", swept).exists()


def test_the_probe_tells_a_living_helper_from_a_dead_one(service):
    served = service(f'{PEERS}[[tap]]\nname = "lc*"\n')
    assert probe(served.path).returncode == 0
    assert "refused" not in served.said()
    served.close()
    done = probe(served.path)
    assert (done.returncode, done.stderr) == (
        1, f"lippycat-helper: no helper answers on {served.path}: Connection refused\n",
    )  # fmt: skip
