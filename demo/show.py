"""What the demo prints."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from demo import oracle
from demo.live import DEVICE, Outcome

SHOWN = (
    "lippycat_packets_in_total",
    "lippycat_packets_selected_total",
    "lippycat_packets_filtered_total",
    "lippycat_packets_held",
    "lippycat_packets_dropped_total",
    "lippycat_sink_offered_packets_total",
    "lippycat_sink_written_packets_total",
    "lippycat_sink_queued_packets",
    "lippycat_sink_dropped_packets_total",
    "lippycat_vif_injected_packets_total",
    "lippycat_vif_injected_bytes_total",
    "lippycat_calls_total",
    "lippycat_sip_messages_total",
)


def digest(frames: list[bytes]) -> str:
    """One hash over the hashes of all frames, in order."""
    whole = hashlib.sha256()
    for frame in frames:
        whole.update(hashlib.sha256(frame).digest())
    return whole.hexdigest()


def expectation(capture: Path, user: str, frames: list[bytes]) -> None:
    """The side that knows nothing of our code."""
    print(f"The calls of {user} in {capture.name}.\n")
    print("tshark alone, in two passes over the file:")
    print(f"  {len(frames)} frames  sha256 {digest(frames)}")


def outcome(result: Outcome) -> None:
    """Our side: the command, what tcpdump saw, which calls that was, and the metrics."""
    print(f"\n{shlex.join(result.command)}")
    for line in result.printed.splitlines():
        print(f"  | {line}")
    print(f"\ntcpdump on {DEVICE} ({result.kernel_drops} dropped by the kernel):")
    print(f"  {len(result.frames)} frames  sha256 {digest(result.frames)}\n")
    for row in oracle.fields(result.seen, 'sip.Method == "INVITE" || sip.Method == "REGISTER"', CALL):
        print("  frame {:>5}  {} {} -> {}  {}".format(*(" ".join(dict.fromkeys(row[name])) for name in CALL)))
    print("\nmetrics:")
    for name, value in result.metrics.items():
        if name.partition("{")[0] in SHOWN:
            print(f"  {name} {value:g}")


CALL = ("frame.number", "sip.Method", "sip.from.user", "sip.to.user", "sip.Call-ID")
