#!/usr/bin/env bash
# The compiled functions, run for real: builds them from template.yaml with `sam build`, deploys that
# to a local AWS engine, and runs the suites of tests/aws against both. Arguments go to the tests:
# `tests/aws/run.sh poison` runs those with "poison" in their names. docs/testing-on-aws.md says what
# is shown.
#
#   --shell    a shell beside the deployed stack, in place of the tests
#   --debug    the functions as they are compiled for the tests, not by `sam build` as they are released,
#              which takes minutes more
#
# Needs Rust, Python 3.10 or later and what tests/setup.sh installs; all else goes to target/tools.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly target tools="$target/tools"
debug=
if [ "${1:-}" = --debug ]; then
    debug=yes
    shift
fi
tests/python.sh
tests/setup.sh

# The restore of docs/deploy.md.
if [ $# = 0 ]; then
    PATH="$tools/aws/bin:$PATH" tests/aws/restore.sh
fi

# What is deployed by default is arm64. One function is linked for it where Rust has the target, which
# `rustup target add aarch64-unknown-linux-gnu` brings; zig is the linker, as for `sam build`.
if [ $# = 0 ] && [ -z "$debug" ]; then
    if rustup target list --installed | grep -qx aarch64-unknown-linux-gnu; then
        PATH="$tools/venv/bin:$PATH" cargo lambda build --arm64 --package clock --bin clock --locked
        file=$target/lambda/clock/bootstrap
        # The machine's number in an ELF file: 183 is arm64.
        machine=$(od -An -tu2 -j18 -N2 "$file" | tr -d ' ')
        [ "$machine" = 183 ] || { echo "$file is not for arm64 but for machine $machine" >&2; exit 1; }
    else
        echo "NOT CHECKED: linking for arm64; Rust has no target for it here (rustup target add aarch64-unknown-linux-gnu)" >&2
    fi
fi

# The machine's own architecture, with the machine's own compiler.
case "$(uname -m)" in
    x86_64) architecture=x86_64 ;;
    aarch64 | arm64) architecture=arm64 ;;
    *)
        echo "tests/aws/run.sh: Lambda does not run on $(uname -m)" >&2
        exit 1
        ;;
esac
export CARGO_LAMBDA_COMPILER=cargo SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-south-1
export PATH="$tools/venv/bin:$PATH"
# In place of the layer there is a stand-in, but the template asks which one of another architecture.
layer=arn:aws:lambda:eu-south-1:325218067255:layer:AWS-Parameters-and-Secrets-Lambda-Extension:1
export STACK_PARAMETERS="Architecture=$architecture SecretsExtension=$layer"
# With the features of every other test, so that nothing is compiled a second time.
readonly suites=(--workspace --all-features --locked)
programs="$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}debug"
if [ -n "$debug" ]; then
    # What `sam build` makes: a template that names folders with a program each.
    # With all targets: without their tests, crates have fewer features and would be compiled once more.
    cargo build "${suites[@]}" --all-targets
    for function in functions/*/; do
        function=$(basename "$function")
        [ "$function" = local ] && continue
        mkdir -p "$target/lambda/$function"
        cp "$programs/$function" "$target/lambda/$function/bootstrap"
    done
    mkdir -p "$target/aws/build"
    sed -E "/Metadata: \{ BuildMethod/d; s#(CodeUri|Code): functions/([a-z]+)#\1: $target/lambda/\2#" template.yaml >"$target/aws/build/template.yaml"
else
    # Cargo itself sees to it that what functions share is compiled once.
    # shellcheck disable=SC2086 # one word per parameter
    sam build --template-file template.yaml --build-dir "$target/aws/build" --parameter-overrides $STACK_PARAMETERS
fi

cargo test "${suites[@]}" --test compiled --test deployed --no-run
export SECRETS_EXTENSION="$programs/secrets-extension" MINISTACK="$tools/ministack/bin/ministack"
export LAMBDA_DIR="$target/lambda" STACK_LOG="$target/aws/engine.log"
command=(cargo test "${suites[@]}" --no-fail-fast --test compiled --test deployed -- "$@")
[ "${1:-}" = --shell ] && command=(bash)
"$tools/venv/bin/python" tests/aws/stack.py "$target/aws/build/template.yaml" "${command[@]}"
