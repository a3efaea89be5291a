#!/usr/bin/env bash
# make install [DESTDIR=…] [UNITDIR=…]: the programs with an environment of their own below /usr/lib/lippycat, units,
# policy, configuration, man pages and completions. A configuration that is there already stays.
#
# The environment is a virtual environment of /usr/bin/python3; it holds what requirements/run.txt locks. Nothing is
# started. Without DESTDIR the users are made, and systemd reads the units. NO_COMPILE=1 leaves byte code to others.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
umask 022

destination=${DESTDIR:-}
unit_directory=${UNITDIR:-/lib/systemd/system}
system_python=/usr/bin/python3
environment=$destination/usr/lib/lippycat

fail() { printf 'install: %s\n' "$*" >&2; exit 1; }
put() { install -D -m "$1" "$2" "$destination$3"; }
# keep MODE FILE PLACE: a file that administrators change
keep() { [ -e "$destination$3" ] || put "$1" "$2" "$3"; }

[ -n "$destination" ] || [ "$(id -u)" = 0 ] || fail "run it as root, or with DESTDIR=DIRECTORY"
"$system_python" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MINIMUM/./, }))" ||
    fail "$system_python must be Python $PYTHON_MINIMUM or newer"

rm -rf build/wheels helper/build # setuptools would take old files from there
mkdir -p build/wheels
wheels() { # of what is locked, and of this project
    PATH="$PWD/.venv/bin:$PATH" MATURIN_PEP517_ARGS=--locked .venv/bin/python -m pip wheel --quiet \
        --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheels "$@"
}
wheels --require-hashes -r requirements/run.txt
wheels . ./helper

rm -rf "$environment"
"$system_python" -m venv --without-pip --symlinks "$environment"
.venv/bin/python -m pip --python "$environment/bin/python" --quiet --disable-pip-version-check \
    install --no-compile --no-index --no-deps build/wheels/*.whl

ln -sfn "../../../bin/python3" "$environment/bin/python3"
# What carries the path of the build, or is of no use here.
sed -i '/^command = /d' "$environment/pyvenv.cfg"
find "$environment/bin" -mindepth 1 ! -name 'python*' -delete
rm -rf "$environment/include" "$environment/lib64" "$environment"/lib/python3*/site-packages/bin
find "$environment" \( -name RECORD -o -name direct_url.json -o -name INSTALLER -o -name REQUESTED \) -delete
find "$environment" -name tests -type d -prune -exec rm -rf {} +
find "$environment" -name '*.so' -exec strip --strip-unneeded {} +
find "$environment" -type f -exec chmod a-x,a+r {} +

# program NAME MODULE FUNCTION
program() {
    printf '#!/usr/lib/lippycat/bin/python -I\nimport sys\n\nfrom %s import %s\n\nsys.exit(%s())\n' "$2" "$3" "$3" \
        > "$environment/bin/$1"
    chmod 755 "$environment/bin/$1"
}
program lippycat lippycatd.cli main
program lippycatd lippycatd.daemon main
program lippycat-relay lippycatd.relay main
program lippycat-helper lippycat_helper.__main__ main
program lippycat-reader lippycat_helper.reader main
program lippycat-egress lippycat_helper.egress main
mkdir -p "$destination/usr/bin"
for name in lippycat lippycatd lippycat-relay; do ln -sfn "../lib/lippycat/bin/$name" "$destination/usr/bin/$name"; done
ln -sfn lippycat "$destination/usr/bin/lc"
[ -n "${NO_COMPILE:-}" ] || "$environment/bin/python" -m compileall -q -j 0 -s "$destination" "$environment/lib"

for unit in systemd/*.service systemd/*.socket; do put 644 "$unit" "$unit_directory/$(basename "$unit")"; done
put 644 systemd/lippycat.sysusers /usr/lib/sysusers.d/lippycat.conf
put 644 systemd/lippycat.tmpfiles /usr/lib/tmpfiles.d/lippycat.conf
put 644 systemd/lippycat.udev /usr/lib/udev/rules.d/70-lippycat.rules
put 644 systemd/90-lippycat.preset /usr/lib/systemd/system-preset/90-lippycat.preset
keep 644 helper/helper.toml.example /etc/lippycat/helper.toml
keep 644 systemd/lippycatd.yaml /etc/lippycat/lippycatd.yaml
keep 644 systemd/relay.yaml /etc/lippycat/relay.yaml

rm -rf build/pages
"$PWD/.venv/bin/python" scripts/make_pages.py build/pages
for page in build/pages/*.[158]; do put 644 "$page" "/usr/share/man/man${page##*.}/$(basename "$page")"; done
for page in build/pages/*.[158]; do gzip -9nf "$destination/usr/share/man/man${page##*.}/$(basename "$page")"; done
put 644 build/pages/lippycat.bash /usr/share/bash-completion/completions/lippycat
put 644 build/pages/_lippycat /usr/share/zsh/vendor-completions/_lippycat
put 644 build/pages/lippycat.fish /usr/share/fish/vendor_completions.d/lippycat.fish

if [ -z "$destination" ]; then
    systemd-sysusers lippycat.conf
    if [ -d /run/systemd/system ]; then
        systemd-tmpfiles --create lippycat.conf
        systemctl daemon-reload
    fi
    echo "install: done; systemctl preset lippycat-helper-capture.socket, then systemctl start lippycatd"
fi
