#!/usr/bin/env bash
# A configuration of the daemon with two pipelines; this checks it and starts nothing.
. "$(dirname "$0")/../lib.sh"
lippycatd --config "$root/examples/daemon/lippycatd.yaml" --check-config
