#!/bin/bash
# The canonical workload: one server, one set of runs, one table. `./dev bench` builds and runs it.
#
# Needletail is started with one shard on one CPU and needletail-bench works on another. What the
# server does not serve yet is left out and said so. About a minute.
#
#   bench-scripts/bench.sh
#   SECONDS_EACH=2 bench-scripts/bench.sh
#   KEEP=results bench-scripts/bench.sh        keeps each result, for needletail-bench --compare
#
#   SECONDS_EACH  seconds measured in one run                                    (5)
#   CONNECTIONS   open at once                                                   (64)
#   KEYS, SIZE    of the table: keys, and bytes of a value                       (10000, 256)
#   LISTENERS     event streams of the push run                                  (1000)
#   SHARDS        the server's                                                   (1)
#   IO            its driver: auto, uring or epoll                               (auto)
#   SERVER_CPUS, CLIENT_CPUS   where both sides run                              (0, 1)
#   TARGET        a server that runs already, as HOST:PORT; with PID its process
#   NEEDLETAIL, BENCH          the two binaries                  (in .build/release)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

SECONDS_EACH=${SECONDS_EACH:-5}
CONNECTIONS=${CONNECTIONS:-64}
KEYS=${KEYS:-10000}
SIZE=${SIZE:-256}
LISTENERS=${LISTENERS:-1000}
SHARDS=${SHARDS:-1}
IO=${IO:-auto}
SERVER_CPUS=${SERVER_CPUS:-0}
CLIENT_CPUS=${CLIENT_CPUS:-1}
TARGET=${TARGET:-}
PID=${PID:-}
KEEP=${KEEP:-}
NEEDLETAIL=${NEEDLETAIL:-.build/release/needletail}
BENCH=${BENCH:-.build/release/needletail-bench}
ready_seconds_max=10

refuse() {
    echo "bench.sh: $*" >&2
    exit 64
}

(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
[[ $SECONDS_EACH =~ ^[1-9][0-9]?$ ]] || refuse "SECONDS_EACH is a number from 1 to 99"
[[ -x $BENCH ]] || refuse "$BENCH is missing: swift build -c release --product needletail-bench"
command -v python3 >/dev/null || refuse "python3 is missing: apt-get install python3"
# With a single CPU both sides share it, and the figures say little; but they are made.
if (($(nproc) < 2)); then SERVER_CPUS=0 CLIENT_CPUS=0; fi

temp=$(mktemp -d)
server=
end() {
    if [[ $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$temp"
}
trap end EXIT
trap 'exit 130' INT TERM
results=${KEEP:-$temp/results}
mkdir -p "$results"

# --- the server --------------------------------------------------------------------------------

bench() { taskset -c "$CLIENT_CPUS" "$BENCH" "$@"; }

# Does a single request of this kind succeed?
answers() { bench "$@" --requests 1 --connections 1 --timeout 1s --quiet --json 2>/dev/null |
    python3 -c 'import json,sys; sys.exit(json.load(sys.stdin)["figures"].get("replies_2xx", 0) != 1)' 2>/dev/null; }

if [[ ! $TARGET ]]; then
    [[ -x $NEEDLETAIL ]] || refuse "$NEEDLETAIL is missing: ./dev build"
    port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
    TARGET=127.0.0.1:$port
    taskset -c "$SERVER_CPUS" "$NEEDLETAIL" "$TARGET" --dir "$temp/data" --shards "$SHARDS" --io "$IO" \
        >"$temp/log" 2>&1 &
    server=$!
    PID=$server
    until answers get "$TARGET/health"; do
        if ((SECONDS >= ready_seconds_max)) || ! kill -0 "$server" 2>/dev/null; then
            echo "bench.sh: the server does not answer" >&2
            tail -n 5 "$temp/log" >&2
            exit 1
        fi
        sleep 0.1
    done
fi

# --- the runs ----------------------------------------------------------------------------------

names=()
missing=()
common=(--duration "$SECONDS_EACH" --warmup 1 --connections "$CONNECTIONS" --quiet --json)
if [[ $PID ]]; then common+=(--pid "$PID"); fi

# run NAME ARGUMENTS…: a result in $results/NAME.json.
run() {
    local name=$1
    shift
    echo "$name" >&2
    if bench "$@" "${common[@]}" --label "$name" >"$results/$name.json.part"; then
        mv "$results/$name.json.part" "$results/$name.json"
        names+=("$name")
    else
        rm -f "$results/$name.json.part"
        missing+=("$name")
    fi
}

rate_of() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["figures"]["rate"])' "$results/$1.json"; }

run health get "$TARGET/health"
run health-p16 get "$TARGET/health" --pipeline 16
# What users feel: at half of what it can do.
run health-half get "$TARGET/health" --rate "$(rate_of health | awk '{ print int($1 / 2) + 1 }')"

table=(--keys "$KEYS" --size "$SIZE")
user=()
export NEEDLETAIL_BENCH_SECRET=${NEEDLETAIL_BENCH_SECRET:-canonical-workload}
if ! answers put "$TARGET" && answers put "$TARGET" --user bench; then user=(--user bench); fi
if answers put "$TARGET" "${user[@]}"; then
    run put put "$TARGET" "${table[@]}" "${user[@]}"
    run get get "$TARGET" "${table[@]}" "${user[@]}" --fill
    run mixed-zipf mixed "$TARGET" "${table[@]}" "${user[@]}" --distribution zipf --reads 0.9
    run push push "$TARGET" "${user[@]}" --listeners "$LISTENERS" --rate 20 --size "$SIZE" \
        --connections 4
else
    missing+=(put get mixed-zipf push)
fi
if answers resp "$TARGET" --command ping; then
    run resp-set resp "$TARGET" "${table[@]}" --command set
    run resp-get resp "$TARGET" "${table[@]}" --command get
    run resp-get-p16 resp "$TARGET" "${table[@]}" --command get --pipeline 16
else
    missing+=(resp-set resp-get resp-get-p16)
fi

# --- the table ---------------------------------------------------------------------------------

echo
echo "Needletail, $SHARDS shard(s) on cpu $SERVER_CPUS; needletail-bench on cpu $CLIENT_CPUS;" \
    "$CONNECTIONS connections; $SECONDS_EACH s each after 1 s of warm-up"
python3 - "$results" "${names[@]}" <<'PYTHON'
import json, sys

def time(ns):
    if ns < 1e6: return f"{ns / 1e3:.0f}us"
    return f"{ns / 1e6:.2f}ms" if ns < 1e7 else f"{ns / 1e6:.0f}ms"

print(f"\n{'':14}{'req/s':>11}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}"
      f"{'server cpu':>12}{'us/req':>8}{'rss MiB':>9}{'bench cpu':>11}")
cautions = []
for name in sys.argv[2:]:
    result = json.load(open(f"{sys.argv[1]}/{name}.json"))
    figures, latencies = result["figures"], result["latencies_ns"]
    rows = [(name, k) for k in ("latency", "read", "write", "delivery", "by the kernel", "last listener")
            if k in latencies]
    for place, (_, kind) in enumerate(rows):
        l = latencies[kind]
        label = name if place == 0 and kind == "latency" else f"{name} {kind}" if place == 0 else f"  {kind}"
        line = f"{label:14}"
        rate = figures.get("rate", figures.get("delivery_rate", 0))
        line += f"{rate:11,.0f}" if place == 0 else " " * 11
        line += "".join(f"{time(l[p]):>9}" for p in ("p50", "p99", "p99.9", "max"))
        if place == 0 and "server.cpu" in figures:
            each = figures.get("server.cpu_user", 0) + figures.get("server.cpu_system", 0)
            line += f"{figures['server.cpu']:11.0f}%{each:8.2f}{figures.get('server.rss', 0) / 2**20:9.1f}"
            line += f"{max(figures.get('generator.cpu', 0), figures.get('listening.cpu', 0)):10.0f}%"
        print(line)
    faults = {k: v for k, v in figures.items() if v and k in (
        "timed_out", "lost", "unfinished", "violations", "replies_4xx", "replies_5xx", "missed",
        "duplicates", "out_of_order", "stale", "publish_replies_4xx", "publish_replies_5xx")}
    if faults:
        cautions.append(f"{name}: " + ", ".join(f"{int(v)} {k}" for k, v in faults.items()))
    cautions += [f"{name}: {text}" for text in result["cautions"]]
print()
for text in cautions: print(f"caution: {text}")
PYTHON
if ((${#missing[@]})); then echo "not served, or not possible: ${missing[*]}"; fi
if [[ $KEEP ]]; then echo "results are in $KEEP; needletail-bench --compare A.json B.json"; fi
