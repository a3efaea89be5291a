#!/usr/bin/env bash
# validate.sh CAPTURE RULES FOLDER: replays a capture onto lc0, lets Suricata read it with these rules, and compares.
#
# Ends with 0 when every rule that the file "expected" beside RULES names (one sid a line; default: all but those that a
# comment calls "must not") has alerted and no other one has. FOLDER gets Suricata's eve.json. As root.
. "$(dirname "$0")/../lib.sh"
capture=$1 rules=$2 folder=$3
expected=${EXPECTED:-$(dirname "$rules")/expected}
command -v suricata > /dev/null || { echo "missing: suricata (Debian 12: bookworm-backports)" >&2; exit 3; }
mkdir -p "$folder"
# what is not named here is Suricata's default; one thread is enough for a test
cat > "$folder/suricata.yaml" <<'YAML'
%YAML 1.1
---
vars:
  address-groups: {HOME_NET: "any", EXTERNAL_NET: "any"}
  port-groups: {SIP_PORTS: "5060"}
af-packet:
  - interface: lc0
    threads: 1
    cluster-id: 99
    cluster-type: cluster_flow
    tpacket-v3: yes
app-layer:
  protocols:
    sip: {enabled: yes}
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [{alert: {}}, sip, {stats: {totals: yes}}]
YAML
# the interface waits for Suricata, which takes some seconds to be ready
onto_lc0 "${DELAY:-15s}" -r "$capture"
ip netns exec "$NETNS" suricata -c "$folder/suricata.yaml" -S "$rules" -l "$folder" -k none -i lc0 > "$folder/log" 2>&1 &
ids=$!
trap 'kill "$run" "$ids" 2> /dev/null || true; rm -rf "$work"' EXIT
until grep -qs 'Engine started' "$folder/log" "$folder/suricata.log"; do
    kill -0 "$ids" || { cat "$folder/log" >&2; exit 1; }
    sleep 0.1
done
done_with_lc0
kill -INT "$ids"
wait "$ids" || { cat "$folder/log" >&2; exit 1; }
python3 "$root/examples/ci/compare.py" "$folder/eve.json" "$expected"
