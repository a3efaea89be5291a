#!/usr/bin/env bash
# kustomize.sh: print where kustomize 5 is, after building it where it is missing (about a minute, once a machine).
#
# It is a Go module: Go comes from PATH, else from Debian's backports. It is kept in LIPPYCAT_CACHE (/var/cache/lippycat).
set -euo pipefail
version=v5.6.0 go_minimum=1.22
cache=${LIPPYCAT_CACHE:-/var/cache/lippycat}/bin
program=$cache/kustomize-$version
if [ ! -x "$program" ]; then
    . "$(dirname "$0")/env.sh"
    new_enough() { at_least "$("$1" version 2> /dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p')" "$go_minimum"; }
    go=$(command -v go || true)
    if [ -z "$go" ] || ! new_enough "$go"; then
        go=$(printf '%s\n' /usr/lib/go-1.*/bin/go | sort -V | tail -n 1)
        if ! new_enough "$go"; then
            uri=$(sed -n 's/^URIs:[ ]*//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' \
                /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2> /dev/null | head -n 1)
            [ "$(id -u)" = 0 ] && [ -n "$uri" ] || { echo "kustomize.sh: needs Go $go_minimum or newer" >&2; exit 1; }
            list=$(mktemp --suffix .list)
            trap 'rm -f "$list"' EXIT
            echo "deb $uri bookworm-backports main" > "$list"
            {
                apt-get -q update
                apt-get -q -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::SourceList="$list" update
                DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dir::Etc::SourceParts=/dev/null \
                    -o Dir::Etc::SourceList="$list" install --no-install-recommends golang-1.23-go
                apt-get -q update
            } >&2
            go=/usr/lib/go-1.23/bin/go
        fi
    fi
    work=$(mktemp -d)
    GOBIN=$work GOPATH=$work/go GOFLAGS=-modcacherw "$go" install "sigs.k8s.io/kustomize/kustomize/v5@$version" >&2
    mkdir -p "$cache"
    mv "$work/kustomize" "$program"
    rm -rf "$work"
fi
echo "$program"
