"""Filters: the programs are tcpdump's own, for each link type."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest

from lippycatd.cli import policy
from lippycatd.errors import ConfigError
from lippycatd.sources import bpf

EXPRESSIONS = [
    "udp port 5060",
    "host 10.0.0.1 and not tcp",
    "ip6",
    "tcp[tcpflags] & tcp-syn != 0",
    "portrange 10000-20000",
]


def tcpdump(link, expression, order="little"):
    """What `tcpdump -ddd` prints for a file of that link type and byte order; None where it refuses."""
    assert shutil.which("tcpdump"), "tcpdump is missing: make setup installs it"
    fields = ((0xA1B2C3D4, 4), (2, 2), (4, 2), (0, 8), (262144, 4), (link, 4))
    head = b"".join(value.to_bytes(size, order) for value, size in fields)
    done = subprocess.run(["tcpdump", "-ddd", "-r", "-", expression], input=head, capture_output=True, check=False)
    lines = done.stdout.decode().splitlines()
    return [tuple(int(number) for number in line.split()) for line in lines[1:]] if not done.returncode else None


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("link", [link for link in bpf.LINK_TYPES if link not in {0, 14, 108}])
def test_programs_are_tcpdumps(link, expression):
    """Where tcpdump refuses because nothing could match, nothing does. It cannot read 14."""
    assert bpf.compile_filter(expression)[link] == (tcpdump(link, expression) or bpf.NOTHING)


def run(program, packet):
    """A classic BPF machine, for the instructions that these programs use (bpf(4))."""
    a = x = at = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        size = {0x00: 4, 0x08: 2, 0x10: 1}[code & 0x18]
        kind, mode = code & 0x07, code & 0xE0
        if kind == 0x06:
            return k
        if kind == 0x05:
            if code == 0x05:
                at += k
                continue
            taken = {0x10: a == k, 0x20: a > k, 0x30: a >= k, 0x40: bool(a & k)}[code & 0xF0]
            at += jt if taken else jf
            continue
        where = {0x20: k, 0x40: x + k, 0xA0: k}[mode]
        data = packet[where : where + (size if mode != 0xA0 else 1)]
        if len(data) < (size if mode != 0xA0 else 1):
            return 0
        value = int.from_bytes(data)
        if mode == 0xA0:
            x = 4 * (value & 0xF)
        elif kind == 0x01:
            x = value
        else:
            a = value


UDP4 = bytes.fromhex("4500002000010000401100000a0000010a00000213c413c4000c0000deadbeef")
UDP6 = bytes.fromhex("60000000000c1140") + bytes(15) + b"\1" + bytes(15) + b"\2" + UDP4[20:]
TCP4 = bytes.fromhex("4500002800010000400600000a0000010a00000213c427100000000000000000500200000000") + bytes(4)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize(("link", "order"), [(0, "little"), (0, "big"), (108, "big")])
def test_loopback_decides_as_tcpdump_does(link, order, expression):
    """The programs differ, because ours takes both byte orders; what they decide does not."""
    ours, theirs = bpf.compile_filter(expression)[link], tcpdump(link, expression, order)
    for family in (2, 7, 10, 24, 28, 30):
        for packet in (UDP4, UDP6, TCP4):
            frame = family.to_bytes(4, order) + packet
            assert run(ours, frame) == run(theirs, frame), (family, packet.hex())


def test_names_are_looked_up():
    assert bpf.compile_one("udp port sip") == bpf.compile_one("udp port 5060")


def test_an_empty_filter_is_none():
    assert bpf.compile_filter("") is None
    assert bpf.compile_filter("  ") is None


def test_a_link_type_for_which_it_means_nothing_takes_nothing():
    programs = bpf.compile_filter("vlan 5")
    assert len(programs[1]) > 1
    assert programs[101] == bpf.NOTHING
    assert set(programs) == set(bpf.LINK_TYPES)


@pytest.mark.parametrize(
    "expression", ["udp port", "foo bar", "port 99999", "host 1.2.3.4.5", "ether[", "\n", "udp\x00", "ip and ip6"]
)
def test_what_libpcap_refuses_is_one_line(expression):
    if not expression.strip():
        assert bpf.compile_filter(expression) is None
        return
    with pytest.raises(ConfigError) as error:
        bpf.compile_filter(expression)
    assert re.match(r"filter .+: .+", str(error.value))
    assert "\n" not in str(error.value)


def test_the_policy_prints_toml():
    program = bpf.compile_one("udp port 5060")
    read = tomllib.loads("filter = " + policy.toml(program))["filter"]
    assert [tuple(item) for item in read] == program
