#!/usr/bin/env bash
# Fuzzes every target, or the named ones, for TIME seconds each on one core, and prints the number of runs of each.
# Inputs that break a target are kept in tests/fuzz/regressions, which `cargo test` runs too. Usage: TIME=60 scripts/fuzz.sh [target…]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TIME=${TIME:-60}
readonly OUT=target/fuzz
# Ten seconds is thousands of times longer than an input takes. No target may need more memory than an isolate has; libFuzzer
# itself needs a few hundred megabytes.
readonly LIMITS=(-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=128 -max_len=8192)

triple=$(rustc -vV | sed -n 's/^host: //p')

printf 'building with nightly Rust and libFuzzer\n'
PATH="$PWD/.tools/bin:$PATH" cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$OUT" --sanitizer none
FUZZ_SEEDS="$PWD/$OUT/seeds" cargo test --locked --quiet --test fuzz_targets -- seeds_are_written >/dev/null

if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <(cd tests/fuzz/fuzz_targets && basename -s .rs -- *.rs); fi
failed=()
for target in "${targets[@]}"; do
    corpus=$OUT/corpus/$target
    regressions=tests/fuzz/regressions/$target
    mkdir -p "$corpus" "$regressions"
    log=$OUT/$target.log
    if "$OUT/$triple/release/$target" "$corpus" "$OUT/seeds/$target" "$regressions" "${LIMITS[@]}" \
        -max_total_time="$TIME" -print_final_stats=1 -artifact_prefix="$regressions/" >"$log" 2>&1; then
        verdict=ok
    else
        verdict="BROKEN, see $log and $regressions"
        failed+=("$target")
    fi
    rmdir --ignore-fail-on-non-empty "$regressions"
    stat() { sed -n "s/^stat::$1: *//p" "$log"; }
    covered=$(grep -oE 'cov: [0-9]+' "$log" | tail -n1 || true)
    printf '%-10s %10s executions %7s/s  %s edges  %4s MB  %s\n' "$target" "$(stat number_of_executed_units)" \
        "$(stat average_exec_per_sec)" "${covered#cov: }" "$(stat peak_rss_mb)" "$verdict"
done
[ ${#failed[@]} -eq 0 ] || { printf 'broken: %s\n' "${failed[*]}" >&2; exit 1; }
