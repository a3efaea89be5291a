"""Puts three frames of its own onto lc0."""

from __future__ import annotations

import sys

from lippycatd.sinks import vif

FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5") + b"hello".ljust(50, b"\0")

with vif.open("lc0", netns=sys.argv[1]) as lc0:
    print(f"read it with: {lc0.hint}")
    lc0.inject([FRAME] * 3)
    print(f"written: {lc0.close().written}")
