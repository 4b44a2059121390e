#!/usr/bin/env bash
# The restore of docs/deploy.md, run: its commands, as they stand there, against ministack, which restores
# a table at once. `sam` only keeps a stack's parameters, `lotwire` writes down what it was called with.
#
# Needs what tests/aws/run.sh installs, and the AWS CLI.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
readonly target ministack=${MINISTACK:-$target/tools/ministack/bin/ministack}
scratch=$(mktemp -d)
readonly scratch
export AWS_DEFAULT_REGION=eu-south-1 AWS_REGION=eu-south-1 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_PAGER=""

(cd "$scratch" && BIND_HOST=127.0.0.1 IOT_MTLS_ENABLED=0 GATEWAY_PORT=$port MINISTACK_REGION=eu-south-1 exec "$ministack") \
    >"$scratch/engine.log" 2>&1 &
readonly engine=$!
trap 'kill $engine; wait $engine 2>/dev/null || true; rm -rf "$scratch"' EXIT
until curl -sf "$AWS_ENDPOINT_URL/_localstack/health" >/dev/null; do
    kill -0 $engine || { cat "$scratch/engine.log"; exit 1; }
    sleep 0.1
done

# The document's commands: what they all begin with, and the restore's.
sed -n '/^# names/,/^```/p' docs/deploy.md | grep -v '^```\|^export AWS_' >"$scratch/names"
sed -n '/^# restore: /,/^```/p' docs/deploy.md | grep -v '^```' >"$scratch/commands"
[ "$(grep -c '^# restore: ' "$scratch/commands")" = 5 ]
fail() { echo "tests/aws/restore.sh: $*" >&2; exit 1; }
export URL=https://stock.example.com EVERY=0.1

# In place of SAM: what the stack's parameters are. One that is not named keeps its value, as there.
declare -A stack
sam() {
    local words given
    [ "$1 $2 $3 $4" = "deploy --config-env $ENV --parameter-overrides" ] || fail "sam $*"
    read -ra words <<<"${*:5}"
    for given in "${words[@]}"; do
        stack[${given%%=*}]=${given#*=}
    done
    echo "deployed: intake ${stack[Intake]}, table $own${stack[TableSuffix]}" >>"$scratch/called"
}
lotwire() { echo "lotwire $*" >>"$scratch/called"; }

restore_and_look() { # restore_and_look <row>: the restored table has this row
    local before=$own${stack[TableSuffix]} restored table tags
    : >"$scratch/called"
    # shellcheck source=/dev/null
    . "$scratch/commands" >"$scratch/said"
    restored=$own${stack[TableSuffix]}
    [ "$restored" != "$before" ] || fail "still $before"
    # The stream that the stack will name is this table's.
    table=$(aws dynamodb describe-table --table-name "$restored" --query Table)
    jq -e --arg of "${stack[TableStreamLabel]}" '
        .StreamSpecification.StreamViewType == "NEW_AND_OLD_IMAGES" and .DeletionProtectionEnabled
        and .LatestStreamArn == "\(.TableArn)/stream/\($of)"' <<<"$table" >/dev/null ||
        fail "no stream, another table's, or no protection: ${stack[TableStreamLabel]} $table"
    tags=$(aws dynamodb list-tags-of-resource --resource-arn "$(jq -r .TableArn <<<"$table")")
    [ "$(jq -r '.Tags[] | select(.Key == "environment").Value' <<<"$tags")" = "$ENV" ] || fail "no tags: $tags"
    [ "$(aws dynamodb describe-time-to-live --table-name "$restored" \
        --query TimeToLiveDescription.AttributeName --output text)" = ttl ] || fail "no expiry"
    [ "$(aws dynamodb get-item --table-name "$restored" --key "{\"pk\":{\"S\":\"$1\"},\"sk\":{\"S\":\"product\"}}" \
        --query Item.sk.S --output text)" = product ] || fail "the row $1 is not there"
    # Closed before anything is restored, and open in the end, with the restored table.
    expected="deployed: intake closed, table $before
deployed: intake closed, table $restored
lotwire status --url $URL
deployed: intake open, table $restored
lotwire evaluate --url $URL"
    [ "$(cat "$scratch/called")" = "$expected" ] || fail "called was
$(cat "$scratch/called")
and not
$expected"
}

# Each environment's deployments set what samconfig.toml says of it.
for environment in prod dev; do
    sed "s/^ENV=dev .*/ENV=$environment/" "$scratch/names" >"$scratch/names-$environment"
    # shellcheck source=/dev/null
    . "$scratch/names-$environment"
    own=$STACK-Table-1
    stack=([Intake]=open [TableSuffix]='' [TableStreamLabel]='')
    deploy
    case $environment in
        dev) expected="lotwire-dev lotwire-dev 7 7" ;;
        prod) expected="lotwire-prod lotwire 30 90" ;;
    esac
    found="$STACK ${stack[SecretsPath]} ${stack[RawRetentionDays]} ${stack[LogRetentionDays]}"
    [ "$found" = "$expected" ] || fail "$environment: $found and not $expected"
done

# In place of the stack's own.
output() {
    case $1 in
        TableName) echo "$own${stack[TableSuffix]}" ;;
        OwnTableName) echo "$own" ;;
    esac
}
# The stack's table, with something in it.
aws dynamodb create-table --table-name "$own" --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE >/dev/null
aws dynamodb update-continuous-backups --table-name "$own" \
    --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true >/dev/null
aws dynamodb put-item --table-name "$own" --item '{"pk":{"S":"P#OIL"},"sk":{"S":"product"}}'
restore_and_look 'P#OIL'
# Once more, from the restored table, which has something by now that the stack's own has not.
aws dynamodb put-item --table-name "$own${stack[TableSuffix]}" --item '{"pk":{"S":"P#WAX"},"sk":{"S":"product"}}'
restore_and_look 'P#WAX'
# An ordinary deployment afterwards keeps the table.
restored=$own${stack[TableSuffix]}
deploy
[ "$(output TableName)" = "$restored" ] || fail "a deployment goes back to $(output TableName)"
echo "the restore of docs/deploy.md runs, and runs again"
