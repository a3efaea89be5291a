#!/usr/bin/env bash
# container/build.sh [OPTION…]: both images of this checkout, tagged VERSION. Options go to the builder (--no-cache,
# --platform linux/arm64, --build-arg DEBIAN=…).
#
# The same commit gives the same digest: every time stamp is SOURCE_DATE_EPOCH, by default the commit's. BUILDER names
# another buildah; IMAGE_PREFIX (default localhost/) goes before the names.
set -euo pipefail
cd "$(dirname "$0")/.."
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
revision=$(git rev-parse HEAD)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' dataplane/Cargo.toml | head -n 1)
[ -n "$version" ] || { echo "container/build.sh: dataplane/Cargo.toml names no version" >&2; exit 1; }
for name in lippycat-helper lippycatd; do
    ${BUILDER:-buildah} bud --format oci --layers --timestamp "$epoch" --target "$name" \
        --build-arg REVISION="$revision" \
        --label org.opencontainers.image.version="$version" --label org.opencontainers.image.revision="$revision" "$@" \
        --tag "${IMAGE_PREFIX:-localhost/}$name:$version" --file container/Containerfile .
done
