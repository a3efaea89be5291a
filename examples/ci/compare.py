"""compare.py EVE EXPECTED: whether exactly the expected rules alerted; 1 with one line each where not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

events = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
lines = (line.split("#")[0].strip() for line in Path(sys.argv[2]).read_text().splitlines())
expected = {int(line) for line in lines if line}
alerted = {event["alert"]["signature_id"] for event in events if event["event_type"] == "alert"}
counted = [event["stats"]["capture"] for event in events if event["event_type"] == "stats"]
dropped = counted[-1].get("kernel_drops", 0) if counted else None
wrong = [f"rule {sid} did not alert" for sid in sorted(expected - alerted)]
wrong += [f"rule {sid} alerted and was not expected to" for sid in sorted(alerted - expected)]
if dropped != 0:
    wrong.append(f"Suricata's own drop counter: {dropped}")
print("\n".join(wrong) or f"{len(expected)} of {len(expected)} rules alerted, no other, Suricata dropped nothing")
sys.exit(bool(wrong))
