#!/usr/bin/env bash
# make perf: Penstock beside its limits, on this machine, in one run. Prints ratios and percentiles; nothing here is a test.
#   SECONDS_EACH  the measured window of every part (5)
#   DIR           where data goes; must be a real disk (build/perf-data)
#   ONLY          some of: calibrate pipeline pairs hot latency
# Servers are pinned to one core with all their threads, the load generator to another.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
SECONDS_EACH=${SECONDS_EACH:-5}
DIR=${DIR:-$BUILD/perf-data}
ONLY=${ONLY:-calibrate pipeline pairs hot latency}
SERVER_CPU=${SERVER_CPU:-0}
LOAD_CPU=${LOAD_CPU:-1}
mkdir -p "$DIR"
data=$(mktemp -d "$DIR/run.XXXXXX")
pids=()
trap 'for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done; wait 2>/dev/null; rm -rf "$data"' EXIT

wants() { [[ " $ONLY " == *" $1 "* ]]; }
title() { printf '\n== %s\n' "$*"; }

echo "commit $(git rev-parse --short HEAD 2>/dev/null), $(date -u +%Y-%m-%dT%H:%MZ), kernel $(uname -r), $(nproc) cores," \
    "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)"

# start NAME COMMAND...: runs a server pinned, waits for its ready line; sets url and pid.
start() {
    local name=$1
    shift
    taskset -c "$SERVER_CPU" "$@" > "$data/$name.out" 2> "$data/$name.err" &
    pid=$!
    pids+=("$pid")
    for _ in $(seq 100); do
        url=$(sed -nE 's/.*ready on (http[^ ]*).*/\1/p' "$data/$name.out")
        [ -n "$url" ] && return
        sleep 0.1
    done
    echo "perf: $name did not start:"
    cat "$data/$name.err"
    exit 1
}
stop() {
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
}

head -c 32 /dev/urandom > "$data/key.hs256"
PENSTOCK_TOKEN=$("$BUILD/penstock" token --jwt-key "$data/key.hs256" --sub perf --ttl 86400)
export PENSTOCK_TOKEN

start_penstock() {
    rm -rf "$data/penstock"
    start penstock "$BUILD/penstock" serve --data "$data/penstock" --listen 127.0.0.1:0 --shards 1 --gateways 1 \
        --jwt-key "$data/key.hs256" --messages-per-second 0
}
start_donothing() { start donothing "$BUILD/donothing" --listen 127.0.0.1:0; }

# load OUTPUT OPTIONS...
load() {
    local out=$1
    shift
    "$BUILD/load" --url "$url" --server-pid "$pid" --cpu "$LOAD_CPU" --seconds "$SECONDS_EACH" "$@" | tee "$data/$out"
}
# field OUTPUT NAME: from the line "result name=value ...".
field() { sed -nE "s/^result .*\b$2=([0-9.]+).*/\1/p" "$data/$1" | tail -1; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "?" }'; }

# beside TITLE LOAD-OPTIONS...: the do-nothing server and Penstock under the same load.
beside() {
    local what=$1
    shift
    title "$what"
    start_donothing
    echo "-- a server that does nothing (epoll, one thread; no order, no merging, no disk)"
    load donothing.load "$@"
    stop
    start_penstock
    echo "-- penstock (ack = on disk, durability level: local)"
    load penstock.load "$@"
    stop
    echo "-- penstock : do-nothing = $(ratio "$(field penstock.load edits_per_cpu_s)" "$(field donothing.load edits_per_cpu_s)") of the edits a CPU second," \
        "$(ratio "$(field penstock.load edits_per_s)" "$(field donothing.load edits_per_s)") of the edits a second"
}

if wants calibrate; then
    title "this machine now"
    "$BUILD/calibrate" --dir "$data"
fi
if wants pipeline; then
    title "(a) the pipeline in one process: ring -> transform -> apply -> log on disk -> release"
    "$BUILD/pipeline" --dir "$data" --seconds "$SECONDS_EACH"
    "$BUILD/pipeline" --dir "$data" --seconds "$SECONDS_EACH" --ops 8
fi
if wants pairs; then
    beside "(b) 200 documents, one writer and one reader each, every writer waits for its ack" --docs 200 --writers 1 --readers 1
    pairs_rate=$(field penstock.load edits_per_s)
fi
if wants hot; then
    beside "(c) one document, 64 writers who each also receive" --docs 1 --writers 64 --readers 0
fi
if wants latency; then
    rate=$((${pairs_rate:-72000} / 4))
    title "(d) ack latency at a quarter of (b)'s rate ($rate edits/s, open loop), beside a bare durable write"
    "$BUILD/calibrate" --dir "$data"
    start_penstock
    load penstock.load --docs 200 --writers 1 --readers 1 --rate "$rate"
    stop
fi
