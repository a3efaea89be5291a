#!/usr/bin/env bash
# One user's calls out of a capture of many: signalling, media, everything of them, and nothing of anybody else's.
. "$(dirname "$0")/../lib.sh"
lippycat sniff voip -q -r "$root/captures/demo.pcap" --sipuser alice -w "$work/alice.pcap"
echo "packets: $(packets "$work/alice.pcap") of $(packets "$root/captures/demo.pcap")"
tshark -n -r "$work/alice.pcap" -q -z sip,stat
