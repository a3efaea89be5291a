#!/usr/bin/env bash
# Any program that reads an interface sees the chosen calls, and only them: here tcpdump. As root.
. "$(dirname "$0")/../lib.sh"
onto_lc0 3s -r "$root/captures/demo.pcap" --sipuser alice
ip netns exec "$NETNS" tcpdump -n -i lc0 -B 65536 -U -Z root -w "$work/seen.pcap" 2> "$work/log" &
reader=$!
done_with_lc0
kill -INT "$reader" 2> /dev/null || true
wait "$reader" || true
grep 'dropped by kernel' "$work/log"
echo "packets: $(packets "$work/seen.pcap")"
