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
RUSTFLAGS="$flags" cargo build --quiet --release --manifest-path dataplane/fuzz/Cargo.toml \
    --target "$host" --target-dir "$target"
[ "$seconds" != 0 ] || exit 0

if [ $# = 0 ]; then
    mapfile -t targets < <(cd dataplane/fuzz/targets && ls -- *.rs | sed 's/\.rs$//')
    set -- "${targets[@]}"
fi
mkdir -p .setup/fuzz/artifacts

# fuzz NAME SECONDS LOG: one run of libFuzzer
fuzz() {
    "$target/$host/release/$1" ".setup/fuzz/corpus/$1" "dataplane/fuzz/corpus/$1" -max_total_time="$2" -timeout=1 \
        -rss_limit_mb=1024 -max_len=16384 -reload=0 -print_final_stats=1 -artifact_prefix=".setup/fuzz/artifacts/$1-" \
        > "$3" 2>&1
}

# starved NAME LOG: whether it was stopped for an input that alone is quick: libFuzzer's second is one of the clock on the
# wall, which other work on the machine can use up
starved() {
    local input
    input=$(sed -n 's/.*Test unit written to \(.*-timeout-[0-9a-f]*\)$/\1/p' "$2")
    [ -n "$input" ] || return 1
    timeout 20 "$target/$host/release/$1" -timeout=1 "$input" "$input" "$input" > /dev/null 2>&1 || return 1
    rm -f "$input"
}

failed=0
for name; do
    mkdir -p ".setup/fuzz/corpus/$name" "dataplane/fuzz/corpus/$name"
    log=.setup/fuzz/$name.$$.log # two runs do not share one
    runs=0 begun=$SECONDS status=0
    while left=$((seconds - SECONDS + begun)) && [ "$left" -gt 0 ] && [ $status = 0 ]; do
        fuzz "$name" "$left" "$log" || starved "$name" "$log" || status=1
        runs=$((runs + $(awk '/number_of_executed_units/ { n += $2 } END { print n + 0 }' "$log")))
    done
    mv -f "$log" ".setup/fuzz/$name.log"
    log=.setup/fuzz/$name.log
    if [ $status = 0 ]; then
        printf '%s %-17s %5s s  %10s runs  %6s inputs kept\n' "$(date -u +%FT%TZ)" "$name" "$seconds" "$runs" \
            "$(find ".setup/fuzz/corpus/$name" -type f | wc -l)" | tee -a .setup/fuzz/runs.log
    else
        failed=1
        printf '%s: FAILED, see %s\n' "$name" "$log"
        tail -n 25 "$log"
    fi
done
exit $failed
