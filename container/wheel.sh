#!/bin/sh
# wheel.sh DIRECTORY PROJECT: a wheel of the project, from what has been fetched.
set -eu
PATH=/venv/bin:$PATH MATURIN_PEP517_ARGS="--locked --offline" exec /venv/bin/pip wheel --quiet --no-deps \
    --no-build-isolation --no-index --wheel-dir "$1" "$2"
