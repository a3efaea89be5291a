#!/usr/bin/env bash
# make setup: install what is missing, build the project, put the commands into .venv/bin.
#
# Each step leaves a stamp in .setup/ that names the hash of what the step depends on, so that a second run is quick.
# As root on Debian the missing packages are installed; otherwise it says exactly what to install, and ends.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
mkdir -p .setup

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# hash PATH...: one hash over the names and contents of all files below the paths
hash() {
    find "$@" -name target -prune -o -name __pycache__ -prune -o -name '*.egg-info' -prune -o -type f -print0 |
        sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}
done_before() { [ "$(cat ".setup/$1.stamp" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s\n' "$2" > ".setup/$1.stamp"; }

# python: the system's interpreter where it is new enough (it stays reachable after the drop of privileges)
python() {
    local candidate
    for candidate in /usr/bin/python3 python3; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MINIMUM/./, }))" 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# missing: the Debian packages whose programs or headers are not here
missing() {
    local python=$1
    present() { command -v "$1" > /dev/null || echo "$2"; }
    present g++ g++
    present tshark tshark
    present capinfos tshark
    present editcap tshark
    present tcpdump tcpdump
    present tcpreplay tcpreplay
    present sngrep sngrep
    present kamailio kamailio
    present sipp sip-tester
    present ip iproute2
    present nft nftables
    present ps procps
    present zstd zstd
    present strip binutils
    present dpkg-shlibdeps dpkg-dev
    present lintian lintian
    present man man-db
    present debootstrap debootstrap
    present podman podman
    present buildah buildah
    present crun crun
    present slirp4netns slirp4netns
    present catatonit catatonit
    present systemd-nspawn systemd-container
    present systemd-analyze systemd
    [ -e /etc/services ] || echo netbase
    [ -e /usr/include/pcap.h ] || echo libpcap-dev
    [ -e /usr/include/sys/capability.h ] || echo libcap-dev
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    "$python" -c 'import ensurepip, venv' 2> /dev/null || echo python3-venv
    "$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        echo python3-dev
    if rust_directory > /dev/null; then
        present cargo-fmt rustfmt-web
        present cargo-clippy rust-web-clippy
    else
        printf '%s\n' cargo-web rustc-web rustfmt-web rust-web-clippy
    fi
}

install_packages() {
    local packages=("$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null || fail "missing: ${packages[*]} (Debian's names); install them and run this again"
    [ "$(id -u)" = 0 ] ||
        fail "missing packages; run: sudo apt-get install --no-install-recommends ${packages[*]}"
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y install --no-install-recommends "${packages[@]}" > .setup/apt.log 2>&1 < /dev/null ||
        { tail -n 20 .setup/apt.log >&2; fail "apt-get failed; the log is .setup/apt.log"; }
}

# promtool and prometheus come in one package, which would start a service: only the programs are unpacked
install_prometheus() {
    command -v promtool > /dev/null && command -v prometheus > /dev/null && return 0
    command -v apt-get > /dev/null || fail "missing: Debian's package prometheus; install it and run this again"
    say "unpacking prometheus and promtool"
    local work
    work=$(mktemp -d)
    (cd "$work" && { apt-get -qq download prometheus 2> /dev/null || { apt-get -qq update && apt-get -qq download prometheus; }; }) ||
        fail "prometheus is missing and cannot be fetched; run: sudo apt-get install prometheus"
    dpkg-deb --fsys-tarfile "$work"/prometheus_*.deb | tar -x -C "$work" ./usr/bin/promtool ./usr/bin/prometheus
    install -D -t .setup/bin "$work/usr/bin/promtool" "$work/usr/bin/prometheus"
    rm -rf "$work"
}

# suricata: version 7 is in Debian 12's backports alone; their address is that of this machine's own package source.
# Only tests of the examples need it: where it cannot be had, they say so and are skipped.
install_suricata() {
    command -v suricata > /dev/null && return 0
    if [ "$(id -u)" != 0 ] || ! grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release; then return 0; fi
    say "installing suricata from bookworm-backports"
    local sources uri made_policy=''
    sources=$(mktemp -d)
    cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$sources/" 2> /dev/null || true
    uri=$(cat /etc/apt/sources.list "$sources"/* 2> /dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)*\([^ ]*\) .*/\2/p' | grep -E '/debian/?$' | head -n 1) || true
    if [ -n "$uri" ]; then
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri bookworm-backports main" > "$sources/backports.list"
        chmod -R a+rX "$sources"
        # its package would start a service
        [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; made_policy=yes; }
        local apt=(apt-get -qq -o "Dir::Etc::SourceParts=$sources" -o DPkg::Lock::Timeout=300)
        { "${apt[@]}" update && DEBIAN_FRONTEND=noninteractive "${apt[@]}" -y install --no-install-recommends -t bookworm-backports suricata; } \
            > .setup/suricata.log 2>&1 < /dev/null || true
        [ -z "$made_policy" ] || rm -f /usr/sbin/policy-rc.d
        rm -f /etc/systemd/system/multi-user.target.wants/suricata.service  # nor at the next boot
    fi
    rm -rf "$sources"
    command -v suricata > /dev/null || say "suricata cannot be had here (.setup/suricata.log): its examples are not run"
}

step_system() {
    local python packages
    python=$(python) || python=/usr/bin/python3
    [ -x "$python" ] || install_packages python3
    mapfile -t packages < <(missing "$python" | sort -u)
    install_packages "${packages[@]}"
    mapfile -t packages < <(missing "$python" | sort -u)
    [ ${#packages[@]} = 0 ] || fail "still missing after the installation: ${packages[*]}"
    install_prometheus
    install_suricata
}

step_venv() {
    local python key
    python=$(python) || fail "Python $PYTHON_MINIMUM or newer is needed; on Debian 12: apt-get install python3"
    key="$("$python" -VV | tr '\n' ' ')$(hash requirements)"
    if done_before venv "$key" && .venv/bin/python -c '' 2> /dev/null; then return 0; fi
    say "making .venv with $python"
    rm -rf .venv .setup/build.stamp .setup/helper.stamp
    "$python" -m venv .venv
    local install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes)
    "${install[@]}" -r requirements/build.txt
    "${install[@]}" --no-build-isolation -r requirements/run.txt -r requirements/dev.txt
    stamp venv "$key"
}

step_build() {
    local key
    key=$(hash pyproject.toml dataplane)
    if done_before build "$key" && ls lippycatd/_dataplane*.so > /dev/null 2>&1; then return 0; fi
    say "building lippycatd (release)"
    PATH="$PWD/.venv/bin:$PATH" MATURIN_PEP517_ARGS=--locked .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable . || fail "building lippycatd failed"
    ls lippycatd/_dataplane*.so > /dev/null || fail "the build left no lippycatd/_dataplane*.so"
    stamp build "$key"
}

step_helper() {
    local key
    key=$(hash helper/pyproject.toml)
    if done_before helper "$key"; then return 0; fi
    say "installing lippycat-helper"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --no-deps --no-build-isolation --editable ./helper || fail "installing helper/ failed"
    stamp helper "$key"
}

# one run at a time in a checkout: the second waits and then finds everything done
exec 9> .setup/lock
if command -v flock > /dev/null && ! flock --nonblock 9; then
    say "another run is at work here: waiting for it"
    flock 9
fi

step_system
step_venv
step_helper
step_build
say "ready: $(cd .venv/bin && ls -d lippycat lc lippycatd lippycat-helper lippycat-relay | tr '\n' ' ')in .venv/bin"
