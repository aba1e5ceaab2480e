#!/bin/bash
# Every bar of the spine and of the tables in one go: rates against the ceiling, counts, memory, idle,
# and what others notice beside a greedy client, a long list, a crowd of expiries, guessed secrets.
#
# For a machine that does nothing else meanwhile: about fifteen minutes. A bar is printed as PASS or
# FAIL with its figure, and all of them again at the end; exits 1 when one failed. What each script
# printed besides stays in .build/bars.
#
#   bench-scripts/bars.sh             builds what it needs
#   ONLY="counts keys" bench-scripts/bars.sh
#
#   ONLY          of: get keys counts idle memory tails                          (all)
#   ROUNDS, SECONDS_EACH, REALTIME   as for get.sh and keys.sh                    (3, 2, 1)
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
ONLY=${ONLY:-get keys counts idle memory tails}
export ROUNDS=${ROUNDS:-3} SECONDS_EACH=${SECONDS_EACH:-2} REALTIME=${REALTIME:-1}
NEEDLETAIL=$PWD/.build/release/needletail
out=.build/bars
mkdir -p "$out"
rm -f "$out"/*.log
lines=$out/lines
: >"$lines"

wants() { [[ " $ONLY " == *" $1 "* ]]; }
# bar NAME FIGURE OPERATOR BOUND UNIT: one line, and whether it holds.
bar() {
    local verdict
    verdict=$(awk -v a="$2" -v o="$3" -v b="$4" 'BEGIN {
        if (a == "") print "FAIL"; else print ((o == "<=" ? a + 0 <= b + 0 : a + 0 >= b + 0) ? "PASS" : "FAIL") }')
    echo "$verdict  $1: ${2:-nothing was printed}, $([[ $3 == "<=" ]] && echo "at most" || echo "at least") $4 $5" |
        tee -a "$lines"
}
# part NAME COMMAND…: its output goes to a log; its own PASS and FAIL lines are taken over.
part() {
    local name=$1
    shift
    echo "== $name"
    "$@" >"$out/$name.log" 2>&1 || true
    grep -E '^ *(PASS|FAIL) ' "$out/$name.log" | sed 's/^ *//' | tee -a "$lines" ||
        echo "FAIL  $name printed no bar, see $out/$name.log" | tee -a "$lines"
}

echo "== build"
./dev build
swift build -c release --static-swift-stdlib --product needletail-bench -Xswiftc -use-ld=lld >&2
swift build -c release --product keyspace-bench >&2

wants get && part get bench-scripts/get.sh
wants keys && part keys bench-scripts/keys.sh

if wants counts; then
    echo "== counts"
    Benchmarks/counts/run --no-build >"$out/counts.log" 2>&1 || true
    figure() { awk -v name="$1" '$2 == name { print $3 }' "$out/counts.log"; }
    bar "instructions per GET of a key, P16, io_uring" "$(figure uring.get.p16.instructions)" "<=" 1100 ""
    bar "instructions per GET of a key, P16, epoll" "$(figure epoll.get.p16.instructions)" "<=" 1100 ""
    for count in allocations retains exclusivity-checks; do
        worst=$(awk -v count="$count" '$2 ~ count "$" && $3 > most { most = $3 } END { print most + 0 }' "$out/counts.log")
        bar "$count per request, the worst shape of /health, GET and PUT" "$worst" "<=" 0 ""
    done
    bar "shapes whose counts are above their thresholds" "$(grep -c '^FAIL' "$out/counts.log" || true)" "<=" 0 ""
fi

if wants idle; then
    echo "== idle"
    temp=$(mktemp -d)
    starts=()
    for round in 1 2 3 4 5 6 7; do
        port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
        starts+=("$(python3 - "$NEEDLETAIL" "$port" "$temp/$round" "$temp/idle" "$round" <<'PYTHON'
import http.client, os, signal, subprocess, sys, time
binary, port, folder, report, number = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
begun = time.monotonic()
server = subprocess.Popen([binary, f"127.0.0.1:{port}", "--dir", folder, "--shards", "1"],
                          stderr=subprocess.DEVNULL)
while True:
    try:
        c = http.client.HTTPConnection("127.0.0.1", port); c.request("GET", "/health")
        if c.getresponse().status == 200: break
    except OSError: time.sleep(0.0002)
print((time.monotonic() - begun) * 1000)
if number == "7":
    c.close(); time.sleep(3)
    def waits():
        total = 0
        for task in os.listdir(f"/proc/{server.pid}/task"):
            for line in open(f"/proc/{server.pid}/task/{task}/status"):
                if line.startswith("voluntary"): total += int(line.split()[1])
        return total
    before = waits(); time.sleep(10)
    rss = [int(l.split()[1]) for l in open(f"/proc/{server.pid}/status") if l.startswith("VmRSS")][0]
    open(report, "w").write(f"{rss / 1024:.1f} {(waits() - before) / 10:.1f}\n")
server.send_signal(signal.SIGTERM); server.wait()
PYTHON
)")
    done
    read -r rss wakes <"$temp/idle"
    bar "start to first 200, median of 7 in a fresh folder" "$(printf '%s\n' "${starts[@]}" | sort -n | sed -n 4p)" "<=" 20 ms
    bar "idle, resident" "$rss" "<=" 6 MiB
    bar "idle, wake-ups a second" "$wakes" "<=" 1 ""
    strip -o "$temp/stripped" "$NEEDLETAIL"
    bar "binary, stripped" "$(stat -c %s "$temp/stripped" | awk '{ printf "%.1f", $1 / 1048576 }')" "<=" 12 MiB
    rm -rf "$temp"
fi

if wants memory; then
    part memory .build/release/keyspace-bench memory
    part expiry .build/release/keyspace-bench expiry
    temp=$(mktemp -d)
    port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
    "$NEEDLETAIL" "127.0.0.1:$port" --dir "$temp" --shards 1 2>/dev/null &
    pid=$!
    until curl -s -o /dev/null "http://127.0.0.1:$port/ready"; do sleep 0.1; done
    NEEDLETAIL_BENCH_SECRET=canonical-workload .build/release/needletail-bench put "127.0.0.1:$port" --keys 100000 \
        --size 346 --requests 100000 --distribution sequential --pipeline 32 --user bench --quiet --json >/dev/null
    resident() { awk '/VmRSS/ { printf "%.1f", $2 / 1024 }' "/proc/$pid/status"; }
    bar "a node with 100,000 records of 348 bytes, resident" "$(resident)" "<=" 50 MiB
    # What the load needed for the moment goes back a second or two later.
    sleep 5
    bar "the same five seconds later" "$(resident)" "<=" 47.6 MiB
    kill "$pid"
    wait "$pid" || true
    rm -rf "$temp"
fi

if wants tails; then
    echo "== tails"
    Tests/soak --binary "$NEEDLETAIL" 'one greedy pipeliner|Much at once' >"$out/tails.log" 2>&1 || true
    for io in uring epoll; do
        # p99 with the greedy one over p99 without.
        bar "63 polite clients beside a greedy one, p99 over quiet, $io" "$(
            sed -nE "s/.*63 polite clients, $io: .*p99 ([0-9]+) µs; .*p99 ([0-9]+) µs.*/\1 \2/p" "$out/tails.log" |
                awk '{ printf "%.1f", $2 / $1 }')" "<=" 3 x
        bar "GET while a million expire, p99, $io" "$(
            sed -nE "s/.*fall due, $io: .*meanwhile .*p99 ([0-9]+) µs.*/\1/p" "$out/tails.log")" "<=" 5000 µs
        bar "GET while a million are listed, p99 over quiet, $io" "$(
            sed -nE "s/.*listed, $io: .*quiet .*p99 ([0-9]+) µs.*meanwhile .*p99 ([0-9]+) µs.*/\1 \2/p" "$out/tails.log" |
                awk '{ print $2 - $1 }')" "<=" 2000 µs
        bar "memory of that list, $io" "$(
            sed -nE "s/.*listed, $io: ([-0-9]+) KiB more.*/\1/p" "$out/tails.log")" "<=" 16384 KiB
        bar "GET beside 1,000 wrong logins a second, p99 over quiet, $io" "$(
            sed -nE "s/.*wrong logins.* $io: .*quiet .*p99 ([0-9]+) µs.*meanwhile .*p99 ([0-9]+) µs.*/\1 \2/p" "$out/tails.log" |
                awk '{ printf "%.1f", $2 / $1 }')" "<=" 2 x
        bar "memory of those, $io" "$(
            sed -nE "s/.*wrong logins.* $io: ([-0-9]+) KiB more.*/\1/p" "$out/tails.log")" "<=" 1024 KiB
    done
fi

echo
echo "== all bars"
cat "$lines"
passed=$(grep -c '^PASS' "$lines" || true)
failed=$(grep -c '^FAIL' "$lines" || true)
echo "$passed passed, $failed failed"
((failed == 0))
