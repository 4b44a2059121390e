#!/usr/bin/env bash
# Every figure of docs/benchmarks.md, printed as its tables. Takes half an hour on two cores, most of
# it the build; on a busy machine the figures are those of a busy machine.
#
#   tests/benchmarks/run.sh              everything
#   tests/benchmarks/run.sh start load   parts: start, load, file, core
#
# POSITIONS sets how full the full table is (1000000).
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly POSITIONS=${POSITIONS:-1000000}
readonly BINARIES=${CARGO_TARGET_DIR:-target}/release
readonly LOTWIRE=${CARGO_TARGET_DIR:-target}/runner/lotwire
parts=("$@")
if [ ${#parts[@]} -eq 0 ]; then parts=(start load file core); fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# table <heading> <file>...: files of "name value", one column each, under "|"-separated headings.
table() {
    local headings=$1
    shift
    printf '| figure | %s |\n' "$headings"
    awk '
        FNR == 1 { column++ }
        !($1 in seen) { seen[$1]; names[++count] = $1 }
        { value[$1, column] = $2 }
        END {
            rule = "|---|"
            for (c = 1; c <= column; c++) rule = rule "---|"
            print rule
            for (n = 1; n <= count; n++) {
                line = "| " names[n] " |"
                for (c = 1; c <= column; c++) line = line " " value[names[n], c] " |"
                print line
            }
        }' "$@"
    echo
}

bench() { # bench <file> <argument>...
    local file=$scratch/$1
    shift
    "$LOTWIRE" bench "$@" >"$file"
}

start() {
    echo "## Starting a function"
    echo
    "$BINARIES/cold-start" --binaries "$BINARIES"
    echo
}

load() {
    echo "## From a webhook to the alert that leaves"
    echo
    bench few --rate 100 --seconds 30 --positions 1000
    bench many --rate 100 --seconds 30 --positions "$POSITIONS"
    bench hard --rate 600 --seconds 30 --positions 1000
    table "100/s, 1,000 positions | 100/s, $POSITIONS positions | 600/s, 1,000 positions" \
        "$scratch"/{few,many,hard}
}

file() {
    echo "## Reading a file"
    echo
    bench feed feed --rows 1000000
    table "a million rows, 1,000 of them new" "$scratch/feed"
    bench first first-load --rows 20000
    table "a first load of 20,000 rows" "$scratch/first"
}

core() {
    echo "## One core at work"
    echo
    for benches in "shared --bench feeds --bench render --bench signatures" "sync --bench diff" "evaluate --bench records"; do
        # shellcheck disable=SC2086 # words of a command
        cargo bench --locked --quiet -p $benches -- --noplot
    done >"$scratch/core"
    # Criterion breaks the line after a long name.
    awk '
        BEGIN { print "| bench | time | throughput |\n|---|---|---|" }
        /^[a-z]+\// { name = $0; sub(/ +time:.*/, "", name); compared = 0 }
        # With what an earlier run has left.
        /^ +change:/ { compared = 1 }
        compared { next }
        /time: +\[/ { split($0, part, /[][]/); split(part[2], of, " "); time = of[3] " " of[4] }
        /thrpt: +\[/ {
            split($0, part, /[][]/); split(part[2], of, " ")
            print "| " name " | " time " | " of[3] " " of[4] " |"
        }' "$scratch/core"
    echo
}

# All functions in one: what they share is compiled once.
cargo build --profile runner --locked -p lotwire >&2
cargo build --release --locked -p benchmarks \
    -p ingest -p evaluate -p notify -p clock -p api -p sync >&2

printf 'Measured on %s, %s cores, %s, %s.\n\n' \
    "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1)" "$(nproc)" \
    "$(rustc --version | cut -d' ' -f1,2)" "$(date -u +%F)"
for part in "${parts[@]}"; do "$part"; done
