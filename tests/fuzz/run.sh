#!/usr/bin/env bash
# Fuzzes every reader of bytes from outside, as many targets at a time as there are processors:
#
#   tests/fuzz/run.sh [seconds] [target...]   each target for so long: ten minutes unless told otherwise
#   tests/fuzz/run.sh --brief [target...]     5,000 runs of each target that repeats itself
#
# The brief run makes the same inputs each time, so what it says of a commit does not change. Left
# out of it, unless named: `api` and `ingest`, which go through the AWS SDK. That draws ids at random
# and reads the time of day, and both show in the coverage that steers the fuzzer.
#
# Needs the stable Rust of this repository and a C++ compiler, nothing else: the coverage counters
# are passed to stable rustc as LLVM flags (rustc.sh), and without `unsafe` there is little for a sanitizer to
# find. New inputs are collected in target/fuzz/corpus, findings in target/fuzz/findings; a finding
# that is understood is copied to tests/fuzz/corpus/<target>, where `cargo test` replays it.
set -euo pipefail
cd "$(dirname "$0")/../.."

mode=${1:-600}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for folder in tests/fuzz/corpus/*/; do
        target=$(basename "$folder")
        case "$mode $target" in "--brief api" | "--brief ingest") continue ;; esac
        targets+=("$target")
    done
fi
# What is not asked for need not be compiled.
features=--no-default-features
for target in "${targets[@]}"; do
    case "$target" in api | ingest) features=--all-features ;; esac
done

HOST=$(rustc -vV | sed -n 's/^host: //p')
TARGETS_AT=${CARGO_TARGET_DIR:-$PWD/target}
OUT=$TARGETS_AT/fuzz
# Only this repository's crates are counted, and so compiled anew: the dependencies are those of every
# other test. With the target named, what runs while they are compiled is not counted.
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/rustc.sh \
    cargo build --workspace "$features" --locked --bin fuzz --target "$HOST"
FUZZER=$TARGETS_AT/$HOST/debug/fuzz

fuzz() { # fuzz <target>
    local target=$1 status=0
    local seeds=tests/fuzz/corpus/$target findings=$OUT/findings/$target/ log=$OUT/logs/$target
    local settings=(-max_len=16384 -rss_limit_mb=2048 -artifact_prefix="$findings" -print_final_stats=1)
    mkdir -p "$findings" "$OUT/logs"
    if [ "$mode" = --brief ]; then
        # Listed, and in order: as a folder they would come in the order of the file system.
        local listed
        listed=$(LC_ALL=C && printf '%s\n' "$seeds"/* | paste -sd ,)
        # What is compared may be an address, which is another one each time.
        settings+=(-seed=1 -runs=5000 -use_cmp=0 -timeout=120 -seed_inputs="$listed")
    else
        # The first folder takes what is new; the kept seeds are only read.
        mkdir -p "$OUT/corpus/$target"
        settings+=(-max_total_time="$mode" -timeout=10 "$OUT/corpus/$target" "$seeds")
    fi
    TARGET=$target "$FUZZER" "${settings[@]}" >"$log" 2>&1 || status=$?
    awk -v target="$target" -v status="$status" '
        / cov: /                               { for (i = 1; i < NF; i++) if ($i == "cov:") ended = $(i + 1) }
        $2 == "INITED"                         { begun = ended }
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
export mode OUT FUZZER

printf '%s\n' "${targets[@]}" | xargs -P "${FUZZ_JOBS:-$(nproc)}" -I{} bash -c 'set -uo pipefail; fuzz {}'
