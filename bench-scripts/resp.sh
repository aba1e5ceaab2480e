#!/bin/bash
# Redis' protocol: needletail beside redis-server, the same commands, in one run.
#
# Each server has one CPU and the generator another. Runs are interleaved, ratios are taken within a
# round and are medians over the rounds. The server's processor time for a command stands beside its
# rate: at one request a connection the generator is mostly the one at its limit, and two servers then
# show its rate. Ends with PASS or FAIL for each bar whose part took part; exits 1 when one failed.
# About eight minutes.
#
#   bench-scripts/resp.sh
#   PARTS=plain ROUNDS=5 bench-scripts/resp.sh
#
#   PARTS        of: plain everysec always others memory                            (all)
#                plain      GET and SET without persistence; needletail, which always has a log,
#                           never syncs it
#                everysec   SET with logs that are synced each second
#                always     SET with logs that are synced before each reply
#                others     INCR, LPUSH, LPOP; and MSET of ten, by redis-benchmark
#                memory     what 100,000 records take
#   ROUNDS       runs of each                                                       (3)
#   SECONDS_EACH of one run                                                         (3)
#   SIZE         bytes of a value                                                   (348)
#   CONNECTIONS                                                                     (50)
#   IO           needletail's driver                                                (auto)
#   REALTIME=1, SERVER_CPUS, CLIENT_CPUS, NEEDLETAIL, BENCH                         as in get.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. bench-scripts/servers.sh

PARTS=${PARTS:-plain everysec always others memory}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-3}
SIZE=${SIZE:-348}
CONNECTIONS=${CONNECTIONS:-50}
IO=${IO:-auto}
records=100000
(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
for part in $PARTS; do
    [[ $part =~ ^(plain|everysec|always|others|memory)$ ]] || refuse "no part is called $part"
done
[[ $ROUNDS =~ ^[1-9][0-9]?$ && $SECONDS_EACH =~ ^[1-9][0-9]?$ ]] ||
    refuse "ROUNDS and SECONDS_EACH are numbers from 1 to 99"
has() { [[ " $PARTS " == *" $1 "* ]]; }
say() { echo "$script: $*" >&2; }

need_bench
need_needletail
need curl curl
need redis-server redis-server
need redis-benchmark redis-tools
read -r port[needletail] port[redis] < <(free_ports 2)
keep_memory
rows=$temp/rows
touch "$rows"

# up PERSISTENCE: both servers, empty. redis never writes its log anew, needletail every 256 MiB.
up() {
    local redis=(--appendonly yes --appendfsync "$1") ours=$1
    if [[ $1 == none ]]; then redis=(--appendonly no) ours=no; fi
    rm -rf "$temp/redis" "$temp/data.needletail"
    mkdir "$temp/redis"
    unset "dir[needletail]"
    start_needletail needletail --shards 1 --io "$IO" --fsync "$ours" --snapshot-after 256MiB
    start redis redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$temp/redis" --save '' \
        --auto-aof-rewrite-percentage 0 "${redis[@]}"
}
down() {
    stop needletail
    stop redis
}
# Processor time of a server so far, in microseconds.
spent() { awk -v hz="$(getconf CLK_TCK)" '{ sub(/^.*\) /, ""); print ($12 + $13) * 1000000 / hz }' "/proc/${pid[$1]}/stat"; }
# row WORK SERVER RATE CPU BUSY
row() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$rows"; }

# ours WORK COMMAND DEPTH [REQUESTS]: needletail-bench on both, for a time or for so many requests.
ours() {
    local server span=(--duration "$SECONDS_EACH" --warmup 1s)
    [[ ${4:-} ]] && span=(--requests "$4")
    for server in needletail redis; do
        bench resp "127.0.0.1:${port[$server]}" --command "$2" --keys "$records" --size "$SIZE" --pipeline "$3" \
            --connections "$CONNECTIONS" "${span[@]}" --pid "${pid[$server]}" --quiet --json \
            >"$temp/run" || fail "$1 of $server could not be run"
        row "$1" $server $(python3 - "$temp/run" <<'PYTHON'
import json, sys
f = json.load(open(sys.argv[1]))["figures"]
if f.get("replies_2xx", 0) < f["requests"] * 0.999: sys.exit("errors instead of replies")
cpu = f["server.cpu_user"] + f["server.cpu_system"]
print(f["rate"], cpu, f["rate"] * cpu / 1e4)
PYTHON
)
    done
}
# theirs WORK DEPTH REQUESTS REPETITIONS COMMAND…: redis-benchmark on both.
theirs() {
    local work=$1 depth=$2 requests=$3 server before after rate began
    shift 3
    for server in needletail redis; do
        before=$(spent $server) began=$(date +%s%N)
        rate=$(taskset -c "$CLIENT_CPUS" "${realtime[@]}" redis-benchmark -p "${port[$server]}" -c "$CONNECTIONS" \
            -P "$depth" -n "$requests" -r "$records" --csv "$@" | tail -n 1 | awk -F '","' '{ print $2 }')
        after=$(spent $server)
        row "$work" $server "$rate" "$(awk -v s="$((${after%.*} - ${before%.*}))" -v n="$requests" 'BEGIN { print s / n }')" \
            "$(awk -v s="$((${after%.*} - ${before%.*}))" -v t="$(($(date +%s%N) - began))" 'BEGIN { print s * 100000 / t }')"
    done
}

value=$(head -c "$SIZE" /dev/zero | tr '\0' x)
for persistence in none everysec always; do
    part=$persistence
    [[ $part == none ]] && part=plain
    has "$part" || continue
    up $persistence
    [[ $part == plain ]] && bench resp "127.0.0.1:${port[needletail]}" --command get --keys "$records" --size "$SIZE" \
        --fill --requests 1 --connections 1 --quiet >/dev/null
    [[ $part == plain ]] && bench resp "127.0.0.1:${port[redis]}" --command get --keys "$records" --size "$SIZE" \
        --fill --requests 1 --connections 1 --quiet >/dev/null
    for round in $(seq 1 "$ROUNDS"); do
        for depth in 1 16; do
            say "$part, P$depth, round $round"
            if [[ $part == plain ]]; then
                ours "GET P$depth" get "$depth"
                ours "SET P$depth" set "$depth"
            else
                ours "SET P$depth, $part" set "$depth"
            fi
        done
    done
    down
done

if has others; then
    up none
    for round in $(seq 1 "$ROUNDS"); do
        for depth in 1 16; do
            say "others, P$depth, round $round"
            count=$((SECONDS_EACH * 30000 * (depth == 1 ? 1 : 4)))
            ours "INCR P$depth" incr "$depth"
            # As many are popped as were pushed: to pop from what is not there costs next to nothing.
            ours "LPUSH P$depth" lpush "$depth" $((count * 2))
            ours "LPOP P$depth" lpop "$depth" $((count * 2))
            ten=()
            for _ in {1..10}; do ten+=(key:__rand_int__ "$value"); done
            theirs "MSET of 10, P$depth" "$depth" "$((count / 4))" MSET "${ten[@]}"
        done
    done
    down
fi

if has memory; then
    for round in $(seq 1 "$ROUNDS"); do
        say "memory, round $round"
        up none
        for server in needletail redis; do
            bench resp "127.0.0.1:${port[$server]}" --command set --keys "$records" --size "$SIZE" --distribution sequential \
                --requests "$records" --connections "$CONNECTIONS" --pipeline 16 --quiet >/dev/null
            row "memory of $records records" $server \
                "$(awk '/VmRSS/ { print $2 / 1024 }' "/proc/${pid[$server]}/status")" 0 0
        done
        down
    done
fi

python3 - "$rows" "$ROUNDS" <<'PYTHON'
import sys
from statistics import median

works = {}
for line in open(sys.argv[1]):
    work, server, *figures = line.rstrip("\n").split("\t")
    works.setdefault(work, {}).setdefault(server, []).append([float(f) for f in figures])
print(f"\nmedians of {sys.argv[2]} rounds, ratios within a round\n")
print(f"{'':26}{'needletail/s':>13}{'redis/s':>11}{'ratio':>7}{'CPU us':>9}{'redis':>7}{'less by':>9}{'busy %':>8}{'redis':>6}")
ratios = {}
for work, servers in works.items():
    ours, theirs = servers["needletail"], servers["redis"]
    middle = lambda rows, n: median(r[n] for r in rows)
    rate = median(a[0] / b[0] for a, b in zip(ours, theirs))
    if "memory" in work:
        print(f"{work:26}{middle(ours, 0):9.1f} MiB{middle(theirs, 0):7.1f} MiB{rate:7.2f}")
        ratios[work] = rate
        continue
    cpu = median(b[1] / a[1] if a[1] else 0 for a, b in zip(ours, theirs))
    ratios[work] = rate
    print(f"{work:26}{middle(ours, 0):13,.0f}{middle(theirs, 0):11,.0f}{rate:7.2f}{middle(ours, 1):9.2f}"
          f"{middle(theirs, 1):7.2f}{cpu:9.2f}{middle(ours, 2):8.0f}{middle(theirs, 2):6.0f}")
print("\n`less by`: redis' processor time for a command over ours. `busy`: of the server's CPU; below 90 the")
print("generator or the disk was the limit.\n")
bars = {"GET P1": 1.3, "GET P16": 1.05, "SET P1": 1.2, "SET P16": 1.0}
failed = False
for work, ratio in ratios.items():
    most = "memory" in work
    bar = 1.0 if most else bars.get(work, 1.0)
    kept = ratio <= bar if most else ratio >= bar
    failed |= not kept
    print(f"{'PASS' if kept else 'FAIL'}  {work}: {ratio:.2f} of redis-server's, at {'most' if most else 'least'} {bar}")
sys.exit(failed)
PYTHON
