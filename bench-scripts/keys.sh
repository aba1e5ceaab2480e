#!/bin/bash
# GET and PUT of real keys: 100,000 records of 348-byte JSON values, asked for at random, beside the
# ceiling with a constant reply of the same size; then the same on two shards.
#
# Rates are of needletail-bench, the runs of all targets are interleaved, ratios are taken within a
# round and their median stands. Server CPU per request stands beside: where the generator is the
# one at its limit, it is the honest figure.
#
#   bench-scripts/keys.sh            everything, about three minutes; `KEYS=N bench-scripts/get.sh` too
#
#   KEYS, SIZE    how many records, and what their values' JSON takes       (100000, 348)
#   ROUNDS, SECONDS_EACH   runs of each target and depth, their seconds     (3, 2)
#   CONNECTIONS   open at once                                              (64)
#   IO            the driver: uring or epoll                                (uring)
#   SERVER_CPUS, CLIENT_CPUS, REALTIME, NEEDLETAIL, BENCH   as for get.sh
#
# Ends with PASS or FAIL for each bar; exits 1 when one failed.
set -euo pipefail
cd "$(dirname "$0")/.."
KEYS=${KEYS:-100000} SIZE=${SIZE:-348} ROUNDS=${ROUNDS:-3} SECONDS_EACH=${SECONDS_EACH:-2}
CONNECTIONS=${CONNECTIONS:-64} IO=${IO:-uring}
# shellcheck source=bench-scripts/servers.sh
source bench-scripts/servers.sh
(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
need_needletail
need_bench
need curl curl
Benchmarks/Ceiling/build

read -r port[one] port[two] port[ceiling] <<<"$(free_ports 3)"
keep_memory
both_cpus=$SERVER_CPUS,$CLIENT_CPUS

# A server of real keys: NAME SHARDS CPUS [--group NAME].
start_keys() {
    SERVER_CPUS=$3 start "$1" --ready is_ready "${@:4}" "$NEEDLETAIL" "127.0.0.1:${port[$1]}" \
        --dir "$temp/$1" --shards "$2" --io "$IO" --fsync no
    # Every key once; a string of JSON has two quotes. Then each again: a record that is overwritten
    # for the first time moves, once.
    for _ in 1 2; do
        bench put "127.0.0.1:${port[$1]}" --keys "$KEYS" --size $((SIZE - 2)) --requests "$KEYS" \
            --distribution sequential --pipeline 32 --connections 4 --user bench --quiet --json \
            >"$temp/filled"
    done
}
start_keys one 1 "$SERVER_CPUS"
start_keys two 2 "$both_cpus"
reply_bytes=$(curl -si "http://127.0.0.1:${port[one]}/bench/key/key00000042" | wc -c)
start ceiling .build/ceiling "${port[ceiling]}" "$reply_bytes"
echo "a reply has $reply_bytes bytes; $KEYS keys, $CONNECTIONS connections, $IO"

# run NAME TARGET WORD DEPTH [OPTION…]: appends a line of JSON to $temp/runs.
run() {
    local name=$1 target=$2 word=$3 depth=$4 before after
    before=$(awk '{ print $14 + $15 }' "/proc/${pid[$target]}/stat")
    bench "$word" "127.0.0.1:${port[$target]}" --keys "$KEYS" --size $((SIZE - 2)) \
        --pipeline "$depth" --duration "$SECONDS_EACH" --warmup 0 --connections "$CONNECTIONS" \
        --quiet --json "${@:5}" >"$temp/run"
    after=$(awk '{ print $14 + $15 }' "/proc/${pid[$target]}/stat")
    python3 - "$temp/run" "$name" "$target" "$depth" $((after - before)) >>"$temp/runs" <<'PYTHON'
import json, os, sys
result = json.load(open(sys.argv[1]))
f, l = result["figures"], result["latencies_ns"]["latency"]
if f.get("replies_2xx", 0) < f["requests"] * 0.999:
    sys.exit(f"keys.sh: {sys.argv[2]} gave errors; its figures mean nothing")
cpu = int(sys.argv[5]) / os.sysconf("SC_CLK_TCK") * 1e6 / f["requests"]
print(json.dumps(dict(name=sys.argv[2], target=sys.argv[3], depth=int(sys.argv[4]), rate=f["rate"],
                      cpu=cpu, p50=l["p50"] / 1e3, p99=l["p99"] / 1e3, busy=f["generator.cpu"])))
PYTHON
}
# What the shards' mailboxes and wake-ups counted so far.
hops() {
    curl -s -H 'Accept: text/plain' "http://127.0.0.1:${port[two]}/metrics" | awk '
        /^needletail_shard_messages_total/ { m += $2 } /^needletail_shard_wakeups_total/ { w += $2 }
        END { print m, w }'
}

for ((round = 1; round <= ROUNDS; round++)); do
    for depth in 1 16; do
        run ceiling ceiling get "$depth"
        run get one get "$depth"
        run put one put "$depth" --user bench
        read -r messages wakes <<<"$(hops)"
        CLIENT_CPUS=$both_cpus run two two get "$depth"
        read -r messages_after wakes_after <<<"$(hops)"
        echo "$depth $((messages_after - messages)) $((wakes_after - wakes))" >>"$temp/hops"
        CLIENT_CPUS=$both_cpus run one-free one get "$depth"
    done
done

# Whether a second shard is worth its CPU can't be seen where it takes the generator's. So once more
# with a part of the server's CPU for one shard and twice that part for two, while the generator has
# a CPU for itself.
part=0.3
if group part "$part" 0 && group parts "$(awk -v part="$part" 'BEGIN { print 2 * part }')" 0; then
    read -r port[part] port[parts] <<<"$(free_ports 2)"
    start_keys part 1 "$SERVER_CPUS" --group part
    start_keys parts 2 "$SERVER_CPUS" --group parts
    for ((round = 1; round <= ROUNDS; round++)); do
        run part part get 16
        run parts parts get 16
    done
else
    echo "keys.sh: a process's part of a CPU can't be limited here; two shards are seen beside the generator only"
fi

# One connection and one key: a table whose key is another shard's, and one whose is not.
for table in a b c d e f g h i j; do
    curl -s -o "$temp/token" -H 'Content-Type: application/json' \
        -d "{\"secret\":\"$NEEDLETAIL_BENCH_SECRET\"}" "http://127.0.0.1:${port[two]}/auth/bench"
    token=$(sed -n 's/.*"token":"\([^"]*\)".*/\1/p' "$temp/token")
    curl -s -o /dev/null -X PUT -H "Authorization: Bearer $token" -d '{"value":1}' \
        -H 'Content-Type: application/json' "http://127.0.0.1:${port[two]}/$table/key/key00000000"
    read -r before _ <<<"$(hops)"
    CLIENT_CPUS=$both_cpus bench get "127.0.0.1:${port[two]}" --table "$table" --keys 1 \
        --connections 1 --duration 1 --warmup 0 --quiet --json >"$temp/run"
    read -r after _ <<<"$(hops)"
    python3 - "$temp/run" $((after - before)) >>"$temp/single" <<'PYTHON'
import json, sys
r = json.load(open(sys.argv[1]))
share = int(sys.argv[2]) / max(r["figures"]["requests"], 1)
print("far" if share > 1 else "near", r["latencies_ns"]["latency"]["p50"] / 1e3)
PYTHON
    if grep -q far "$temp/single" && grep -q near "$temp/single"; then break; fi
done

hops_status=0
instructions=$(NEEDLETAIL=$NEEDLETAIL Benchmarks/counts/run --hops --no-build 2>&1) || hops_status=$?
((hops_status == 0)) || instructions="the instructions of a hop were not counted: $instructions"

python3 - "$temp" "$IO" "$instructions" "$part" <<'PYTHON'
import json, sys
from statistics import median
temp, io, instructions, part = sys.argv[1:5]
runs = [json.loads(line) for line in open(f"{temp}/runs")]
def all_of(name, depth, figure): return [r[figure] for r in runs if r["name"] == name and r["depth"] == depth]
def mid(*of): return median(all_of(*of))
def ratio(name, other, depth, figure="rate"):
    pairs = list(zip(all_of(name, depth, figure), all_of(other, depth, figure)))
    return median(a / b if b else float("nan") for a, b in pairs)
labels = dict(ceiling="ceiling", get="GET, one shard", put="PUT over, one shard", two="GET, two shards",
              **{"one-free": "GET, one shard, generator on both CPUs"})
for depth in (1, 16):
    print(f"\nP{depth:<38} req/s  x ceiling  server us/req   p50 us   p99 us  generator busy")
    for name, label in labels.items():
        print(f"{label:39} {mid(name, depth, 'rate'):8.0f}  {ratio(name, 'ceiling', depth):9.2f}"
              f"  {mid(name, depth, 'cpu'):13.2f}  {mid(name, depth, 'p50'):7.0f}"
              f"  {mid(name, depth, 'p99'):7.0f}  {mid(name, depth, 'busy'):12.0f} %")
print()
for depth in (1, 16):
    rows = [list(map(int, line.split())) for line in open(f"{temp}/hops") if line.split()[0] == str(depth)]
    messages, wakes = sum(r[1] for r in rows), sum(r[2] for r in rows)
    print(f"two shards, P{depth}: {messages} messages, {wakes} wake-ups,"
          f" {messages / max(wakes, 1):.1f} messages a wake-up")
single = dict(line.split() for line in open(f"{temp}/single"))
if "far" in single and "near" in single:
    print(f"one request at a time: p50 {float(single['near']):.0f} us for a key of the connection's shard,"
          f" {float(single['far']):.0f} us for one of the other")
print("under callgrind, on epoll:")
print("\n".join("  " + line for line in instructions.splitlines()))
print()
failed = False
def bar(name, got, least, note=""):
    global failed
    failed |= not got >= least
    print(f"{'PASS' if got >= least else 'FAIL'}  {name}: {got:.2f}, at least {least:.2f}{note}")
by_cpu = lambda name, depth: f"  (by server CPU {1 / ratio(name, 'ceiling', depth, 'cpu'):.2f})"
bar(f"GET of real keys against the ceiling, P1, {io}", ratio("get", "ceiling", 1), 0.92, by_cpu("get", 1))
bar(f"GET of real keys against the ceiling, P16, {io}", ratio("get", "ceiling", 16), 0.75, by_cpu("get", 16))
bar("PUT-overwrite against GET, P1", ratio("put", "get", 1), 0.80)
if any(r["name"] == "parts" for r in runs):
    print(f"P16, one shard with {part} of a CPU: {mid('part', 16, 'rate'):.0f} req/s, {mid('part', 16, 'cpu'):.2f} us;"
          f" two with {2 * float(part):.1f}: {mid('parts', 16, 'rate'):.0f} req/s, {mid('parts', 16, 'cpu'):.2f} us")
    bar("two shards against one, P16, each with the same part of a CPU", ratio("parts", "part", 16), 1.20,
        f"  (generator busy {mid('parts', 16, 'busy'):.0f} % of a CPU of its own)")
else:
    bar("two shards against one, P16", ratio("two", "one-free", 16), 1.20, "  (the generator shares their CPUs)")
print(f"      two shards and the generator on two CPUs against one shard and the generator there, P16:"
      f" {ratio('two', 'one-free', 16):.2f} (generator busy {mid('two', 16, 'busy'):.0f} %)")
sys.exit(1 if failed else 0)
PYTHON
