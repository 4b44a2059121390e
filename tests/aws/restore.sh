#!/usr/bin/env bash
# The restore of docs/deploy.md, run: its commands, as they stand there, against ministack, which restores
# a table at once. `sam` and `lotwire` only write down what they were called with.
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

# The stack's table, with something in it.
table=lotwire-dev-Table-1
aws dynamodb create-table --table-name $table --billing-mode PAY_PER_REQUEST \
    --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
    --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE >/dev/null
aws dynamodb update-continuous-backups --table-name $table \
    --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true >/dev/null
aws dynamodb put-item --table-name $table --item '{"pk":{"S":"P#OIL"},"sk":{"S":"product"}}'

# The document's commands.
sed -n '/^# restore: /,/^```/p' docs/deploy.md | grep -v '^```' >"$scratch/commands"
[ "$(grep -c '^# restore: ' "$scratch/commands")" = 5 ]
output() { [ "$1" = TableName ] && echo $table; }
sam() { echo "sam $*" >>"$scratch/called"; }
lotwire() { echo "lotwire $*" >>"$scratch/called"; }
export URL=https://stock.example.com EVERY=0.1
# shellcheck source=/dev/null
. "$scratch/commands" >"$scratch/said"

fail() { echo "tests/aws/restore.sh: $*" >&2; exit 1; }
restored=$table-restored-1
describe() { aws dynamodb describe-table --table-name $restored --query "$1" --output text; }
[ "$(describe Table.StreamSpecification.StreamViewType)" = NEW_AND_OLD_IMAGES ] || fail "no stream"
[ "$(describe Table.DeletionProtectionEnabled)" = True ] || fail "no protection"
[ "$(aws dynamodb describe-time-to-live --table-name $restored \
    --query TimeToLiveDescription.AttributeName --output text)" = ttl ] || fail "no expiry"
[ "$(aws dynamodb get-item --table-name $restored --key '{"pk":{"S":"P#OIL"},"sk":{"S":"product"}}' \
    --query Item.sk.S --output text)" = product ] || fail "the row is not there"
stream=$(describe Table.LatestStreamArn)
# Closed before anything is restored, open at the end, and the restored table in both of the last two.
expected="sam deploy --config-env dev --parameter-overrides $(parameters Intake=closed)
sam deploy --config-env dev --parameter-overrides $(parameters "TableSuffix=-restored-1 TableStreamArn=$stream" Intake=closed)
lotwire doctor --url $URL
sam deploy --config-env dev --parameter-overrides $(parameters "TableSuffix=-restored-1 TableStreamArn=$stream")
lotwire evaluate --url $URL"
[ "$(cat "$scratch/called")" = "$expected" ] || fail "called was
$(cat "$scratch/called")
and not
$expected"
echo "the restore of docs/deploy.md runs"
