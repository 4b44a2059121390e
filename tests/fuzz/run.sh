#!/usr/bin/env bash
# Fuzzes every reader of bytes from outside: `tests/fuzz/run.sh [seconds per target] [target...]`,
# ten minutes for each target unless told otherwise, as many at a time as there are processors.
#
# Needs the stable Rust of this repository and a C++ compiler, nothing else: the coverage counters
# are passed to stable rustc as LLVM flags, and without `unsafe` there is little for a sanitizer to
# find. New inputs are collected in target/fuzz/corpus, findings in target/fuzz/findings; a finding
# that is understood is copied to tests/fuzz/corpus/<target>, where `cargo test` replays it.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-600}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in tests/fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

readonly CARGO_FUZZ=0.13.2 OUT=$PWD/target/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
export PATH="$PWD/target/tools/bin:$PATH"
cargo fuzz --version 2>/dev/null ||
    cargo install --locked --debug --root target/tools "cargo-fuzz@$CARGO_FUZZ"

# The dependencies that are fuzzed are those that ship.
cp Cargo.lock tests/fuzz/Cargo.lock
if [ ${#targets[@]} -eq 1 ]; then only=("${targets[0]}"); else only=(); fi
cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$OUT" --sanitizer none --strip-dead-code true "${only[@]}"

fuzz() { # fuzz <target>
    local target=$1 status=0
    local corpus=$OUT/corpus/$target findings=$OUT/findings/$target/ log=$OUT/logs/$target
    mkdir -p "$corpus" "$findings" "$OUT/logs"
    # The first folder takes what is new; the kept seeds are only read.
    "$OUT/$host/release/$target" "$corpus" "tests/fuzz/corpus/$target" \
        -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$findings" -print_final_stats=1 >"$log" 2>&1 || status=$?
    awk -v target="$target" -v status="$status" '
        / INITED /                             { begun = $4 }
        / cov: /                               { for (i = 1; i < NF; i++) if ($i == "cov:") ended = $(i + 1) }
        /^stat::number_of_executed_units:/     { runs = $2 }
        /^stat::new_units_added:/              { new = $2 }
        /^stat::peak_rss_mb:/                  { memory = $2 }
        END {
            printf "%-14s %12d runs  coverage %6d -> %6d  %5d new inputs  %4d MB  %s\n",
                target, runs, begun, ended, new, memory, status == 0 ? "nothing found" : "FOUND SOMETHING"
        }' "$log"
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" | cut -c1-400 >&2
        echo "$target: the input is in $findings" >&2
    fi
    return "$status"
}
export -f fuzz
export seconds OUT host

printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I{} bash -c 'set -uo pipefail; fuzz {}'
