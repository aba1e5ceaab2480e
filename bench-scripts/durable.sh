#!/bin/bash
# Durability: what the log costs a writer, and how quickly what is kept is served again.
#
# Server on one CPU, generator on another; runs interleaved; medians of ratios within a round.
# Beside the server stand two yardsticks of the same run: a bare loop of pwrite and fdatasync on
# the same file system, and redis-server with a dump.rdb of the same data. Ends with PASS or FAIL
# for each bar whose part took part; exits 1 when one failed. About five minutes.
#
#   bench-scripts/durable.sh
#   PARTS="policies always" ROUNDS=1 bench-scripts/durable.sh
#
#   PARTS        of: policies always start million replay snapshot                  (all)
#                policies   PUT with --fsync everysec beside a server without a log
#                always     50 writers beside one, and one beside the bare loop
#                start      100,000 records: files, and start to ready, beside redis-server
#                million    start to ready with 1,000,000
#                replay     the log alone, over all cores
#                snapshot   GETs while 1,000,000 records are being snapshotted
#   ROUNDS       runs of each measurement                                           (3)
#   SECONDS_EACH seconds of one run                                                 (3)
#   SIZE         bytes of a value                                                   (348)
#   MANY         records of million, replay and snapshot; the bars are for the default (1000000)
#   DIR          where the data is kept while measuring                             (a new folder in $TMPDIR)
#   BASELINE     a needletail without a log; without one, this with --fsync no stands for it
#   IO           needletail's driver                                                (auto)
#   REALTIME=1, SERVER_CPUS, CLIENT_CPUS, NEEDLETAIL, BENCH                         as in get.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. bench-scripts/servers.sh

PARTS=${PARTS:-policies always start million replay snapshot}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-3}
SIZE=${SIZE:-348}
IO=${IO:-auto}
MANY=${MANY:-1000000}
BASELINE=${BASELINE:-}
(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
for part in $PARTS; do
    [[ $part =~ ^(policies|always|start|million|replay|snapshot)$ ]] || refuse "no part is called $part"
done
[[ $ROUNDS =~ ^[1-9][0-9]?$ && $SECONDS_EACH =~ ^[1-9][0-9]?$ ]] ||
    refuse "ROUNDS and SECONDS_EACH are numbers from 1 to 99"
has() { [[ " $PARTS " == *" $1 "* ]]; }

need_bench
need_needletail
need curl curl
Benchmarks/Floor/build
export ADMIN_PASSWORD=${ADMIN_PASSWORD:-canonical-workload-admin}
home=${DIR:-$temp}/durable
mkdir -p "$home"
figures=$temp/figures
touch "$figures"
say() { echo "$script: $*" >&2; }
# A value on the list that the last part reads: NAME VALUE.
note() { echo "$@" >>"$figures"; }
# One figure of a JSON result.
of() { python3 -c 'import json,sys; r=json.load(sys.stdin); print(eval(sys.argv[1], {"f": r["figures"], "l": r["latencies_ns"]}))' "$1"; }

wipe() { rm -rf "$home/$1"; mkdir "$home/$1"; dir[$1]=$home/$1; }
declare -A tokens=()
token() { # token NAME: one for what this start of it writes
    sign_in "$1"
    tokens[$1]=${auth[1]}
}
puts() { # puts NAME CONNECTIONS PIPELINE
    bench put "127.0.0.1:${port[$1]}" --header "${tokens[$1]}" --keys 100000 --size "$SIZE" --connections "$2" \
        --pipeline "$3" --duration "$SECONDS_EACH" --warmup 500ms --quiet --json
}

read -r port[base] port[no] port[everysec] port[always] port[kept] port[redis] < <(free_ports 6)
keep_memory

if has policies; then
    for name in no everysec; do
        wipe $name
        start_needletail $name --shards 1 --io "$IO" --fsync $name
        token $name
    done
    baseline=no
    if [[ $BASELINE ]]; then
        wipe base
        NEEDLETAIL=$BASELINE start_needletail base --shards 1 --io "$IO"
        token base
        baseline=base
    fi
    for depth in 1 16; do
        for ((round = 1; round <= ROUNDS; round++)); do
            for name in ${BASELINE:+base} no everysec; do
                say "policies, $name, P$depth, round $round"
                note "policy.$name.$depth $(puts $name 50 $depth | of 'f["rate"]')"
            done
        done
    done
    note "baseline $baseline"
    for name in base no everysec; do stop $name; rm -rf "${home:?}/$name"; done
fi

if has always; then
    wipe always
    start_needletail always --shards 1 --io "$IO" --fsync always
    token always
    for ((round = 1; round <= ROUNDS; round++)); do
        say "always, round $round"
        # A record is the value, its key and some thirty bytes more.
        read -r rate p50 _ < <(taskset -c "$SERVER_CPUS" .build/floor-sync "$home" $((SIZE + 52)) "$SECONDS_EACH")
        note "floor.rate $rate"
        note "floor.p50 $(awk -v us="$p50" 'BEGIN { print us * 1000 }')"
        one=$(puts always 1 1)
        note "always.1.rate $(of 'f["rate"]' <<<"$one")"
        note "always.1.p50 $(of 'l["latency"]["p50"]' <<<"$one")"
        note "always.50.rate $(puts always 50 1 | of 'f["rate"]')"
    done
    stop always
    rm -rf "$home/always"
fi

# --- restarts -----------------------------------------------------------------------------------

fill() { # fill NAME COUNT: records of words, each once
    token "$1"
    bench put "127.0.0.1:${port[$1]}" --header "${tokens[$1]}" --table words --keys "$2" --size "$SIZE" --words \
        --distribution sequential --requests "$2" --connections 50 --pipeline 16 --quiet --json |
        of 'f["replies_2xx"]' | grep -qx "$2" || fail "not all of $2 records were taken"
}

# The table's records as the server counts them, which a restart must not change.
count_of() {
    curl -s -m 5 "http://127.0.0.1:${port[$1]}/stats" |
        python3 -c 'import json,sys; print(json.load(sys.stdin)["total_keys"])'
}

snapshot() { # snapshot NAME: returns when it is written
    local token
    token=$(curl -s -m 10 -H 'Content-Type: application/json' -d "{\"secret\":\"$ADMIN_PASSWORD\"}" "http://127.0.0.1:${port[$1]}/auth/admin" |
        python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])') || fail "no admin's token"
    local code deadline=$((SECONDS + 300))
    # One may be under way, as the log has grown: 409 then, or no answer in time.
    while true; do
        : >"$temp/snapshot"
        code=$(curl -s -m 300 -o "$temp/snapshot" -w '%{http_code}' -X POST -H "Authorization: Bearer $token" \
            "http://127.0.0.1:${port[$1]}/admin/snapshot") || true
        [[ $code == 20* ]] && return
        [[ $code == 409 || $code == 000 ]] && ((SECONDS < deadline)) ||
            fail "POST /admin/snapshot: $code $(cat "$temp/snapshot")"
        sleep 0.5
    done
}

# Milliseconds from the start of a command until it serves, looked at every half of one. What is
# started is left running; its process id and the time are printed.
cat >"$temp/start.py" <<'PYTHON'
import os, socket, subprocess, sys, time
kind, port, log, cpus, *command = sys.argv[1:]
question = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n" if kind == "http" else b"*1\r\n$4\r\nPING\r\n"
wanted = b"HTTP/1.1 200" if kind == "http" else b"+PONG"
began = time.monotonic()
process = subprocess.Popen(["taskset", "-c", cpus] + command, stdout=open(log, "w"), stderr=subprocess.STDOUT, start_new_session=True)
while True:
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as s:
            s.sendall(question)
            if s.recv(4096).startswith(wanted): break
    except OSError: pass
    if process.poll() is not None: sys.exit(f"{command[0]} ended: " + open(log).read()[-300:])
    if time.monotonic() - began > 120: sys.exit(f"{command[0]} is not ready after two minutes")
    time.sleep(0.0005)
print(process.pid, f"{(time.monotonic() - began) * 1000:.2f}")
PYTHON

# restart NAME CPUS COMMAND…: leaves the milliseconds in $took.
restart() {
    local name=$1 cpus=$2 kind=http line
    shift 2
    [[ $name == redis ]] && kind=resp
    line=$(taskset -c "$CLIENT_CPUS" python3 "$temp/start.py" $kind "${port[$name]}" "$temp/$name.log" "$cpus" "$@") ||
        fail "$name did not start again"
    read -r pid[$name] took <<<"$line"
}
needletail_command() { # of NAME OPTIONS…
    local name=$1
    shift
    command=("$NEEDLETAIL" "127.0.0.1:${port[$name]}" --dir "$home/$name" --io "$IO" --log-level warn "$@")
}

# files NAME PREFIX: what is on disk, by the files' lengths and by what is allocated to them.
files() {
    note "$2.storage $(stat -c %s "$home/$1"/storage.db* 2>/dev/null | awk '{ s += $1 } END { print s + 0 }')"
    note "$2.directory $(du -s --apparent-size -B1 "$home/$1" | cut -f1)"
    note "$2.allocated $(du -s -B1 "$home/$1" | cut -f1)"
}

redis_started() { # redis with the same records, and a dump of them
    need redis-server redis-server
    wipe redis
    start redis redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$home/redis" --save '' --appendonly no
    bench resp "127.0.0.1:${port[redis]}" --command set --keys "$1" --size "$SIZE" --words --distribution sequential \
        --requests "$1" --connections 50 --pipeline 16 --quiet >/dev/null
    redis-cli -p "${port[redis]}" save >/dev/null
    note "redis.dump $(stat -c %s "$home/redis/dump.rdb")"
    stop redis
}

if has start; then
    say "start: 100,000 records"
    wipe kept
    needletail_command kept --shards 1 --fsync everysec
    start kept --ready is_ready "${command[@]}"
    fill kept 100000
    count=$(count_of kept)
    note "start.rss $(awk '/VmRSS/ { print $2 * 1024 }' "/proc/${pid[kept]}/status")"
    snapshot kept
    stop kept
    files kept start
    redis_started 100000
    redis=(redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$home/redis" --save '' --appendonly no)
    for ((round = 1; round <= ROUNDS + 2; round++)); do
        restart kept "$SERVER_CPUS" "${command[@]}"
        note "start.ms $took"
        ((round > 1)) || [[ $(count_of kept) == "$count" ]] || fail "after the restart there are $(count_of kept) records, not $count"
        stop kept
        restart redis "$SERVER_CPUS" "${redis[@]}"
        note "start.redis.ms $took"
        stop redis
    done
    rm -rf "$home/kept" "$home/redis"
fi

if has million || has snapshot; then
    say "$MANY records"
    wipe kept
    needletail_command kept --shards 1 --fsync everysec
    start kept --ready is_ready "${command[@]}"
    fill kept "$MANY"
    count=$(count_of kept)
fi

# Turns of the shards longer than half a millisecond, and all, from the histogram.
turns() {
    curl -s -m 5 -H 'Accept: text/plain' "http://127.0.0.1:${port[kept]}/metrics" | awk '
        /^needletail_turn_duration_seconds_bucket/ {
            match($0, /le="[^"]*"/); le = substr($0, RSTART + 4, RLENGTH - 5)
            if (le == "+Inf") all += $NF; else if (le + 0 <= 0.0005 && le + 0 >= best) {
                if (le + 0 > best) { best = le + 0; within = 0 }
                within += $NF
            }
        }
        END { print all - within, all }'
}

if has snapshot; then
    gets() {
        bench get "127.0.0.1:${port[kept]}" --table words --keys "$MANY" --rate 2000 --connections 16 \
            --duration "$1" --warmup 200ms --quiet --json
    }
    for ((round = 1; round <= ROUNDS; round++)); do
        say "snapshot, round $round"
        rss=$(awk '/VmRSS/ { print $2 }' "/proc/${pid[kept]}/status")
        read -r long0 _ < <(turns)
        note "snapshot.without.p99 $(gets "$SECONDS_EACH" | of 'l["latency"]["p99"]')"
        read -r long1 _ < <(turns)
        gets "$SECONDS_EACH" >"$temp/during" &
        during=$!
        sleep 0.3
        # From here on the kernel notes the most memory there was: looking would take the time from who
        # is measured.
        echo 5 >"/proc/${pid[kept]}/clear_refs"
        began=$(date +%s%N)
        snapshot kept &
        job=$!
        wait $job
        note "snapshot.seconds $(awk -v ns=$(($(date +%s%N) - began)) 'BEGIN { print ns / 1e9 }')"
        wait "$during"
        read -r long2 _ < <(turns)
        most=$(awk '/VmHWM/ { print $2 }' "/proc/${pid[kept]}/status")
        note "snapshot.during.p99 $(of 'l["latency"]["p99"]' <"$temp/during")"
        note "snapshot.long-turns.without $((long1 - long0))"
        note "snapshot.long-turns.during $((long2 - long1))"
        note "snapshot.rss $(awk -v a="$most" -v b="$rss" 'BEGIN { print a / b }')"
    done
fi

if has million; then
    snapshot kept
    stop kept
    files kept million
    for ((round = 1; round <= ROUNDS; round++)); do
        restart kept "$SERVER_CPUS" "${command[@]}"
        note "million.ms $took"
        ((round > 1)) || [[ $(count_of kept) == "$count" ]] || fail "after the restart there are $(count_of kept) records, not $count"
        stop kept
    done
fi
stop kept
rm -rf "$home/kept"

if has replay; then
    say "replay: $MANY records in the log alone"
    for ((round = 1; round <= ROUNDS; round++)); do
        wipe kept
        needletail_command kept --shards "$(nproc)" --fsync everysec
        start kept --ready is_ready "${command[@]}"
        fill kept "$MANY"
        count=$(count_of kept)
        # Not stopped but killed, so that nothing is put in order first.
        kill -9 "${pid[kept]}"
        stop kept
        note "replay.log $(find "$home/kept" -name 'storage.db*' -prune -o -type f -printf '%s\n' | awk '{ s += $1 } END { print s + 0 }')"
        note "replay.snapshots $(find "$home/kept" -name 'storage.db*' | wc -l)"
        restart kept "0-$(($(nproc) - 1))" "${command[@]}"
        [[ $(count_of kept) == "$count" ]] || fail "after the replay there are $(count_of kept) records, not $count"
        note "replay.rate $(awk -v n="$count" -v ms="$took" 'BEGIN { print n / ms * 1000 }')"
        stop kept
        rm -rf "$home/kept"
    done
fi

# --- the table and the bars ---------------------------------------------------------------------

python3 - "$figures" <<'PYTHON'
import sys
from statistics import median

figures = {}
for line in open(sys.argv[1]):
    name, value = line.split()
    figures.setdefault(name, []).append(value if name == "baseline" else float(value))
has = lambda *names: all(n in figures for n in names)
mid = lambda name: median(figures[name])
ratio = lambda a, b: median(x / y for x, y in zip(figures[a], figures[b]) if y)
time = lambda ns: f"{ns / 1e3:.0f}us" if ns < 1e6 else f"{ns / 1e6:.2f}ms"
mib = lambda b: f"{b / 1e6:.2f} MB"

print()
for name in figures:
    if name != "baseline":
        values = figures[name]
        print(f"{name:30} {median(values):14,.2f}   of {len(values)}: {min(values):,.2f} to {max(values):,.2f}")
print()
failed = False
def bar(text, holds, shown):
    global failed
    failed |= not holds
    print(f"{'PASS' if holds else 'FAIL'}  {text}: {shown}")
def skip(text): print(f"SKIP  {text}: not run")

if has("baseline"):
    base = figures["baseline"][0]
    words = "no journal" if base == "base" else "--fsync no, which stands for no journal"
    for depth, least in ((1, 0.85), (16, 0.6)):
        got = ratio(f"policy.everysec.{depth}", f"policy.{base}.{depth}")
        bar(f"everysec beside {words}, P{depth}: at least {least}", got >= least, f"{got:.2f} ({mid(f'policy.everysec.{depth}'):,.0f} and {mid(f'policy.{base}.{depth}'):,.0f} PUT/s)")
else: skip("everysec beside no journal")
if has("always.50.rate"):
    got = ratio("always.50.rate", "always.1.rate")
    bar("always: 50 connections at least 20 times one", got >= 20, f"{got:.1f} ({mid('always.50.rate'):,.0f} and {mid('always.1.rate'):,.0f} PUT/s)")
    got = ratio("always.1.p50", "floor.p50")
    bar("always: one connection's p50 at most 2 bare writes and syncs", got <= 2, f"{got:.2f} ({time(mid('always.1.p50'))} and {time(mid('floor.p50'))})")
else: skip("always")
if has("start.ms"):
    bar("100,000 records: storage.db at most 10 MB", mid("start.storage") <= 10e6 and mid("start.storage") > 0, mib(mid("start.storage")))
    most = max(mid("start.directory"), mid("start.allocated"))
    bar("100,000 records: the directory after a drain at most 12 MB", most <= 12e6, f"{mib(mid('start.directory'))}, {mib(mid('start.allocated'))} allocated; redis' dump {mib(mid('redis.dump'))}")
    bar("100,000 records: start to ready at most 100 ms", mid("start.ms") <= 100, f"{mid('start.ms'):.1f} ms")
    bar("100,000 records: start to ready at most redis-server's", ratio("start.ms", "start.redis.ms") <= 1, f"{ratio('start.ms', 'start.redis.ms'):.2f} of its {mid('start.redis.ms'):.1f} ms")
else: skip("100,000 records")
if has("million.ms"):
    bar("1,000,000 records: start to ready at most 1 s", mid("million.ms") <= 1000, f"{mid('million.ms'):.0f} ms")
else: skip("1,000,000 records")
if has("replay.rate"):
    got = mid("replay.rate")
    bar("replay of a log alone: at least 1,000,000 records/s", got >= 1e6, f"{got:,.0f}/s of {mib(mid('replay.log'))}" + (", with a snapshot in it" if mid("replay.snapshots") else ""))
else: skip("replay")
if has("snapshot.during.p99"):
    got = median(a - b for a, b in zip(figures["snapshot.during.p99"], figures["snapshot.without.p99"]))
    bar("a snapshot of 1,000,000: GET p99 at most 2 ms more", got <= 2e6, f"{time(mid('snapshot.during.p99'))} and {time(mid('snapshot.without.p99'))} without, {mid('snapshot.seconds'):.2f} s long")
    got = max(figures["snapshot.rss"])
    bar("the same: memory at most 1.15 times", got <= 1.15, f"{got:.3f}")
    got = median(a - b for a, b in zip(figures["snapshot.long-turns.during"], figures["snapshot.long-turns.without"]))
    bar("the same: no turn longer than 500 us because of it", got <= 0, f"{mid('snapshot.long-turns.during'):.0f} such turns, {mid('snapshot.long-turns.without'):.0f} without")
else: skip("a snapshot of 1,000,000")
sys.exit(1 if failed else 0)
PYTHON
