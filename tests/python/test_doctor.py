"""`lippycat doctor` and `lippycat debug sandbox`: what is judged from what was read, and what the commands print."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from lippycatd import sandbox
from lippycatd.cli.doctor import kernel, network, service
from lippycatd.sandbox import threads

GOOD_KERNEL = kernel.Kernel(
    release="6.12.0", tun=True, namespaces=True, packet=True, landlock=7, seccomp="kill errno allow", mdwe=True,
    clock="tsc", free=1 << 33, descriptors=4096,
)  # fmt: skip
GOOD_NETWORK = network.Network((network.Interface("eth0", gro=False, lro=None),), frozenset(network.PROGRAMS), "", "")
MERGING = network.Interface("eth0", gro=True, lro=True)
ADMITTED = service.Socket("tap", "/run/lippycat/helper.sock", exists=True, refusal="")
GOOD_SERVICE = service.Service(
    root=False, user="ann", has_user=True, members=frozenset({"ann"}), member=True, sockets=(ADMITTED,),
    modules=frozenset({"lippycat_helper", "pyroute2", "prctl"}), closed="", systemd=252, configuration="",
)  # fmt: skip


def troubles(findings):
    return {item.name: item.state for item in findings if item.state != "ok"}


@pytest.mark.parametrize(
    ("module", "good"), [(kernel, GOOD_KERNEL), (network, GOOD_NETWORK), (service, GOOD_SERVICE)], ids=str
)
def test_a_machine_that_has_all_is_ok(module, good):
    findings = module.judge(good)
    assert troubles(findings) == {}
    assert not any(item.fix for item in findings)


@pytest.mark.parametrize(
    ("good", "change", "expected"),
    [
        (GOOD_KERNEL, {"tun": False}, {"TUN and TAP": "missing"}),
        (GOOD_KERNEL, {"packet": False}, {"packet sockets": "missing"}),
        (GOOD_KERNEL, {"namespaces": False}, {"network namespaces": "missing"}),
        (GOOD_KERNEL, {"landlock": 0}, {"Landlock": "limited"}),
        (GOOD_KERNEL, {"landlock": 5}, {"Landlock": "limited"}),
        (GOOD_KERNEL, {"seccomp": ""}, {"seccomp": "limited"}),
        (GOOD_KERNEL, {"mdwe": False}, {"fixed memory": "limited"}),
        (GOOD_KERNEL, {"clock": "acpi_pm"}, {"clock source": "limited"}),
        (GOOD_KERNEL, {"free": 100 << 20}, {"memory of rings": "limited"}),
        (GOOD_KERNEL, {"descriptors": 256}, {"descriptors": "limited"}),
        (GOOD_NETWORK, {"interfaces": ()}, {"interfaces": "limited"}),
        (GOOD_NETWORK, {"interfaces": (MERGING,)}, {"GRO": "limited", "LRO": "limited"}),
        (GOOD_NETWORK, {"programs": frozenset({"ip", "nft"})}, {"tcpdump": "limited"}),
        (GOOD_NETWORK, {"nft": "Operation not supported"}, {"nft rules": "limited"}),
        (GOOD_NETWORK, {"unruled": "no egress rule on eth0"}, {"egress rule": "limited"}),
        (GOOD_SERVICE, {"has_user": False}, {"user": "limited"}),
        (GOOD_SERVICE, {"member": False}, {"group": "limited"}),
        (GOOD_SERVICE, {"sockets": (dataclasses.replace(ADMITTED, exists=False),)}, {"helper (tap)": "limited"}),
        (GOOD_SERVICE, {"sockets": (dataclasses.replace(ADMITTED, refusal="no"),)}, {"helper (tap)": "missing"}),
        (GOOD_SERVICE, {"modules": frozenset({"pyroute2", "prctl"})}, {"helper program": "missing"}),
        (GOOD_SERVICE, {"closed": "/root"}, {"python": "limited"}),
        (GOOD_SERVICE, {"systemd": 0}, {"systemd": "limited"}),
        (GOOD_SERVICE, {"systemd": 247}, {"systemd": "missing"}),
        (GOOD_SERVICE, {"configuration": "line 3: no such key"}, {"configuration": "missing"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else type(value).__name__,
)  # fmt: skip
def test_what_lacks_is_named_with_a_fix(good, change, expected):
    module = {kernel.Kernel: kernel, network.Network: network, service.Service: service}[type(good)]
    findings = module.judge(dataclasses.replace(good, **change))
    assert troubles(findings) == expected
    assert all(item.fix for item in findings if item.state != "ok")


def test_doctor_agrees_with_the_machine(lippycat):
    done = lippycat("doctor", "--format", "json")
    found = {item["name"]: item for item in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == int(any(item["state"] == "missing" for item in found.values()))
    assert (found["TUN and TAP"]["state"] == "ok") == Path("/dev/net/tun").exists()
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if clock.exists():
        assert found["clock source"]["seen"] == clock.read_text().strip()
    assert done.stderr == ""
    told = lippycat("doctor")
    assert told.returncode == done.returncode
    assert told.stdout.splitlines()[-1].endswith(" missing")


FACTS = {"landlock_abi": 7, "landlock": "full", "seccomp": 2, "mdwe": True}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"landlock": "none", "landlock_abi": 0}, "Landlock (files"),
        ({"landlock": "partial", "landlock_abi": 3}, "TCP rules"),
        ({"landlock": "partial", "landlock_abi": 5}, "abstract sockets"),
        ({"seccomp": 0}, "seccomp"),
        ({"mdwe": False}, "PR_SET_MDWE"),
    ],
)
def test_one_line_names_what_a_kernel_lacks(change, word):
    assert sandbox.lacking(FACTS) == []
    assert sandbox.Report(FACTS).missing == ""
    line = sandbox.Report({**FACTS, **change}).missing
    assert word in line
    assert "\n" not in line


def test_debug_sandbox_locks_itself_in_and_tells(lippycat):
    for role in ("capture", "daemon", "relay"):
        done = lippycat("debug", "sandbox", "--role", role, "--format", "json")
        facts = json.loads(done.stdout)
        assert done.returncode == int(bool(facts["lacks"]))
        assert facts["role"] == role
        assert (facts["no_new_privs"], facts["dumpable"], facts["effective"]) == (True, False, "0" * 16)
        assert 0 not in facts["uids"]
    assert lippycat("debug", "sandbox").stdout.startswith("role ")


def test_debug_sandbox_looks_at_a_process(lippycat):
    done = lippycat("debug", "sandbox", "--pid", os.getpid(), "--format", "json")
    assert done.returncode == 1
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert {item["tid"] for item in shown} == {int(path.name) for path in Path("/proc/self/task").iterdir()}
    assert all("no seccomp filter" in item["lacks"] for item in shown)
    gone = lippycat("debug", "sandbox", "--pid", 2**22)
    assert gone.returncode == 3
    assert "process 4194304" in gone.stderr


def test_a_status_is_read():
    text = (
        "Name:\tlippycatd\nPid:\t7\nUid:\t999999\t999999\t999999\t999999\nCapInh:\t0000000000000000\n"
        "CapPrm:\t0000000000000000\nCapEff:\t{cap}\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
        "Seccomp_filters:\t2\n"
    )
    assert threads.parse(text.format(cap="0" * 16)).lacks == []
    assert threads.parse(text.format(cap="0000000000001000")).lacks == ["holds effective capabilities"]
