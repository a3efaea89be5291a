# Sourced by each example: the checkout's commands, a scratch folder, and lippycat onto lc0 in the background.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$root/.venv/bin:$root/.setup/bin:$PATH"
work=$(mktemp -d)
chmod 755 "$work"
NETNS=${NETNS:-lc-ns}
run=''
trap '[ -z "$run" ] || kill "$run" 2> /dev/null || true; rm -rf "$work"' EXIT

# onto_lc0 DELAY ARGUMENTS...: starts lippycat sniff voip onto lc0; returns when the interface is up
onto_lc0() {
    local delay=$1
    shift
    lippycat sniff voip -q --virtual-interface --vif-required --vif-netns "$NETNS" --vif-startup-delay "$delay" "$@" &
    run=$!
    until ip -n "$NETNS" link show lc0 up 2> /dev/null | grep -q lc0; do
        kill -0 "$run" || { wait "$run"; exit 1; }
        sleep 0.05
    done
}
# done_with_lc0: waits for its end; fails as it failed
done_with_lc0() { local status=0; wait "$run" || status=$?; run=''; return "$status"; }
packets() { capinfos -T -M -r -c "$1" | awk '{ print $NF }'; }
