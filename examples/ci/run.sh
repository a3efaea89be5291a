#!/usr/bin/env bash
# An intrusion detection system is validated: a capture of known attacks onto lc0, and every rule must alert. As root.
. "$(dirname "$0")/../lib.sh"
"$root/examples/ci/validate.sh" "$root/captures/attacks.pcap" "$root/examples/suricata/sip.rules" "$work"
