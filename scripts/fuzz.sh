#!/usr/bin/env bash
# fuzz.sh [SECONDS] [TARGET…]: run the fuzz targets, so many seconds each (5 unless told otherwise), one after the other.
#
# The stable toolchain is enough: the flags are cargo-fuzz's own without a sanitizer. What was found interesting stays in
# .setup/fuzz/corpus, so the next run goes on from there; dataplane/fuzz/corpus holds the small seeds of the repository
# (scripts/fuzz_seeds.py makes more from captures). A failure leaves its input in .setup/fuzz/artifacts and ends with 1.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

seconds=${1:-5}
shift || true
host=$(rustc -vV | sed -n 's/^host: //p')
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
flags="$flags -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
flags="$flags -Cdebug-assertions -Coverflow-checks"
target=.setup/fuzz/target
RUSTFLAGS="$flags" cargo build --quiet --release --locked --manifest-path dataplane/fuzz/Cargo.toml \
    --target "$host" --target-dir "$target"
[ "$seconds" != 0 ] || exit 0

if [ $# = 0 ]; then
    mapfile -t targets < <(cd dataplane/fuzz/targets && ls -- *.rs | sed 's/\.rs$//')
    set -- "${targets[@]}"
fi
mkdir -p .setup/fuzz/artifacts
failed=0
for name; do
    mkdir -p ".setup/fuzz/corpus/$name" "dataplane/fuzz/corpus/$name"
    log=.setup/fuzz/$name.log
    if "$target/$host/release/$name" ".setup/fuzz/corpus/$name" "dataplane/fuzz/corpus/$name" \
        -max_total_time="$seconds" -timeout=1 -rss_limit_mb=1024 -max_len=16384 -reload=0 -print_final_stats=1 \
        -artifact_prefix=".setup/fuzz/artifacts/$name-" > "$log" 2>&1; then
        printf '%s %-17s %5s s  %10s runs  %6s inputs kept\n' "$(date -u +%FT%TZ)" "$name" "$seconds" \
            "$(awk '/number_of_executed_units/ { print $2 }' "$log")" "$(ls ".setup/fuzz/corpus/$name" | wc -l)" |
            tee -a .setup/fuzz/runs.log
    else
        failed=1
        printf '%s: FAILED, see %s\n' "$name" "$log"
        tail -n 25 "$log"
    fi
done
exit $failed
