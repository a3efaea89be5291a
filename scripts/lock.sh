#!/usr/bin/env bash
# make lock: requirements/*.txt from what pyproject.toml, helper/pyproject.toml and requirements/*.in ask for.
#
# build.txt is installed first (what builds source distributions and this project), then run.txt and dev.txt.
# All are resolved for every platform (--universal) and hold the hashes of every file. `UV=/path/to/uv` names another uv.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    "${UV:-.venv/bin/uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-emit-find-links --no-emit-package lippycat-helper --custom-compile-command 'make lock' "$@"
}
compile requirements/build.in -o requirements/build.txt
compile pyproject.toml requirements/local.in -c requirements/build.txt -o requirements/run.txt
compile requirements/dev.in -c requirements/run.txt -c requirements/build.txt -o requirements/dev.txt
