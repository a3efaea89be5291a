#!/usr/bin/env bash
# What was seen, as records: one JSON object a line. Here: each call with its state, its length and its worst stream.
. "$(dirname "$0")/../lib.sh"
lippycat sniff voip -r "$root/captures/demo.pcap" --sipuser alice --format json > "$work/records" 2> "$work/log"
python3 "$root/examples/records/calls.py" "$work/records"
