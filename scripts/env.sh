# Sourced by the Makefile and the scripts: where the tools of this checkout are.
#
# A Rust toolchain that is too old (or missing) in PATH gives way to the system's own one in /usr/bin, which
# scripts/setup.sh installs; promtool may have been unpacked into .setup/bin.

RUST_MINIMUM=1.85
PYTHON_MINIMUM=3.11

# at_least VERSION MINIMUM: whether a dotted version is not lower than the minimum
at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# rust_version DIRECTORY: the version of DIRECTORY/rustc, or nothing where cargo or rustc is missing
rust_version() {
    [ -x "$1/cargo" ] && [ -x "$1/rustc" ] && "$1/rustc" --version 2>/dev/null | awk '{ print $2 }'
}

# rust_directory: the first directory that holds a cargo and a rustc which are new enough
rust_directory() {
    local directory
    for directory in "$(dirname "$(command -v cargo || echo /usr/bin/cargo)")" "$HOME/.cargo/bin" /usr/bin; do
        if at_least "$(rust_version "$directory")" "$RUST_MINIMUM"; then
            echo "$directory"
            return 0
        fi
    done
    return 1
}

LIPPYCAT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH="$LIPPYCAT_ROOT/.setup/bin:$PATH:/usr/sbin:/sbin"
if rust=$(rust_directory) && [ "$(command -v cargo)" != "$rust/cargo" ]; then
    export PATH="$rust:$PATH"
fi
unset rust
