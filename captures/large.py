"""One large capture for benchmarks: many overlapping calls, every tenth of them alice's."""

from __future__ import annotations

from pathlib import Path

from captures import files
from captures.call import Call
from captures.demo import USER, dialog
from captures.scene import MS, Scene
from captures.wire import Endpoint

TOGETHER = 200
"""calls that are made, sorted and written at a time"""


def write_large(path: Path, calls: int, seconds: float) -> int:
    """Write so many calls, TOGETHER of them overlapping, one group after the other; the number of packets."""
    total = 0
    with path.open("wb") as out:
        out.write(files.pcap([]))
        for first in range(0, calls, TOGETHER):
            scene = Scene()
            for number in range(first, min(first + TOGETHER, calls)):
                user = USER if number % 10 == 0 else f"user{number}"
                low = 10000 + 4 * (number % 10000)
                ends = Endpoint("192.0.2.11", low), Endpoint("192.0.2.21", low)
                start = int(first // TOGETHER * (seconds + 2) * 1000 + number % 100) * MS
                Call(scene, str(number), dialog(str(number), user, "bob"), ends, seconds=seconds).run(start)
            out.write(files.pcap(scene.packets())[24:])
            total += len(scene.frames)
    return total
