#!/usr/bin/env bash
# Wireshark's capture program reads lc0; what it dropped, by its own statistics, must be nothing. As root.
. "$(dirname "$0")/../lib.sh"
onto_lc0 4s -r "$root/captures/demo.pcap" --sipuser alice
ip netns exec "$NETNS" dumpcap -q -B 64 -i lc0 -w "$work/seen.pcapng" 2> "$work/log" &
reader=$!
done_with_lc0
pkill -INT -P "$reader" 2> /dev/null || kill -INT "$reader" 2> /dev/null || true
wait "$reader" || true
grep 'Packets received/dropped' "$work/log"
grep -q '/0 (pcap:0/' "$work/log" || { echo "dumpcap dropped packets" >&2; exit 1; }
echo "packets: $(packets "$work/seen.pcapng")"
tshark -n -r "$work/seen.pcapng" -q -z rtp,streams | sed -n 1,6p
