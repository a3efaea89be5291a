#!/usr/bin/env bash
# make lock: requirements/*.txt from what pyproject.toml, helper/pyproject.toml and requirements/*.in ask for.
#
# build.txt is installed first (what builds source distributions and this project), then run.txt and dev.txt.
# All are resolved for every platform (--universal) and hold the hashes of every file.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --custom-compile-command 'make lock' "$@"
}
compile requirements/build.in -o requirements/build.txt
compile pyproject.toml helper/pyproject.toml -c requirements/build.txt -o requirements/run.txt
compile requirements/dev.in -c requirements/run.txt -c requirements/build.txt -o requirements/dev.txt
