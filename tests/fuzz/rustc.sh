#!/bin/sh
# Between cargo and rustc, for the crates of this repository alone: counts which of their code runs, as
# libFuzzer wants it. What they depend on is compiled as for every other build.
#
# Counted code is optimised, and not inlined from one unit into another. The counters are what cargo-fuzz
# would pass, but for `--cfg fuzzing`: what is fuzzed is what ships.
compiler=$1
shift
exec "$compiler" "$@" -Copt-level=1 -Ccodegen-units=1 \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
