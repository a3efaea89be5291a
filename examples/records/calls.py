"""Prints one line for each call of a file of records."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

records = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
streams = [each for each in records if each["type"] == "stream"]
for call in (each for each in records if each["type"] == "call"):
    seconds = Decimal(call["end"] or call["ts"]) - Decimal(call["start"])
    rated = [s["mos"] for s in streams if s["call_id"] == call["call_id"] and s["mos"] is not None]
    worst = f"worst MOS {min(rated)}" if rated else "no media rated"
    print(f"{call['from_user']} -> {call['to_user']}: {call['state']}, {seconds:.1f} s, {worst}")
