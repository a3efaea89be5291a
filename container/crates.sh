#!/bin/sh
# crates.sh DIRECTORY: fetch what dataplane/Cargo.lock names, and leave there what it is (metadata.json, the host's triple).
set -eu
if [ -s /run/secrets/ca.crt ]; then export CARGO_HTTP_CAINFO=/run/secrets/ca.crt; fi
mkdir -p "$1"
cargo fetch --quiet --locked --manifest-path dataplane/Cargo.toml
cargo metadata --locked --offline --format-version 1 --manifest-path dataplane/Cargo.toml \
    --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" > "$1/metadata.json"
