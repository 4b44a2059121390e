#!/usr/bin/env bash
# The restore of docs/deploy.md, and taking up work in another region, run: its commands, as they stand
# there, against ministack, which restores a table at once. `sam` only keeps a stack's parameters, `lotwire`
# writes down what it was called with.
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
export AWS_ENDPOINT_URL=http://127.0.0.1:$port AWS_PAGER="" AWS_CONFIG_FILE=$scratch/config
# As version 2 of the CLI has it, which the document asks for.
printf '[default]\ncli_timestamp_format = iso8601\n' >"$AWS_CONFIG_FILE"

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
# In another region the stack and the table come otherwise, and the rest is the same.
sed -n '/^# region: /,/^```/p' docs/deploy.md | grep -v '^```' >"$scratch/elsewhere"
[ "$(grep -c '^# region: ' "$scratch/elsewhere")" = 2 ]
sed -n '/^# restore: switch on/,$p' "$scratch/commands" >>"$scratch/elsewhere"
fail() { echo "tests/aws/restore.sh: $*" >&2; exit 1; }
export EVERY=0.1

# In place of SAM: what the stack's parameters are. One that is not named keeps its value, as there.
declare -A stack
sam() {
    local words given
    [ "$2 $3 $4 $5" = "--config-env $ENV --config-file $PWD/samconfig.toml" ] || fail "sam $*"
    case "$1 ${*:6:1}" in
        "build ") return ;;
        "deploy --parameter-overrides") ;;
        *) fail "sam $*" ;;
    esac
    read -ra words <<<"${*:7}"
    for given in "${words[@]}"; do
        stack[${given%%=*}]=${given#*=}
    done
    deployed=$AWS_REGION
    echo "deployed: intake ${stack[Intake]}, table $own${stack[TableSuffix]}" >>"$scratch/called"
}
# Only who has the token of the region's own stack is let in.
lotwire() {
    [ "$LOTWIRE_TOKEN" = "token of $AWS_REGION" ] || fail "the token is $LOTWIRE_TOKEN"
    echo "lotwire $*" >>"$scratch/called"
}

# What the engine has not: the stack's outputs, a moment that can be restored only some time later, and
# copies in a vault.
deployed='' STACK='' own=''
aws() {
    case "$*" in
        "cloudformation describe-stacks --stack-name $STACK "*)
            [ "$deployed" = "$AWS_REGION" ] || return 255
            case "$*" in
                *"'Url'"*) echo "https://stock.$AWS_REGION.example" ;;
                *"'OwnTableName'"*) echo "$own" ;;
                *"'TableName'"*) echo "$own${stack[TableSuffix]}" ;;
                *) fail "aws $*" ;;
            esac
            ;;
        "dynamodb describe-continuous-backups "*)
            echo asked >>"$scratch/asked"
            if [ "$(wc -l <"$scratch/asked")" -lt 3 ]; then
                echo 2026-01-01T00:00:00+00:00
            else
                date -u -d '+1 second' +%Y-%m-%dT%H:%M:%S.000000+00:00
            fi
            ;;
        "backup list-recovery-points-by-backup-vault --backup-vault-name $STACK-copies "*) echo arn:of:a:copy ;;
        "iam get-role --role-name $STACK-restore "*) echo arn:of:a:role ;;
        "backup start-restore-job --recovery-point-arn arn:of:a:copy --iam-role-arn arn:of:a:role "*)
            table_with "$(sed 's/.*targetTableName=\([^,]*\),.*/\1/' <<<"$*")" 'P#WAX'
            ;;
        *) command aws "$@" ;;
    esac
}

table_with() { # table_with <name> <row>
    command aws dynamodb create-table --table-name "$1" --billing-mode PAY_PER_REQUEST \
        --attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S \
        --key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE >/dev/null
    command aws dynamodb update-continuous-backups --table-name "$1" \
        --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true >/dev/null
    command aws dynamodb put-item --table-name "$1" --item "{\"pk\":{\"S\":\"$2\"},\"sk\":{\"S\":\"product\"}}"
}

restore_and_look() { # restore_and_look <commands> <row>: the restored table has this row
    local before=$own${stack[TableSuffix]} restored table tags
    : >"$scratch/called"
    : >"$scratch/asked"
    # shellcheck source=/dev/null
    . "$scratch/$1" >"$scratch/said"
    # Not before the closing is among what can be restored.
    [ "$1" = elsewhere ] || [ "$(wc -l <"$scratch/asked")" = 3 ] || fail "no wait for the closing"
    restored=$own${stack[TableSuffix]}
    [ "$restored" != "$before" ] || fail "still $before"
    # The stream that the stack will name is this table's.
    table=$(aws dynamodb describe-table --table-name "$restored" --query Table)
    jq -e --arg of "${stack[TableStreamLabel]}" '
        .StreamSpecification.StreamViewType == "NEW_AND_OLD_IMAGES" and .DeletionProtectionEnabled
        and .LatestStreamArn == "\(.TableArn)/stream/\($of)"' <<<"$table" >/dev/null ||
        fail "no stream, another table's, or no protection: ${stack[TableStreamLabel]} $table"
    # Into another region it comes without the key that the stack's tables have.
    [ "$1" != elsewhere ] || [ "$(jq -r .SSEDescription.SSEType <<<"$table")" = KMS ] || fail "the key: $table"
    tags=$(aws dynamodb list-tags-of-resource --resource-arn "$(jq -r .TableArn <<<"$table")")
    [ "$(jq -r '.Tags[] | select(.Key == "environment").Value' <<<"$tags")" = "$ENV" ] || fail "no tags: $tags"
    [ "$(aws dynamodb describe-time-to-live --table-name "$restored" \
        --query TimeToLiveDescription.AttributeName --output text)" = ttl ] || fail "no expiry"
    [ "$(aws dynamodb get-item --table-name "$restored" --key "{\"pk\":{\"S\":\"$2\"},\"sk\":{\"S\":\"product\"}}" \
        --query Item.sk.S --output text)" = product ] || fail "the row $2 is not there"
    # Closed before anything is restored, and open in the end, with the restored table.
    expected="deployed: intake closed, table $before
deployed: intake closed, table $restored
lotwire status --url https://stock.$AWS_REGION.example
deployed: intake open, table $restored
lotwire evaluate --url https://stock.$AWS_REGION.example"
    [ "$(cat "$scratch/called")" = "$expected" ] || fail "called was
$(cat "$scratch/called")
and not
$expected"
}

# A new shell's, in which there is nothing but the names.
begin() { # begin <environment>
    sed "s/^ENV=dev .*/ENV=$1/" "$scratch/names" >"$scratch/names-$1"
    unset URL LOTWIRE_TOKEN
    # Before there is a stack the last of it finds none, which ends no shell of a person's.
    # shellcheck source=/dev/null
    . "$scratch/names-$1" || true
}

# Each environment's deployments set what samconfig.toml says of it.
for region in eu-south-1 eu-central-1; do
    for path in lotwire lotwire-dev; do
        aws --region "$region" ssm put-parameter --type SecureString --name "/$path/api-token" --value "token of $region" >/dev/null
    done
done
for environment in prod dev; do
    begin "$environment"
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

# The stack's table, with something in it.
table_with "$own" 'P#OIL'
begin dev
restore_and_look commands 'P#OIL'
# Once more, from the restored table, which has something by now that the stack's own has not.
aws dynamodb put-item --table-name "$own${stack[TableSuffix]}" --item '{"pk":{"S":"P#WAX"},"sk":{"S":"product"}}'
restore_and_look commands 'P#WAX'
# An ordinary deployment afterwards keeps the table.
restored=$own${stack[TableSuffix]}
deploy
[ "$(output TableName)" = "$restored" ] || fail "a deployment goes back to $(output TableName)"

# The region is lost with all that the stack was told.
export AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1
own=$STACK-Table-2
stack=([Intake]=open [TableSuffix]='' [TableStreamLabel]='')
begin dev
[ -z "$URL" ] || fail "another region's shell has $URL"
restore_and_look elsewhere 'P#WAX'
echo "the restore of docs/deploy.md runs, and runs again, and in another region"
