#!/usr/bin/env bash
# The one test command: installs what the suites need, then runs every one of them, documentation
# examples included. Arguments go to `cargo test`; `tests/run.sh -p shared rule` runs a part.
#
# Plain `cargo test`, because it is there wherever Rust is. With cargo-nextest installed, `cargo t`
# is quicker from edit to edit; it runs no documentation examples.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/setup.sh

selection=(--workspace)
for argument in "$@"; do
    case "$argument" in -p | -p?* | --package | --package=* | --workspace) selection=() ;; esac
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
cargo test "${selection[@]}" --all-features --locked --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?

# Cargo prints a result per binary and no sum; here it is, with whatever did not run.
awk '
    /^test result:/ { suites++; passed += $4; failed += $6; ignored += $8 }
    /^test .* \.\.\. ignored/ { skipped = skipped "\n  not run: " $2 }
    END {
        printf "\n%d suites: %d passed, %d failed, %d ignored%s\n", suites, passed, failed, ignored, skipped
        exit suites == 0
    }
' "$log" || status=$((status ? status : 1))
if [ "$status" -eq 0 ]; then echo "tests/run.sh: passed"; else echo "tests/run.sh: FAILED"; fi
exit "$status"
