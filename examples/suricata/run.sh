#!/usr/bin/env bash
# Suricata 7 reads lc0 live and alerts on what its rules name. As root, with Debian's suricata (bookworm-backports).
. "$(dirname "$0")/../lib.sh"
"$root/examples/ci/validate.sh" "$root/captures/attacks.pcap" "$root/examples/suricata/sip.rules" "$work"
python3 - "$work/eve.json" <<'PYTHON'
import collections, json, sys

events = [json.loads(line) for line in open(sys.argv[1])]
alerts = collections.Counter(e["alert"]["signature"] for e in events if e["event_type"] == "alert")
for signature, times in sorted(alerts.items()):
    print(f"alert: {signature}: {times}")
print("sip transactions:", sum(e["event_type"] == "sip" for e in events))
PYTHON
