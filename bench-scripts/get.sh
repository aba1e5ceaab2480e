#!/bin/bash
# GET on one shard, beside the ceiling and nginx: throughput, server CPU per request, latency.
#
# The server is pinned to one CPU and wrk to another, all servers send replies of the same total
# size, the runs of all targets are interleaved, and every figure is the median over the rounds.
# Ratios are taken within a round, so that a machine whose speed drifts does not decide them.
# Server CPU stands beside throughput because wrk is often the one at its limit. needletail-bench
# then runs the same beside wrk, where it is built; docs/bench.md says where the two differ.
#
#   bench-scripts/get.sh                       everything, about three minutes
#   TARGETS="ceiling uring" ROUNDS=5 bench-scripts/get.sh
#
#   TARGETS       of: ceiling uring epoll nginx                                  (all)
#   ROUNDS        runs of each target and depth                                  (3)
#   SECONDS_EACH  seconds of one run                                             (3)
#   DEPTHS        requests a connection has in flight                            (1 16)
#   CONNECTIONS   open at once                                                   (64)
#   PATH_         what is asked for                                              (/health)
#   REPLY_BYTES   reply size when needletail, which sets it, is not a target     (128)
#   SHARDS        needletail's shards                                            (1)
#   SERVER_CPUS, CLIENT_CPUS   where both sides run                              (0, 1)
#   REALTIME=1    runs both sides at real-time priority, for quieter figures     (0)
#   KEYS          asks for real keys, so many, instead of PATH_: see keys.sh
#   NEEDLETAIL    the server's binary                        (.build/release/needletail)
#   BENCH         the second load generator; empty for none  (.build/release/needletail-bench)
#
# Ends with PASS or FAIL for each bar whose targets took part; exits 1 when one failed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."

[[ ! ${KEYS:-} ]] || exec bench-scripts/keys.sh "$@"
TARGETS=${TARGETS:-ceiling uring epoll nginx}
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-3}
DEPTHS=${DEPTHS:-1 16}
CONNECTIONS=${CONNECTIONS:-64}
PATH_=${PATH_:-/health}
REPLY_BYTES=${REPLY_BYTES:-128}
SHARDS=${SHARDS:-1}
SERVER_CPUS=${SERVER_CPUS:-0}
CLIENT_CPUS=${CLIENT_CPUS:-1}
REALTIME=${REALTIME:-0}
NEEDLETAIL=${NEEDLETAIL:-.build/release/needletail}
BENCH=${BENCH-.build/release/needletail-bench}
ready_seconds_max=10

refuse() {
    echo "get.sh: $*" >&2
    exit 64
}

takes_part() { [[ " $TARGETS " == *" $1 "* ]]; }

# Without RUNLEVEL Debian would start nginx as a service as soon as it is installed.
need() {
    command -v "$1" >/dev/null && return
    [[ $EUID == 0 ]] || refuse "$1 is missing: apt-get install $2"
    echo "installing $2" >&2
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "$2" >/dev/null \
        || refuse "could not install $2"
}

for target in $TARGETS; do
    [[ $target =~ ^(ceiling|uring|epoll|nginx)$ ]] || refuse "no target is called $target"
done
[[ $ROUNDS =~ ^[1-9][0-9]?$ && $SECONDS_EACH =~ ^[1-9][0-9]?$ ]] \
    || refuse "ROUNDS and SECONDS_EACH are numbers from 1 to 99"
need wrk wrk
need python3 python3
if takes_part nginx; then need nginx nginx-light; fi
if takes_part ceiling; then Benchmarks/Ceiling/build; fi
if takes_part uring || takes_part epoll; then
    [[ -x $NEEDLETAIL ]] || refuse "$NEEDLETAIL is missing: ./dev build, or leave uring and epoll out of TARGETS"
fi

if [[ $BENCH && ! -x $BENCH ]]; then
    echo "get.sh: $BENCH is missing (swift build -c release --product needletail-bench): wrk alone" >&2
    BENCH=
fi

realtime=()
if [[ $REALTIME == 1 ]]; then
    if chrt -f 5 true 2>/dev/null; then
        realtime=(chrt -f 5)
    else
        echo "get.sh: real-time priority is not permitted here, going on without" >&2
    fi
fi

temp=$(mktemp -d)
declare -A pid=() port=()
end() {
    local target
    for target in "${!pid[@]}"; do kill "${pid[$target]}" 2>/dev/null || true; done
    # A server that drains may take a while; none of them may stay.
    for target in "${!pid[@]}"; do
        for _ in {1..50}; do
            kill -0 "${pid[$target]}" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "${pid[$target]}" 2>/dev/null || true
    done
    rm -rf "$temp"
}
trap end EXIT
trap 'exit 130' INT TERM

# --- the servers -------------------------------------------------------------------------------

# Prints the total size of the reply to exactly the request that wrk sends.
cat >"$temp/reply_bytes.py" <<'PYTHON'
import socket, sys
port, path = int(sys.argv[1]), sys.argv[2]
with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        piece = s.recv(65536)
        if not piece: sys.exit("the connection was closed before a reply came")
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if lines[0].split()[1] != "200": sys.exit(f"{path} was answered with: {lines[0]}")
    length = [l.split(":")[1] for l in lines if l.lower().startswith("content-length:")]
    if not length: sys.exit("the reply has no Content-Length")
    print(len(head) + 4 + int(length[0]))
PYTHON

free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
PYTHON
}

# start TARGET COMMAND…: runs it pinned, and waits until it answers.
start() {
    local target=$1 deadline=$((SECONDS + ready_seconds_max))
    shift
    taskset -c "$SERVER_CPUS" "${realtime[@]}" "$@" >"$temp/$target.log" 2>&1 &
    pid[$target]=$!
    until python3 "$temp/reply_bytes.py" "${port[$target]}" "$PATH_" >/dev/null 2>"$temp/why"; do
        if ((SECONDS >= deadline)) || ! kill -0 "${pid[$target]}" 2>/dev/null; then
            echo "get.sh: $target does not answer: $(tail -n 1 "$temp/why")" >&2
            tail -n 5 "$temp/$target.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

reply_bytes_of() { python3 "$temp/reply_bytes.py" "${port[$1]}" "$PATH_"; }

start_nginx() {
    local body
    body=$(printf 'x%.0s' $(seq "$1"))
    cat >"$temp/nginx.conf" <<NGINX
daemon off;
master_process off;
worker_processes 1;
pid $temp/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    server_tokens off;
    default_type "";
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path $temp/nginx-body;
    proxy_temp_path $temp/nginx-proxy;
    fastcgi_temp_path $temp/nginx-fastcgi;
    uwsgi_temp_path $temp/nginx-uwsgi;
    scgi_temp_path $temp/nginx-scgi;
    server {
        listen 127.0.0.1:${port[nginx]};
        location / { return 200 "$body"; }
    }
}
NGINX
    start nginx nginx -p "$temp" -e stderr -c "$temp/nginx.conf"
}

# nginx's head has a size of its own, so its body is what makes the totals equal.
start_nginx_of_size() {
    local wanted=$1 smallest body=1
    start_nginx 1
    smallest=$(reply_bytes_of nginx)
    # The head of a one-byte body has one digit of Content-Length.
    while ((smallest - 2 + ${#body} + body < wanted)); do body=$((body + 1)); done
    ((body > 1)) || return 0
    kill "${pid[nginx]}"
    wait "${pid[nginx]}" 2>/dev/null || true
    start_nginx "$body"
}

read -r port[ceiling] port[uring] port[epoll] port[nginx] < <(free_ports 4)
for io in uring epoll; do
    takes_part $io || continue
    mkdir "$temp/$io"
    start $io "$NEEDLETAIL" "127.0.0.1:${port[$io]}" --dir "$temp/$io" --shards "$SHARDS" --io $io
    REPLY_BYTES=$(reply_bytes_of $io)
done
if takes_part nginx; then start_nginx_of_size "$REPLY_BYTES"; fi
if takes_part ceiling; then start ceiling .build/ceiling "${port[ceiling]}" "$REPLY_BYTES"; fi

echo "GET $PATH_, $CONNECTIONS connections, server on cpu $SERVER_CPUS, wrk on cpu $CLIENT_CPUS," \
    "$ROUNDS rounds of $SECONDS_EACH s${realtime[*]:+, ${realtime[*]}}"
sizes= unequal=
for target in $TARGETS; do
    size=$(reply_bytes_of "$target")
    sizes+=" $target $size"
    ((size == REPLY_BYTES)) || unequal+=" $target"
done
echo "reply bytes:$sizes"
if [[ $unequal ]]; then
    echo "note: not the same size as the others:$unequal (nginx's head alone has more than a hundred)"
fi

# --- the runs ----------------------------------------------------------------------------------

cat >"$temp/pipeline.lua" <<'LUA'
local batch
init = function(args)
    local one = {}
    for i = 1, tonumber(args[1]) do one[i] = wrk.format() end
    batch = table.concat(one)
end
request = function() return batch end
LUA

# User and system ticks of the whole process.
ticks() { sed 's/.*) //' "/proc/$1/stat" | cut -d ' ' -f 12,13; }

# Ticks of the whole machine that were neither idle nor this script's children's.
ticks_of_others() {
    local all ours
    all=$(awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat)
    ours=$(sed 's/.*) //' "/proc/$$/stat" | awk '{ print $12 + $13 + $14 + $15 }')
    echo $((all - ours))
}

# Ticks of the children that this script has waited for: what the generators used, and little else.
ticks_of_children() { sed 's/.*) //' "/proc/$$/stat" | awk '{ print $14 + $15 }'; }

# run TARGET DEPTH SECONDS: leaves wrk's words in $temp/wrk and the ticks it cost in $spent: the
# server's before and after, and those of the whole machine that were not wrk's, likewise; and
# wrk's own in $client.
run() {
    local target=$1 depth=$2 seconds=$3 before after children
    local url="http://127.0.0.1:${port[$target]}$PATH_"
    local wrk=(taskset -c "$CLIENT_CPUS" "${realtime[@]}"
        wrk -t1 -c"$CONNECTIONS" -d"${seconds}s" --latency)
    before="$(ticks "${pid[$target]}") $(ticks_of_others)"
    children=$(ticks_of_children)
    if ((depth == 1)); then
        "${wrk[@]}" "$url" >"$temp/wrk"
    else
        "${wrk[@]}" -s "$temp/pipeline.lua" "$url" -- "$depth" >"$temp/wrk"
    fi
    client=$(($(ticks_of_children) - children))
    after="$(ticks "${pid[$target]}") $(ticks_of_others)"
    spent="$before $after"
    if grep -E 'Socket errors|Non-2xx' "$temp/wrk" >&2; then
        echo "get.sh: $target at depth $depth gave errors; its figures mean nothing" >&2
        exit 1
    fi
}

# The same by needletail-bench, as a line of figures.
run_bench() {
    local target=$1 depth=$2 seconds=$3
    taskset -c "$CLIENT_CPUS" "${realtime[@]}" "$BENCH" get "127.0.0.1:${port[$target]}$PATH_" \
        --connections "$CONNECTIONS" --pipeline "$depth" --duration "$seconds" --warmup 0 --json \
        --quiet >"$temp/bench"
    python3 - "$temp/bench" "$target" <<'PYTHON'
import json, sys
result = json.load(open(sys.argv[1]))
figures, latency = result["figures"], result["latencies_ns"]["latency"]
if figures.get("replies_2xx", 0) < figures["requests"] * 0.999:
    sys.exit(f"get.sh: {sys.argv[2]} gave needletail-bench errors; its figures mean nothing")
cpu = figures["generator.cpu"] / 100 * figures["seconds"] * 1e6
print(figures["rate"], latency["p50"] / 1e3, latency["p99"] / 1e3, figures["generator.cpu"],
      cpu / figures["requests"])
PYTHON
}

for depth in $DEPTHS; do
    for target in $TARGETS; do run "$target" "$depth" 1; done # to warm up
    for ((round = 1; round <= ROUNDS; round++)); do
        for target in $TARGETS; do
            run "$target" "$depth" "$SECONDS_EACH"
            awk -v key="$depth $round $target" -v spent="$spent" -v client="$client" '
                function us(text) {
                    if (text ~ /us$/) return text + 0
                    if (text ~ /ms$/) return text * 1000
                    return text * 1000000
                }
                $1 == "50%" { p50 = us($2) }
                $1 == "99%" { p99 = us($2) }
                $2 == "requests" && $3 == "in" { requests = $1; sub(/,$/, "", $4); s = us($4) / 1e6 }
                END { print key, requests, s, p50, p99, spent, client }' "$temp/wrk" >>"$temp/runs"
            if [[ $BENCH ]]; then
                figures=$(run_bench "$target" "$depth" "$SECONDS_EACH")
                echo "$depth $target $figures" >>"$temp/bench_runs"
            fi
        done
    done
done

# --- the table and the bars --------------------------------------------------------------------

touch "$temp/bench_runs"
python3 - "$temp/runs" "$(getconf CLK_TCK)" "$TARGETS" "$temp/bench_runs" <<'PYTHON'
import sys
from statistics import median

path, ticks_per_second, targets = sys.argv[1], int(sys.argv[2]), sys.argv[3].split()
bench_runs = {}
for line in open(sys.argv[4]):
    depth, target, *figures = line.split()
    bench_runs.setdefault(int(depth), {}).setdefault(target, []).append([*map(float, figures)])
runs, strangers = {}, []
for line in open(path):
    depth, round_, target, *rest = line.split()
    requests, seconds, p50, p99, u0, s0, all0, u1, s1, all1, client = map(float, rest)
    us = lambda ticks: ticks / ticks_per_second * 1e6 / requests
    user, system = us(u1 - u0), us(s1 - s0)
    strangers.append(100 * (all1 - all0 - (u1 - u0) - (s1 - s0)) / ticks_per_second / seconds)
    runs.setdefault(int(depth), {}).setdefault(target, []).append(dict(
        rate=requests / seconds, user=user, system=system, cpu=user + system,
        busy=100 * (user + system) * requests / 1e6 / seconds, p50=p50, p99=p99,
        client=us(client), client_busy=100 * client / ticks_per_second / seconds))

def mid(depth, target, figure):
    return median(run[figure] for run in runs[depth][target])

def ratio(depth, target, base, figure="rate"):
    pairs = zip(runs[depth][target], runs[depth][base])
    return median(a[figure] / b[figure] if b[figure] else float("nan") for a, b in pairs)

base = "ceiling" if "ceiling" in targets else targets[0]
names = {"uring": "needletail uring", "epoll": "needletail epoll"}
for depth in runs:
    print(f"\nP{depth:<18} req/s  x {base:8} CPU us/req   user  system  x {base:8} busy  p50 us  p99 us")
    for target in targets:
        m = lambda figure: mid(depth, target, figure)
        # wrk corrects latencies for an interval per request; with pipelining, where a sample is a
        # whole batch, its correction invents samples and its percentiles come out as 0.
        latency = f"{m('p50'):6.0f}  {m('p99'):6.0f}" if depth == 1 else "     -       -"
        print(f"{names.get(target, target):17} {m('rate'):8.0f}  {ratio(depth, target, base):10.2f}"
              f"   {m('cpu'):8.2f} {m('user'):6.2f}  {m('system'):6.2f}"
              f"  {ratio(depth, target, base, 'cpu'):10.2f}"
              f" {m('busy'):4.0f}%  {latency}")
print("\nbusy: the server's share of its CPU; below 100 % the generator or the machine was the limit."
      "\nNo latency with pipelining: wrk's percentiles are wrong there.\n")

# The two generators side by side. Where the server is the limit they agree; where wrk's CPU is, they
# cannot, and the cost of a request says which of them could have sent more.
for depth in bench_runs:
    print(f"\nP{depth} by    wrk:  req/s  p50 us  p99 us  busy  us/req"
          f"   needletail-bench:  req/s  p50 us  p99 us  busy  us/req   rate x wrk")
    for target in targets:
        m = lambda figure: mid(depth, target, figure)
        rows = bench_runs[depth][target]
        rate, p50, p99, busy, each = (median(row[i] for row in rows) for i in range(5))
        pairs = zip(rows, runs[depth][target])
        times = median(row[0] / run["rate"] for row, run in pairs)
        latency = f"{m('p50'):6.0f}  {m('p99'):6.0f}" if depth == 1 else "     -       -"
        print(f"{names.get(target, target):17} {m('rate'):8.0f}  {latency}  {m('client_busy'):3.0f}%"
              f"  {m('client'):6.2f}  {rate:24.0f}  {p50:6.0f}  {p99:6.0f}  {busy:3.0f}%"
              f"  {each:6.2f}  {times:11.2f}")
if bench_runs: print()

# Half a run of one target against a neighbour's compiler decides more than any server does.
if max(strangers) > 10:
    print(f"note: other processes took up to {max(strangers):.0f} % of a CPU during a run"
          f" (median {median(strangers):.0f} %): these figures are not to be trusted\n")

bars = [
    ("uring against the ceiling, P1", 1, "uring", "ceiling", 0.95),
    ("uring against the ceiling, P16", 16, "uring", "ceiling", 0.85),
    ("epoll against uring, P1", 1, "epoll", "uring", 0.80),
    ("uring against nginx, P1", 1, "uring", "nginx", 1.05),
]
# The generator that spends less on a request decides: the other is sooner at its own limit, and then
# all servers have its rate.
def decides(depth, target):
    rows = bench_runs.get(depth, {}).get(target)
    return bool(rows) and median(row[4] for row in rows) < mid(depth, target, "client")

failed = False
for name, depth, target, other, bar in bars:
    if depth not in runs or target not in targets or other not in targets:
        print(f"SKIP  {name}: not run")
        continue
    by_wrk = got = ratio(depth, target, other)
    generator = "wrk"
    if decides(depth, target):
        pairs = zip(bench_runs[depth][target], bench_runs[depth][other])
        got, generator = median(a[0] / b[0] for a, b in pairs), "needletail-bench"
    failed |= got < bar
    # Requests per second of the server's CPU: the same question without the generator's limit.
    by_cpu = ratio(depth, other, target, "cpu")
    print(f"{'PASS' if got >= bar else 'FAIL'}  {name}: {got:.2f} by {generator}, at least {bar:.2f}"
          f"  (by wrk {by_wrk:.2f}, wrk {mid(depth, target, 'client_busy'):.0f} % busy; by server CPU {by_cpu:.2f})")
sys.exit(1 if failed else 0)
PYTHON
