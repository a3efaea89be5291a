#!/usr/bin/env bash
# The virtual interface from Python: frames of one's own onto lc0. As root, or with the helper's service.
. "$(dirname "$0")/../lib.sh"
"$root/.venv/bin/python" "$root/examples/python-api/inject.py" "$NETNS"
