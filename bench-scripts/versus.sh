#!/bin/bash
# Needletail beside what people would use instead: the same work, in one run, interleaved.
#
# redis-server, nginx, nginx with nchan, memcached and etcd, each only where it does the same work:
# nginx answers a constant where needletail answers a stored record, redis keeps its log as
# needletail does (each second), etcd syncs each write as needletail does with --fsync always,
# memcached keeps the same records in memory. Every server has one CPU and the generator, which is
# needletail-bench for all of them, another. Medians over the rounds; ratios within a round. What is
# missing is installed. About ten minutes.
#
#   bench-scripts/versus.sh
#   WORK="get resp" ROUNDS=5 bench-scripts/versus.sh
#   bench-scripts/graph bench-results/….json >docs/versus.svg
#
#   WORK          of: get resp durable memory restart push                         (all)
#   ROUNDS        of each run                                                      (3)
#   SECONDS_EACH  of one run; push takes three times that                          (5)
#   RECORDS, SIZE of memory and restart: records, and bytes of a value             (100000, 348)
#   LISTENERS     of push                                                          (5000)
#   OUT           the result            (bench-results/<date>-<cpu>.json)
#   IO            needletail's driver                                              (auto)
#   REALTIME=1, SERVER_CPUS, CLIENT_CPUS, NEEDLETAIL, BENCH                        as in get.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# What was asked for otherwise than by default stands in the result's command.
given=
for name in WORK ROUNDS SECONDS_EACH RECORDS SIZE LISTENERS IO REALTIME SERVER_CPUS CLIENT_CPUS; do
    [[ ${!name:-} ]] && given+="$name='${!name}' "
done
. bench-scripts/servers.sh

WORK=${WORK:-get resp durable memory restart push}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-5}
RECORDS=${RECORDS:-100000}
SIZE=${SIZE:-348}
LISTENERS=${LISTENERS:-5000}
IO=${IO:-auto}
(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
for work in $WORK; do
    [[ $work =~ ^(get|resp|durable|memory|restart|push)$ ]] || refuse "no work is called $work"
done
[[ $ROUNDS =~ ^[1-9][0-9]?$ && $SECONDS_EACH =~ ^[1-9][0-9]?$ ]] ||
    refuse "ROUNDS and SECONDS_EACH are numbers from 1 to 99"
does() { [[ " $WORK " == *" $1 "* ]]; }
cpu=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
OUT=${OUT:-bench-results/$(date -u +%F)-$(tr -cs 'A-Za-z0-9\n' - <<<"$cpu" | sed 's/^-*//; s/-*$//').json}

need_bench
need_needletail
need curl curl
if does get; then need nginx nginx-light; fi
if does resp || does memory || does restart; then need redis-server redis-server; fi
if does memory; then need memcached memcached; fi
if does durable; then need etcd etcd-server; fi
if does push; then need_nchan; fi

read -r port[needletail] port[nginx] port[nchan] port[redis] port[memcached] port[etcd] etcd_peer < <(free_ports 7)
keep_memory
say() { echo "$script: $*" >&2; }
rows=$temp/rows
touch "$rows"
# row WORK SERVER FIGURE UNIT BETTER VALUE: BETTER is more or less.
row() { printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$@" >>"$rows"; }

# measure WORK SERVER ARGUMENTS…: one run, its rows of rate, latency and processor time.
measure() {
    local work=$1 server=$2
    shift 2
    bench "$@" --pid "${pid[$server]}" --quiet --json >"$temp/run" || fail "$work of $server could not be run"
    python3 - "$temp/run" "$work" "$server" >>"$rows" <<'PYTHON'
import json, sys
file, work, server = sys.argv[1:]
result = json.load(open(file))
f, l = result["figures"], result["latencies_ns"]
def row(figure, unit, better, value): print(work, server, figure, unit, better, value, sep="\t")
if result["command"] == "push":
    wrong = sum(f.get(n, 0) for n in ("missed", "duplicates", "out_of_order", "behind_at_end"))
    row("p50", "us", "less", l["by the kernel"]["p50"] / 1e3)
    row("p99", "us", "less", l["by the kernel"]["p99"] / 1e3)
    row("last", "us", "less", l["by the kernel, last"]["p50"] / 1e3)
    row("faults", "", "less", wrong)
else:
    if f.get("replies_2xx", 0) < f["requests"] * 0.999: sys.exit(f"{work} of {server} gave errors: its figures mean nothing")
    latency = l.get("latency") or l.get("write")
    row("rate", "/s", "more", f["rate"])
    row("p50", "us", "less", latency["p50"] / 1e3)
    row("p99", "us", "less", latency["p99"] / 1e3)
row("server cpu", "us", "less", f["server.cpu_user"] + f["server.cpu_system"])
PYTHON
}
http=127.0.0.1:${port[needletail]}
rounds() { seq 1 "$ROUNDS"; }
short=(--duration "$SECONDS_EACH" --warmup 1s --connections 64)
answers_resp() { bench resp "$http" --command ping --requests 1 --connections 1 --timeout 1s --quiet --json 2>/dev/null |
    python3 -c 'import json,sys; sys.exit(json.load(sys.stdin)["figures"].get("replies_2xx", 0) != 1)' 2>/dev/null; }

start_redis() { # with a log that is synced each second, as ours is
    rm -rf "$temp/redis"
    mkdir "$temp/redis"
    start redis redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$temp/redis" --save '' \
        --appendonly "$1" --appendfsync everysec --auto-aof-rewrite-percentage 0
}

if does get; then
    start_needletail needletail --shards 1 --io "$IO"
    # What a record with a value of that size comes to, so that nginx's body has it too.
    sign_in needletail
    bench get "$http" "${auth[@]}" --keys 1000 --size "$SIZE" --fill --requests 1 --connections 1 --quiet >/dev/null
    body=$(curl -s "http://$http/bench/key/key00000001" | wc -c)
    start_nginx nginx "location / { return 200 \"$(head -c "$body" /dev/zero | tr '\0' x)\"; }"
    for round in $(rounds); do
        for depth in 1 16; do
            say "get, P$depth, round $round"
            measure "GET, P$depth" needletail get "$http" --keys 1000 --pipeline $depth "${short[@]}"
            measure "GET, P$depth" nginx get "127.0.0.1:${port[nginx]}/x" --pipeline $depth "${short[@]}"
        done
    done
    stop needletail
    stop nginx
fi

if does resp; then
    start_needletail needletail --shards 1 --io "$IO"
    if answers_resp; then
        start_redis yes
        for round in $(rounds); do
            for depth in 1 16; do
                for command in set get; do
                    say "resp $command, P$depth, round $round"
                    for server in needletail redis; do
                        measure "RESP ${command^^}, P$depth" $server resp "127.0.0.1:${port[$server]}" --command $command \
                            --keys 10000 --size "$SIZE" --pipeline $depth "${short[@]}"
                    done
                done
            done
        done
        stop redis
    else
        say "resp: not served yet, left out"
    fi
    stop needletail
fi

if does durable; then
    mkdir -p "$temp/durable"
    dir[needletail]=$temp/durable/needletail
    mkdir -p "${dir[needletail]}"
    start_needletail needletail --shards 1 --io "$IO" --fsync always
    sign_in needletail
    start etcd etcd --data-dir "$temp/durable/etcd" --listen-client-urls "http://127.0.0.1:${port[etcd]}" \
        --advertise-client-urls "http://127.0.0.1:${port[etcd]}" --listen-peer-urls "http://127.0.0.1:$etcd_peer" --log-level error
    # etcd takes keys and values in base64; any text of the right length is some.
    value=$(head -c "$SIZE" /dev/zero | tr '\0' x | base64 -w0)
    for round in $(rounds); do
        for connections in 1 50; do
            say "durable, $connections connections, round $round"
            words=(--duration "$SECONDS_EACH" --warmup 1s --connections $connections --keys 10000)
            measure "synced PUT, $connections connections" needletail put "$http" "${auth[@]}" --size "$SIZE" "${words[@]}"
            measure "synced PUT, $connections connections" etcd put "127.0.0.1:${port[etcd]}/v3/kv/put" --publish-method POST \
                --payload "{\"key\":\"{key}=\",\"value\":\"$value\"}" "${words[@]}"
        done
    done
    stop needletail
    stop etcd
    unset "dir[needletail]"
fi

rss() { awk '/VmRSS/ { print $2 / 1024 }' "/proc/${pid[$1]}/status"; }
fill_words=(--keys "$RECORDS" --size "$SIZE" --words --distribution sequential --requests "$RECORDS"
    --connections 50 --pipeline 16 --quiet)
fill() { # every server has the same records: keys, and words for values
    case $1 in
        needletail)
            sign_in needletail
            bench put "$http" "${auth[@]}" "${fill_words[@]}" >/dev/null
            ;;
        redis) bench resp "127.0.0.1:${port[redis]}" --command set "${fill_words[@]}" >/dev/null ;;
        memcached)
            # No generator here speaks its protocol, and memory needs none: values of that length.
            python3 - "${port[memcached]}" "$RECORDS" "$SIZE" <<'PYTHON'
import socket, sys
port, records, size = map(int, sys.argv[1:])
s = socket.create_connection(("127.0.0.1", port))
f = s.makefile("rb")
value = b"x" * size
for first in range(0, records, 1000):
    s.sendall(b"".join(b"set bench:key%08d 0 0 %d\r\n%s\r\n" % (k, size, value) for k in range(first, min(first + 1000, records))))
    for _ in range(first, min(first + 1000, records)):
        if f.readline() != b"STORED\r\n": sys.exit("memcached did not store a record")
PYTHON
            ;;
    esac
}

if does memory; then
    for round in $(rounds); do
        say "memory, round $round"
        for server in needletail redis memcached; do
            case $server in
                needletail) start_needletail needletail --shards 1 --io "$IO" ;;
                redis) start_redis no ;;
                memcached) start memcached memcached -u nobody -l 127.0.0.1 -p "${port[memcached]}" -m 1024 -t 1 ;;
            esac
            fill $server
            row "memory of $RECORDS records" $server memory MiB less "$(rss $server)"
            stop $server
        done
        rm -rf "$temp/data.needletail"
        unset "dir[needletail]"
    done
fi

if does restart; then
    start_needletail needletail --shards 1 --io "$IO"
    fill needletail
    stop needletail
    start_redis no
    fill redis
    redis-cli -p "${port[redis]}" save >/dev/null
    stop redis
    row "disk of $RECORDS records" needletail disk MiB less "$(du -s --apparent-size -B1 "${dir[needletail]}" | awk '{ print $1 / 1048576 }')"
    row "disk of $RECORDS records" redis disk MiB less "$(stat -c %s "$temp/redis/dump.rdb" | awk '{ print $1 / 1048576 }')"
    redis_ready() { [[ $(redis-cli -p "$1" ping 2>/dev/null) == PONG ]]; }
    for round in $(rounds); do
        say "restart, round $round"
        began=$(date +%s%N)
        start_needletail needletail --shards 1 --io "$IO"
        row "start with $RECORDS records" needletail start ms less $((($(date +%s%N) - began) / 1000000))
        stop needletail
        began=$(date +%s%N)
        start redis --ready redis_ready redis-server --port "${port[redis]}" --bind 127.0.0.1 --dir "$temp/redis" --save '' --appendonly no
        row "start with $RECORDS records" redis start ms less $((($(date +%s%N) - began) / 1000000))
        stop redis
    done
    rm -rf "$temp/data.needletail"
    unset "dir[needletail]"
fi

if does push; then
    start_needletail needletail --shards 1 --io "$IO"
    start_nchan nchan
    sign_in needletail
    long=(--duration $((SECONDS_EACH * 3)) --warmup 2s --drain 5s --listeners "$LISTENERS")
    for round in $(rounds); do
        say "push, round $round"
        for server in needletail nchan; do
            words=("${auth[@]}")
            [[ $server == nchan ]] && words=("${nchan_words[@]}")
            measure "push, $LISTENERS keys, 300 writes/s" $server push "127.0.0.1:${port[$server]}" "${words[@]}" "${long[@]}" \
                --keys "$LISTENERS" --rate 300
            measure "push, one key to $LISTENERS" $server push "127.0.0.1:${port[$server]}" "${words[@]}" "${long[@]}" \
                --keys 1 --rate 1 --arrivals even
        done
    done
    stop needletail
    stop nchan
    for server in needletail nchan; do
        group "listeners-$server" 0 0 || { say "no control group can be made here: memory of listeners is left out"; break; }
        if [[ $server == nchan ]]; then start_nchan nchan --group "listeners-$server"; words=(--subscribe-path '/sub/{key}'); else
            start_needletail needletail --group "listeners-$server" --shards 1 --io "$IO"
            words=()
        fi
        bench hold "127.0.0.1:${port[$server]}" "${words[@]}" --listeners "$LISTENERS" --keys "$LISTENERS" --duration 2s \
            --pid "${pid[$server]}" --quiet --json >"$temp/run"
        row "an idle listener" $server charged B less "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["figures"]["server.group_a_stream"])' "$temp/run")"
        stop $server
        end_group "listeners-$server"
    done
fi

# --- the result ---------------------------------------------------------------------------------

mkdir -p "$(dirname "$OUT")"
python3 - "$rows" "$OUT" "$cpu" "$(uname -r)" "$(nproc)" "${given}bench-scripts/versus.sh" \
    "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)" "$ROUNDS" <<'PYTHON'
import json, re, subprocess, sys, time
from statistics import median

path, out, cpu, kernel, cpus, command, commit, rounds = sys.argv[1:]
rows = {}
for line in open(path):
    work, server, figure, unit, better, value = line.rstrip("\n").split("\t")
    row = rows.setdefault((work, figure), dict(work=work, figure=figure, unit=unit, better=better, servers={}))
    row["servers"].setdefault(server, []).append(float(value))
def version(*words):
    try: text = subprocess.run(words, capture_output=True, text=True, timeout=5)
    except OSError: return None
    found = re.search(r"\d+\.\d+(\.\d+)?", text.stdout + text.stderr)
    return found.group(0) if found else None
for row in rows.values():
    ours = row["servers"].get("needletail")
    row["ratios"] = {peer: median(a / b for a, b in zip(ours, theirs) if b)
                     for peer, theirs in row["servers"].items() if peer != "needletail" and ours and any(theirs)}
result = dict(
    format=1, date=time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()), cpu=cpu, cpus=int(cpus), kernel=kernel,
    commit=commit, command=command, rounds=int(rounds),
    versions={n: v for n, v in (("redis", version("redis-server", "--version")), ("nginx", version("nginx", "-v")),
                                ("memcached", version("memcached", "--version")), ("etcd", version("etcd", "--version"))) if v},
    method="one CPU for the server, another for needletail-bench; interleaved rounds; medians, ratios within a round",
    rows=list(rows.values()))
json.dump(result, open(out, "w"), indent=1)

print(f"\n{cpu}, {cpus} CPUs, Linux {kernel}, {result['date']}, {rounds} rounds\n")
print(f"{'work':34}{'figure':12}{'':>14}  {'needletail':>12}  {'peer':>12}  ours over the peer's")
ahead = []
for row in rows.values():
    ours = row["servers"].get("needletail")
    for peer, theirs in row["servers"].items():
        if peer == "needletail" or not ours: continue
        ratio = row["ratios"].get(peer)
        shown = f"{ratio:.2f}" if ratio is not None else "-"
        wins = ratio is not None and (ratio >= 1 if row["better"] == "more" else ratio <= 1)
        if ratio is not None and not wins: ahead.append(f"{row['work']}: {row['figure']} of {peer}")
        cell = lambda v: f"{v:,.0f}" if v >= 1000 else f"{v:.2f}"
        print(f"{row['work']:34}{row['figure'] + ' ' + row['unit']:12}{peer:>14}  {cell(median(ours)):>12}  {cell(median(theirs)):>12}"
              f"  {shown:>6}{'' if ratio is None else '  ahead' if wins else '  behind'}")
print(f"\nThe peer is ahead in {len(ahead)} rows." + "".join(f"\n  {text}" for text in ahead))
print(f"\nwritten to {out}; bench-scripts/graph {out} draws it")
PYTHON
