"""What is measured: lippycat, the core's own loops, and the peers that this machine has."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Row, reader, veth

ROOT = Path(__file__).resolve().parent.parent
LIPPYCAT = str(ROOT / ".venv" / "bin" / "lippycat")
NETNS = "lc-bench"
VETH_NETNS = "lc-bench-veth"


@dataclass(frozen=True)
class Capture:
    """A capture of a benchmark: where it lies, its packets, and a pattern for a tenth of its users."""

    path: Path
    packets: int
    tenth: str


def onto(*, wait: str = "0s") -> list[str]:
    """The options that send to a device."""
    return ["-V", "--vif-required", "--vif-netns", NETNS, "--vif-startup-delay", wait]


def sniff(capture: Path, *options: str, voip: bool = True) -> list[str]:
    """One lippycat command."""
    return [LIPPYCAT, "sniff", *(["voip"] if voip else []), "-r", str(capture), "-q", *options]


def lippycat_rows(capture: Capture, empty: Path, scratch: Path, *, root: bool) -> list[Row]:
    """The product: to nowhere, to a file, and onto a device."""
    tenth = ["--sipuser", capture.tenth]
    out = ["-w", str(scratch / "out.pcap")]

    def row(name: str, *options: str, voip: bool = True) -> Row:
        commands = (sniff(path, *options, voip=voip) for path in (capture.path, empty))
        return Row(name, next(commands), capture.packets, next(commands))

    rows = [
        row("lippycat: a user that nobody is, to a file", "--sipuser", "nobody-is-called-so", *out),
        row("lippycat: a tenth, to a file", *tenth, *out),
        row("lippycat: everything, to a file", *out, voip=False),
    ]
    if root:
        rows += [
            row("lippycat: a tenth, to a TAP", *tenth, *onto()),
            row("lippycat: everything, to a TAP", *onto(), voip=False),
            row("lippycat: everything followed, to a TAP", *onto()),
        ]
        beside = row("lippycat: everything, to a TAP with a reader", *onto(wait="2s"), voip=False)
        beside.beside = functools.partial(reader, netns=NETNS, device="lc0", seen=scratch / "seen.pcap")
        rows.append(beside)
    return rows


def whole_call_rows(capture: Capture, empty: Path, scratch: Path, *, root: bool) -> list[Row]:
    """The file of overlapping calls whose truth is known: one user's calls, to a file and also to a TAP."""
    chosen = ["--sipuser", capture.tenth]
    sinks = {"to a file": ["-w", str(scratch / "calls-out.pcap")]}
    if root:
        sinks["to a TAP"] = onto()
        sinks["to both"] = sinks["to a file"] + onto()
    return [
        Row(
            f"lippycat: one user's 80 calls of 2000, {name}",
            sniff(capture.path, *chosen, *options),
            capture.packets,
            sniff(empty, *chosen, *options),
        )
        for name, options in sinks.items()
    ]


def peer_rows(capture: Capture, empty: Path, scratch: Path, *, root: bool) -> list[Row]:
    """The peers that are installed here."""
    path, out = str(capture.path), str(scratch / "peer.pcap")
    commands = {
        "tcpdump: port 5060, to a file (the floor)": ["tcpdump", "-r", "{}", "-w", out, "-Z", "root", "port 5060"],
        "sngrep: all dialogs": ["sngrep", "-N", "-q", "-I", "{}", "-O", out],
        "tshark: SIP": ["tshark", "-n", "-r", "{}", "-Y", "sip"],
        "tshark: RTP streams": ["tshark", "-n", "-r", "{}", "-q", "-z", "rtp,streams"],
    }
    rows = []
    for name, command in commands.items():
        if shutil.which(command[0]):
            full, none = ([part.format(file) for part in command] for file in (path, empty))
            rows.append(Row(name, full, capture.packets, none, slow=command[0] == "sngrep"))
    if root and shutil.which("tcpreplay"):
        send = ["ip", "netns", "exec", VETH_NETNS, "tcpreplay", "-q", "-t", "-i", "v0"]
        place = functools.partial(veth, VETH_NETNS)
        rows.append(Row("tcpreplay: streaming, to a veth", [*send, path], capture.packets, place=place))
        rows.append(Row("tcpreplay: preloaded, to a veth", [*send, "-K", path], capture.packets, place=place))
    return rows
