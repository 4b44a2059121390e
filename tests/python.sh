#!/usr/bin/env bash
# Makes the Python environments of all checks, in target/tools, unless they are there: one for SAM,
# cfn-lint and cargo-lambda, one for the local AWS engine and one for the AWS command line, because their
# dependencies contradict each other's.
# The versions are named here and nowhere else. Needs Python 3.10 or later with venv. Takes seconds.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly UV=0.13.9 SAM_CLI=1.170.0 CFN_LINT=1.58.0 CARGO_LAMBDA=1.9.2 ZIGLANG=0.17.1 MINISTACK=1.5.33 AWS_CLI=1.45.11
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}")/tools
readonly tools

environment() { # environment <folder> <package...>
    local place=$tools/$1 wanted
    shift
    wanted="$*"
    [ "$(cat "$place/installed" 2>/dev/null)" != "$wanted" ] || return 0
    rm -rf "$place"
    python3 -m venv "$place"
    if [ ! -x "$tools/venv/bin/uv" ]; then
        "$place/bin/pip" install --quiet --disable-pip-version-check "uv==$UV"
    fi
    PATH="$tools/venv/bin:$PATH" uv pip install --quiet --python "$place/bin/python" "$@"
    echo "$wanted" >"$place/installed"
}
environment venv "aws-sam-cli==$SAM_CLI" "cfn-lint==$CFN_LINT" "cargo-lambda==$CARGO_LAMBDA" "ziglang==$ZIGLANG"
environment ministack "ministack[full]==$MINISTACK"
environment aws "awscli==$AWS_CLI"
