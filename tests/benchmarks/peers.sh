#!/usr/bin/env bash
# Lotwire beside Node-RED and n8n: the same flow, on the same machine, in one run, as a markdown table.
#
# The flow: a webhook says how much is left of a product; if that is below a threshold, one HTTP message
# goes to a listener. Each system acknowledges the webhook and does the rest after. Sender and listener
# are the same program for all (src/peers.rs), on the same processors. Three loads each:
#
#   steady   RATE webhooks a second
#   full     as many as are taken
#   killed   RATE webhooks a second, the system killed with -9 halfway and started again
#
#   tests/benchmarks/peers.sh                 all three systems
#   tests/benchmarks/peers.sh lotwire n8n     some of them
#
# RATE (100), SECONDS_EACH (30), PATIENCE (120: how long a message is waited for after a kill),
# PROFILE (runner: Lotwire's build), INSTALL_LIMIT (1800 seconds for each npm install).
# Node-RED and n8n are installed from npm into target/tools, once; n8n takes 2 GB there. What cannot be
# installed stands in the table as not compared. What could not be measured, or a message that Lotwire
# acknowledged and lost, is an exit code other than 0.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly RATE=${RATE:-100} SECONDS_EACH=${SECONDS_EACH:-30} PATIENCE=${PATIENCE:-120}
readonly PROFILE=${PROFILE:-runner} INSTALL_LIMIT=${INSTALL_LIMIT:-1800}
readonly NODE_RED=4.1.15 N8N=2.8.4
readonly TOOLS=$PWD/target/tools BINARIES=${CARGO_TARGET_DIR:-$PWD/target}/$PROFILE
readonly PORT=19411 LISTENER=127.0.0.1:19412
SECRET=whsec_$(head -c 24 /dev/urandom | base64)
readonly SECRET
systems=("$@")
if [ ${#systems[@]} -eq 0 ]; then systems=(lotwire node-red n8n); fi

scratch=$(mktemp -d)
stop() { if [ -s "$scratch/pid" ]; then kill -9 -- "-$(cat "$scratch/pid")" 2>/dev/null || true; fi; }
trap 'stop; rm -rf "$scratch"' EXIT

# n8n has one package from a host outside of npm, for spreadsheets; the flow needs none, so npm's own is
# taken. It also needs the second version of a package of which npm puts an older one in its place, and the
# first of another, of which npm puts a newer one there that does not fit.
install() { # install <name> <version> [<package> <version>]
    local into=$TOOLS/$1-$2
    [ -e "$into/done" ] && return
    mkdir -p "$into"
    echo "installing $1 $2 from npm" >&2
    echo "{\"private\":true,\"dependencies\":{\"$1\":\"$2\"${3:+,\"$3\":\"$4\"}},\"overrides\":{\"xlsx\":\"0.18.5\",\"@langchain/langgraph-checkpoint\":\"1.0.0\"}}" >"$into/package.json"
    (cd "$into" && timeout --kill-after=10 "$INSTALL_LIMIT" npm install --omit=dev --no-audit --no-fund --legacy-peer-deps \
        --loglevel=error) >"$into/log" 2>&1 && touch "$into/done"
}

# What a system needs before its first start, in $scratch/<system>.
prepare() {
    local home=$scratch/$1
    mkdir -p "$home"
    case $1 in
    lotwire)
        cat >"$home/lotwire.toml" <<END
[account]
name = "Peers"
zone = "UTC"
currency = "EUR"
[locations.main]
name = "Main"
kind = "warehouse"
[connectors.source]
kind = "generic"
[connectors.source.webhook]
secret = "env:PEER_SECRET"
[channels.sink]
kind = "webhook"
url = "http://$LISTENER/alerts"
secret = "env:PEER_SECRET"
[[routes]]
name = "all"
channels = ["sink"]
[[rules]]
name = "low"
kind = "low_stock"
threshold = 3
END
        ;;
    node-red)
        cat >"$home/flows.json" <<END
[{"id":"tab","type":"tab","label":"stock"},
 {"id":"in","type":"http in","z":"tab","url":"/hooks/source","method":"post","wires":[["answer","low"]]},
 {"id":"answer","type":"http response","z":"tab","statusCode":"202","wires":[]},
 {"id":"low","type":"switch","z":"tab","property":"payload.data.on_hand","propertyType":"msg",
  "rules":[{"t":"lt","v":"3","vt":"num"}],"outputs":1,"wires":[["message"]]},
 {"id":"message","type":"change","z":"tab","rules":[
    {"t":"set","p":"payload","pt":"msg","to":"{\"data\":{\"product\":payload.data.sku}}","tot":"jsonata"},
    {"t":"delete","p":"headers","pt":"msg"}],"wires":[["send"]]},
 {"id":"send","type":"http request","z":"tab","method":"POST","ret":"txt","url":"http://$LISTENER/alerts","wires":[[]]}]
END
        echo 'module.exports = { flowFile: "flows.json", uiHost: "127.0.0.1", logging: { console: { level: "warn" } } }' >"$home/settings.js"
        ;;
    n8n)
        cat >"$home/flow.json" <<END
[{"id":"peers","name":"stock","active":true,"settings":{"saveDataSuccessExecution":"none"},"nodes":[
  {"id":"1","name":"In","type":"n8n-nodes-base.webhook","typeVersion":2,"position":[0,0],"webhookId":"source",
   "parameters":{"httpMethod":"POST","path":"source","responseMode":"onReceived","options":{"responseCode":{"values":{"responseCode":202}}}}},
  {"id":"2","name":"Low","type":"n8n-nodes-base.if","typeVersion":1,"position":[200,0],
   "parameters":{"conditions":{"number":[{"value1":"={{ \$json.body.data.on_hand }}","operation":"smaller","value2":3}]}}},
  {"id":"3","name":"Send","type":"n8n-nodes-base.httpRequest","typeVersion":4.2,"position":[400,0],
   "parameters":{"method":"POST","url":"http://$LISTENER/alerts","sendBody":true,"specifyBody":"json",
    "jsonBody":"={{ JSON.stringify({ data: { product: \$json.body.data.sku } }) }}","options":{}}}],
 "connections":{"In":{"main":[[{"node":"Low","type":"main","index":0}]]},"Low":{"main":[[{"node":"Send","type":"main","index":0}]]}}}]
END
        { with_n8n import:workflow --input="$home/flow.json" && with_n8n publish:workflow --id=peers; } \
            >"$home/log" 2>&1 || { tail -20 "$home/log" >&2 && return 1; }
        ;;
    esac
}

with_n8n() {
    N8N_USER_FOLDER=$scratch/n8n N8N_PORT=$PORT N8N_LISTEN_ADDRESS=127.0.0.1 N8N_DIAGNOSTICS_ENABLED=false \
        N8N_VERSION_NOTIFICATIONS_ENABLED=false N8N_TEMPLATES_ENABLED=false N8N_RUNNERS_ENABLED=false \
        N8N_LOG_LEVEL=warn "$TOOLS/n8n-$N8N/node_modules/.bin/n8n" "$@"
}

# Starts a system in a process group of its own, and waits until it takes webhooks.
start() {
    local home=$scratch/$1
    case $1 in
    lotwire)
        PEER_SECRET=$SECRET LOTWIRE_ALLOWED_HOSTS=127.0.0.1 setsid "$BINARIES/lotwire" \
            --listen 127.0.0.1:$PORT --data "$home/data" --config "$home/lotwire.toml" >>"$home/log" 2>&1 &
        ;;
    node-red)
        setsid "$TOOLS/node-red-$NODE_RED/node_modules/.bin/node-red" \
            --userDir "$home" --settings "$home/settings.js" --port $PORT >>"$home/log" 2>&1 &
        ;;
    n8n)
        export scratch PORT TOOLS N8N
        export -f with_n8n
        setsid bash -c 'with_n8n start' >>"$home/log" 2>&1 &
        ;;
    esac
    echo $! >"$scratch/pid"
    for _ in $(seq 600); do
        # What is asked with GET there is nothing to be had; before it is there, n8n and Lotwire say 404 to POST.
        if [ "$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 2 --request POST \
            --data '{}' "http://127.0.0.1:$PORT$(path "$1")")" -gt 0 ] && taken "$1"; then return; fi
        sleep 0.1
    done
    echo "$1 did not start:" >&2
    tail -20 "$home/log" >&2
    return 1
}

# Kills it at once, and waits until nothing has its port any more.
killed() {
    kill -9 -- "-$(cat "$scratch/pid")"
    while (exec 3<>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; do sleep 0.05; done
}

path() { if [ "$1" = n8n ]; then echo /webhook/source; else echo /hooks/source; fi; }

# Whether it answers as a system does that is ready; without a signature Lotwire refuses.
taken() {
    local code
    code=$(curl --silent --output /dev/null --write-out '%{http_code}' --max-time 2 --request POST \
        --header 'content-type: application/json' --data '{"data":{"sku":"none","on_hand":9}}' \
        "http://127.0.0.1:$PORT$(path "$1")")
    [ "$code" = 202 ] || { [ "$1" = lotwire ] && [ "$code" -ge 400 ] && [ "$code" -lt 404 ]; }
}

load() { # load <system> <into> <argument>...
    local system=$1 into=$2
    shift 2
    "$BINARIES/peer-load" --url "http://127.0.0.1:$PORT$(path "$system")" --listen $LISTENER \
        --secret "$SECRET" --seconds "$SECONDS_EACH" "$@" >"$into" ||
        { cat "$into" >&2 && return 1; }
}

figure() { sed -n "s/^$2 //p" "$1"; }

not_compared() { printf '| %s | not compared: %s | | | | | | |\n' "$1" "$2"; }

# Prints a system's row. Each step says itself what went wrong.
measure() { # measure <system>
    local system=$1 at=$scratch/$1
    prepare "$system" || return
    start "$system" || return
    load "$system" "$at/steady" --rate "$RATE" || return
    load "$system" "$at/full" --first 1000000 || return
    # Killed and started again by the sender, in the midst of its load. Not every shell passes functions on.
    { declare -p SECRET PORT LISTENER BINARIES TOOLS NODE_RED N8N scratch; declare -f start killed path taken with_n8n; } \
        >"$scratch/again"
    load "$system" "$at/killed" --rate "$RATE" --first 2000000 --patience "$PATIENCE" \
        --halfway "bash -c '. $scratch/again; killed; start $system'" || return
    stop
    printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$system" \
        "$(figure "$at/steady" p50_ms)" "$(figure "$at/steady" p99_ms)" "$(figure "$at/full" per_second)" \
        "$(figure "$at/full" lost)" "$(figure "$at/killed" acknowledged)" \
        "$(figure "$at/killed" lost)" "$(figure "$at/killed" doubled)"
    [ "$system" != lotwire ] || [ "$(figure "$at/full" lost)$(figure "$at/killed" lost)" = 00 ] ||
        { echo "Lotwire has lost messages" >&2; return 1; }
}

cargo build --profile "$PROFILE" --locked -p lotwire -p benchmarks --bin lotwire --bin peer-load >&2
declare -A missing=()
for system in "${systems[@]}"; do
    case $system in
    node-red) install node-red $NODE_RED || missing[$system]=1 ;;
    n8n) install n8n $N8N @opentelemetry/core 2 || missing[$system]=1 ;;
    esac
done

printf 'Measured on %s, %s cores, %s. Node-RED %s, n8n %s.\n\n' \
    "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -1)" "$(nproc)" "$(date -u +%F)" $NODE_RED $N8N
echo "| system | p50 at $RATE/s, ms | p99, ms | full speed, messages/s | lost at full speed | acknowledged around a kill -9 | of them lost | doubled |"
echo '|---|---|---|---|---|---|---|---|'
failed=0
for system in "${systems[@]}"; do
    if [ -n "${missing[$system]:-}" ]; then
        not_compared "$system" "could not be installed"
        tail -5 "$TOOLS/$system"-*/log >&2
    elif ! measure "$system"; then
        stop
        failed=1
        [ "$system" = lotwire ] || not_compared "$system" "did not run"
    fi
done
exit $failed
