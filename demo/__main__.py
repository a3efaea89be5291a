"""Replays captures/demo.pcap for one user onto lc0 in lc-ns, with tcpdump reading there, and compares with tshark.

Ends with 0 only when the frames that tcpdump saw are, byte for byte and in order, those that tshark alone selects, and
the metrics say the same number. Must run as root: it makes a namespace and a TAP device, and removes both.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from captures import files
from demo import oracle, show
from demo.live import NETNS, DemoError, Outcome, replay

ROOT = Path(__file__).resolve().parent.parent


def expected(capture: Path, user: str) -> list[bytes]:
    """The frames that tshark, without our code, says are the user's."""
    packets = files.read_pcap(capture.read_bytes())
    return [packets[number - 1][1] for number in oracle.extract(capture, user)]


def without(capture: Path, frame: bytes, target: Path) -> Path:
    """A copy of the capture that lacks one frame: the demo must then fail."""
    packets = files.read_pcap(capture.read_bytes())
    target.write_bytes(files.pcap([packet for packet in packets if packet[1] != frame], nano=True))
    return target


def verdict(outcome: Outcome, wanted: list[bytes]) -> list[str]:
    """What does not agree; empty when all does."""
    wrong = []
    if outcome.status:
        wrong.append(f"lippycat ended with {outcome.status}")
    if outcome.frames != wanted:
        both = zip(outcome.frames, wanted, strict=False)
        first = next((n for n, (a, b) in enumerate(both, 1) if a != b), min(len(outcome.frames), len(wanted)) + 1)
        counts = f"tcpdump saw {len(outcome.frames)} frames, tshark names {len(wanted)}"
        wrong.append(f"{counts}; they part at frame {first}")
    if outcome.kernel_drops:
        wrong.append(f"the kernel dropped {outcome.kernel_drops} frames before tcpdump")
    injected = outcome.metrics.get('lippycat_vif_injected_packets_total{vif="lc0"}')
    if injected != len(wanted):
        wrong.append(f"the metrics say {injected} frames were injected, tshark names {len(wanted)}")
    return wrong


def main() -> int:
    """Run the demo; 0 when both sides agree."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--capture", type=Path, default=ROOT / "captures" / "demo.pcap")
    parser.add_argument("--user", default="alice")
    parser.add_argument("--netns", default=NETNS, help="the namespace to make (%(default)s)")
    parser.add_argument("--suppress", type=int, metavar="N", help="leave out the N-th expected frame: it must fail")
    given = parser.parse_args()
    if os.geteuid():
        print("demo: root is needed to make the namespace and the device; run: sudo make demo", file=sys.stderr)
        return 3
    wanted = expected(given.capture, given.user)
    show.expectation(given.capture, given.user, wanted)
    with tempfile.TemporaryDirectory(prefix="lippycat-demo-") as scratch:
        capture = given.capture
        if given.suppress:
            capture = without(capture, wanted[given.suppress - 1], Path(scratch) / "input.pcap")
        try:
            outcome = replay(ROOT / ".venv" / "bin" / "lippycat", capture, given.user, Path(scratch), given.netns)
        except DemoError as error:
            print(f"demo: {error}", file=sys.stderr)
            return 1
        show.outcome(outcome)
    wrong = verdict(outcome, wanted)
    for line in wrong:
        print(f"demo: FAILED: {line}", file=sys.stderr)
    if not wrong:
        print(f"\nThe same {len(wanted)} frames, byte for byte and in order.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
