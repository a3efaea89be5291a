#!/usr/bin/env bash
# The totals of a run as Prometheus reads them: promtool checks the page.
. "$(dirname "$0")/../lib.sh"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
lippycat sniff voip -q -r "$root/captures/demo.pcap" --sipuser alice -w "$work/alice.pcap" \
    --metrics-listen "127.0.0.1:$port" --metrics-linger 3s &
run=$!
until lippycat debug metrics --url "http://127.0.0.1:$port/metrics" > "$work/page" 2> /dev/null &&
    grep -q '^lippycat_packets_in_total.* 3187$' "$work/page"; do kill -0 "$run"; sleep 0.2; done
python3 -c "import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1]).read())" "http://127.0.0.1:$port/metrics" > "$work/page"
promtool check metrics < "$work/page"
grep -E '^lippycat_(packets_(in|selected)_total|sink_written_packets_total)' "$work/page"
done_with_lc0
