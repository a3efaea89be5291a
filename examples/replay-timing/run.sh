#!/usr/bin/env bash
# As captured, or faster: the time between packets is kept. Here a second and a half of a call, ten times as fast. As root.
. "$(dirname "$0")/../lib.sh"
onto_lc0 2s -r "$root/captures/call.pcap.gz" --sipuser alice --vif-replay-timing --vif-replay-speed 10
ip netns exec "$NETNS" tcpdump -n -i lc0 -B 65536 -U -Z root -w "$work/seen.pcap" 2> "$work/log" &
reader=$!
done_with_lc0
kill -INT "$reader" 2> /dev/null || true
wait "$reader" || true
capinfos -T -M -r -c -u "$work/seen.pcap"
