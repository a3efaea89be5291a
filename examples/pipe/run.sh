#!/usr/bin/env bash
# Between two other programs: standard input and output, compressed or not. Undecided frames wait at most --hold-time.
. "$(dirname "$0")/../lib.sh"
zcat "$root/captures/call.pcap.gz" |
    lippycat sniff voip -q -r - --sipuser alice -w - |
    tshark -n -r - -Y sip -T fields -e sip.Method -e sip.Status-Code | tee "$work/messages"
grep -q '^INVITE' "$work/messages" && grep -q '^BYE' "$work/messages"
