#!/bin/bash
# Live updates: needletail beside nginx with nchan, and beside the floor, a bare loop of send().
#
# The same needletail-bench listens and writes for all of them. Each server is pinned to one CPU
# and the generator to another, runs are interleaved, ratios are taken within a round, figures are
# medians over the rounds. Latencies compared are by the kernel's receive times, so that the
# generator's own reading does not decide them. Ends with PASS or FAIL for each bar whose parts and
# targets took part; exits 1 when one failed. About ten minutes in all.
#
#   bench-scripts/push.sh
#   PARTS="keys broadcast" ROUNDS=1 bench-scripts/push.sh
#   TARGETS="floor nchan" bench-scripts/push.sh
#
#   PARTS      of: keys broadcast wide flood memory hold small stopped             (all)
#                keys       5,000 listeners on as many keys, 300 writes/s at random, 20 s
#                broadcast  one write to 5,000 listeners of one key
#                wide       one write to 15,000
#                flood      300 writes/s on one key with 5,000 listeners: more than can be sent
#                memory     what an idle listener costs, in a control group of its own
#                hold       19,000 listeners
#                small      keys and broadcast inside 0.25 CPU and 512 MB
#                stopped    writers while 1,000 listeners read nothing
#   TARGETS    of: needletail nchan floor                                          (all)
#   ROUNDS     runs of each part and target                                        (3)
#   SECONDS_KEYS   of one run of keys                                              (20)
#   IO         needletail's driver: auto, uring or epoll                           (auto)
#   WS=1       needletail's listeners by WebSocket                                 (0)
#   KEEP       a folder that keeps each result, for needletail-bench --compare
#   REALTIME=1, SERVER_CPUS, CLIENT_CPUS, NEEDLETAIL, BENCH                        as in get.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. bench-scripts/servers.sh

PARTS=${PARTS:-keys broadcast wide flood memory hold small stopped}
TARGETS=${TARGETS:-needletail nchan floor}
ROUNDS=${ROUNDS:-3}
SECONDS_KEYS=${SECONDS_KEYS:-20}
IO=${IO:-auto}
(($# == 0)) || refuse "takes no arguments; its settings are in the environment, see its first lines"
for part in $PARTS; do
    [[ $part =~ ^(keys|broadcast|wide|flood|memory|hold|small|stopped)$ ]] || refuse "no part is called $part"
done
for target in $TARGETS; do
    [[ $target =~ ^(needletail|nchan|floor)$ ]] || refuse "no target is called $target"
done
[[ $ROUNDS =~ ^[1-9][0-9]?$ && $SECONDS_KEYS =~ ^[1-9][0-9]?$ ]] ||
    refuse "ROUNDS and SECONDS_KEYS are numbers from 1 to 99"
has() { [[ " $PARTS " == *" $1 "* ]]; }
takes_part() { [[ " $TARGETS " == *" $1 "* ]]; }

need_bench
if takes_part needletail; then need_needletail; fi
need curl curl
if takes_part nchan; then need_nchan; fi
if takes_part floor; then Benchmarks/Floor/build; fi
results=${KEEP:-$temp/results}
mkdir -p "$results"

# up TARGET [--group G]
up() {
    local target=$1
    shift
    case $target in
        needletail)
            start_needletail needletail "$@" --shards 1 --io "$IO"
            sign_in needletail
            ;;
        nchan) start_nchan nchan "$@" ;;
        floor) start_floor floor "$@" ;;
    esac
}

# run TARGET NAME ARGUMENTS…: a result in $results/NAME.TARGET.json. push or hold is the first.
run() {
    local target=$1 name=$2 command=$3 words=()
    shift 3
    case $target in
        needletail)
            words=("${auth[@]}")
            [[ ${WS:-0} == 1 ]] && words+=(--ws)
            ;;
        nchan)
            words=("${nchan_words[@]}")
            [[ $command == hold ]] && words=(--subscribe-path '/sub/{key}')
            ;;
    esac
    [[ $command == hold && $target == needletail ]] && words=()
    bench "$command" "127.0.0.1:${port[$target]}" "${words[@]}" --pid "${pid[$target]}" --quiet --json \
        --label "$name $target" "$@" >"$results/$name.$target.json.part" ||
        fail "$name of $target could not be run"
    mv "$results/$name.$target.json.part" "$results/$name.$target.json"
}

say() { echo "$script: $*" >&2; }

read -r port[needletail] port[nchan] port[floor] < <(free_ports 3)
keep_memory
keys=(push --listeners 5000 --keys 5000 --rate 300 --duration "$SECONDS_KEYS" --warmup 2s --drain 5s)
broadcast=(push --listeners 5000 --keys 1 --rate 2 --arrivals even --duration 10s --warmup 1s --drain 5s)
wide=(push --listeners 15000 --keys 1 --rate 1 --arrivals even --duration 10s --warmup 1s --drain 5s)

# --- full speed: every target is up all the time, idle while another one works ------------------

if has keys || has broadcast || has wide; then
    for target in $TARGETS; do up "$target"; done
    for ((round = 1; round <= ROUNDS; round++)); do
        for part in keys broadcast wide; do
            has $part || continue
            declare -n words=$part
            for target in $TARGETS; do
                say "$part, $target, round $round"
                run "$target" "$part.$round" "${words[@]}"
            done
        done
    done
    for target in $TARGETS; do stop "$target"; done
fi

# --- more than the kernel can send --------------------------------------------------------------

# Both sides use all the CPU they get, so not at real-time priority: the kernel stops that for 50 ms
# of each second, which one request in twenty would meet, and a writer would never interrupt the
# thread that listens. With REALTIME they are merely nice to nobody.
if has flood && takes_part needletail; then
    say flood
    priority=("${realtime[@]}")
    [[ ${realtime[*]} ]] && realtime=(nice -n -20)
    up needletail
    bench put "127.0.0.1:${port[needletail]}" "${auth[@]}" --table other --keys 100 --distribution sequential --requests 100 \
        --connections 1 --quiet >/dev/null
    run needletail flood.1 push --listeners 5000 --keys 1 --rate 300 --duration 10s --warmup 3s \
        --drain 10s &
    flood=$!
    sleep 5 # three seconds of connecting and warming up are over, ten of measuring have begun
    # Two hundred requests a second take little, and go ahead of the thread that listens: what they
    # wait for is the server and not the generator.
    ahead=(nice -n -15)
    if chrt -f 6 true 2>/dev/null; then ahead=(chrt -f 6); fi
    taskset -c "$CLIENT_CPUS" "${ahead[@]}" "$BENCH" get "127.0.0.1:${port[needletail]}" --table other \
        --keys 100 --rate 200 --connections 8 --duration 5s --warmup 0 --quiet --json \
        >"$results/flood-get.1.needletail.json"
    wait "$flood"
    stop needletail
    realtime=("${priority[@]}")
fi

# --- memory: each in a group of its own ---------------------------------------------------------

# Version 1 of control groups charges a fresh group in batches of pages for each CPU; thousands of
# listeners drown that.
for part in memory hold; do
    has $part || continue
    listeners=5000
    [[ $part == hold ]] && listeners=19000
    for target in $TARGETS; do
        # The floor holds nothing that it could save, and nchan's memory is known from `memory`.
        [[ $part == hold && $target != needletail ]] && continue
        say "$part, $target"
        limits=(--group "$part")
        if ! group "$part" 0 0; then
            say "no control group can be made here: the charge for a listener is not measured"
            limits=()
        fi
        up "$target" "${limits[@]}"
        run "$target" "$part.1" hold --listeners $listeners --keys $listeners --duration 1s --warmup 4s
        stop "$target"
        end_group "$part"
    done
done

# --- the smallest machine -----------------------------------------------------------------------

if has small; then
    if group small 0.25 $((512 << 20)); then
        say "small: $(group_words small)"
        for target in $TARGETS; do
            say "small, $target"
            up "$target" --group small
            run "$target" small-keys.1 "${keys[@]}"
            run "$target" small-broadcast.1 "${broadcast[@]}"
            stop "$target"
        done
        end_group small
    else
        say "small: no control group can be made here, so it is left out"
    fi
fi

# --- listeners that stop reading ----------------------------------------------------------------

# In each round writers work twice: alone, and while a thousand listeners of the same key, their
# sockets full, read nothing. 4 KiB fifty times a second fill any socket within seconds.
if has stopped && takes_part needletail; then
    up needletail
    writers=(put "127.0.0.1:${port[needletail]}" "${auth[@]}" --keys 1 --connections 8 --duration 3s
        --warmup 500ms --pid "${pid[needletail]}" --quiet --json)
    for ((round = 1; round <= ROUNDS; round++)); do
        say "stopped, round $round"
        bench "${writers[@]}" >"$results/stopped-alone.$round.needletail.json"
        run needletail "stopped.$round" push --listeners 1000 --stopped 1000 --keys 1 --size 4096 \
            --rate 50 --connections 1 --duration 12s --warmup 0 --drain 20s &
        stopped=$!
        sleep 6
        bench "${writers[@]}" >"$results/stopped-beside.$round.needletail.json"
        wait "$stopped"
    done
    stop needletail
fi

# --- the tables and the bars --------------------------------------------------------------------

python3 - "$results" "$TARGETS" <<'PYTHON'
import json, os, sys
from statistics import median

folder, targets = sys.argv[1], sys.argv[2].split()
results = {}
for file in sorted(os.listdir(folder)):
    if not file.endswith(".json"): continue
    name, round_, target, _ = file.split(".")
    results.setdefault(name, {}).setdefault(target, []).append(json.load(open(f"{folder}/{file}")))

def time(ns):
    if ns < 1e6: return f"{ns / 1e3:.0f}us"
    return f"{ns / 1e6:.2f}ms" if ns < 1e7 else f"{ns / 1e6:.0f}ms"

def latency(run, row, share): return run["latencies_ns"].get(row, {}).get(share, float("nan"))
def figure(run, name): return run["figures"].get(name, 0)
def runs(name, target): return results.get(name, {}).get(target, [])
def mid(name, target, value): return median(value(run) for run in runs(name, target))
def ratio(name, target, other, value):
    return median(value(a) / value(b) for a, b in zip(runs(name, target), runs(name, other)))

kernel = "by the kernel"
last = lambda run: latency(run, "by the kernel, last", "p50")
p99 = lambda run: latency(run, kernel, "p99")
faults = ("missed", "duplicates", "out_of_order", "behind_at_end", "stream_disconnects")

for name in ("keys", "broadcast", "wide", "small-keys", "small-broadcast"):
    if name not in results: continue
    print(f"\n{name:16}{'p50':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}{'last p50':>10}{'last max':>10}"
          f"{'as read':>9}{'cpu us':>8}{'faults':>8}")
    for target in targets:
        if not runs(name, target): continue
        m = lambda value: mid(name, target, value)
        shares = "".join(f"{time(m(lambda r: latency(r, kernel, s))):>9}"
                         for s in ("p50", "p90", "p99", "p99.9", "max"))
        cpu = m(lambda r: figure(r, "server.cpu_user") + figure(r, "server.cpu_system"))
        wrong = sum(figure(r, fault) for r in runs(name, target) for fault in faults)
        print(f"  {target:14}{shares}{time(m(last)):>10}"
              f"{time(m(lambda r: latency(r, 'by the kernel, last', 'max'))):>10}"
              f"{time(m(lambda r: latency(r, 'delivery', 'p99'))):>9}{cpu:8.1f}{wrong:8.0f}")
if any(n in results for n in ("keys", "broadcast", "wide")):
    print("\nby the kernel's receive times; `as read` is the p99 when needletail-bench had read it;"
          "\n`cpu us` the server's for a delivery; `last` until the last listener of an event")

for name in ("memory", "hold"):
    if name not in results: continue
    print(f"\n{name:16}{'listeners':>10}{'opening':>10}{'own':>10}{'resident':>10}{'kernel':>10}{'charged':>10}   bytes a listener")
    for target in targets:
        for run in runs(name, target):
            cell = lambda figure: f"{run['figures'][figure]:10.0f}" if figure in run["figures"] else f"{'-':>10}"
            print(f"  {target:14}{figure(run, 'streams'):10.0f}{cell('server.opening_a_stream')}"
                  f"{cell('server.own_a_stream')}{cell('server.rss_a_stream')}"
                  f"{cell('server.kernel_a_stream')}{cell('server.group_a_stream')}")

cautions = {}
for name in results:
    for target in results[name]:
        for run in results[name][target]:
            for text in run["cautions"]: cautions.setdefault(text.split(":")[0].split(" used")[0], []).append(f"{name} {target}")
if cautions: print()
for text, where in cautions.items():
    print(f"note: {text}: {len(where)} runs, the first {where[0]}")

failed = False
def bar(text, got, holds, shown):
    global failed
    failed |= not holds
    print(f"{'PASS' if holds else 'FAIL'}  {text}: {shown}")
def skip(text): print(f"SKIP  {text}: not run")
both = lambda name, *wanted: all(runs(name, t) for t in wanted)

print()
ours = "needletail"
text = "5,000 keys, 300 writes/s: p99 at most nchan's and 0.5 ms"
if both("keys", ours):
    got = mid("keys", ours, p99)
    beside = ratio("keys", ours, "nchan", p99) if both("keys", "nchan") else None
    shown = time(got) + (f", {beside:.2f} of nchan's" if beside else ", nchan not run")
    if both("keys", "floor"):
        tail = lambda run: latency(run, kernel, "p99.9")
        shown += f"; p99.9 {time(mid('keys', ours, tail))}, the floor's {time(mid('keys', 'floor', tail))}"
    bar(text, got, got <= 5e5 and (beside is None or beside <= 1), shown)
else: skip(text)
text = "5,000 keys: nothing missed, doubled, out of order"
if both("keys", ours):
    wrong = {f: sum(figure(r, f) for r in runs("keys", ours)) for f in faults}
    bar(text, wrong, not any(wrong.values()), f"of {sum(figure(r, 'deliveries') for r in runs('keys', ours)):.0f} deliveries " + (", ".join(f"{int(v)} {k}" for k, v in wrong.items() if v) or "none"))
else: skip(text)
for name, count in (("broadcast", "5,000"), ("wide", "15,000")):
    for other, most in (("floor", 1.35), ("nchan", 0.6)):
        text = f"one write to {count}: the last at most {most} of {'the floor' if other == 'floor' else other}"
        if both(name, ours, other):
            got = ratio(name, ours, other, last)
            bar(text, got, got <= most, f"{got:.2f} ({time(mid(name, ours, last))} and {time(mid(name, other, last))})")
        else: skip(text)
if both("flood", ours):
    run = runs("flood", ours)[0]
    behind = latency(run, "behind", "max")
    bar("300 writes/s to 5,000 of one key: at most 500 ms behind", behind, behind <= 5e8,
        f"{time(behind)} at most, p99 {time(latency(run, 'behind', 'p99'))}; {figure(run, 'deliveries') / max(figure(run, 'events'), 1) / 50:.0f} % of events sent")
    grown = figure(run, "server.rss_grown")
    bar("the same: memory flat", grown, abs(grown) <= 4 << 20, f"{grown / 2**20:+.1f} MiB over the run, {figure(run, 'server.rss') / 2**20:.1f} MiB in all")
    bar("the same: nothing left out in silence, all at the newest state", 0,
        not figure(run, "missed") and not figure(run, "behind_at_end") and not figure(run, "duplicates"),
        f"{figure(run, 'missed'):.0f} missed, {figure(run, 'duplicates'):.0f} doubled, {figure(run, 'behind_at_end'):.0f} behind, {figure(run, 'conflated'):.0f} conflated")
    gets = results["flood-get"][ours][0]
    got = latency(gets, "latency", "p99")
    bar("the same: GET p99 at most 10 ms", got, got <= 1e7, f"{time(got)} of {figure(gets, 'replies_2xx'):.0f}")
else: skip("300 writes/s to 5,000 of one key")
if both("memory", ours):
    run = runs("memory", ours)[0]
    got = figure(run, "server.own_a_stream")
    bar("an idle listener: at most 512 bytes of the process", got, got <= 512,
        f"{got:.0f}, and {figure(run, 'server.opening_a_stream'):.0f} when the last one was opened")
    peer = runs("memory", "nchan")
    if "server.group_a_stream" in run["figures"]:
        got = figure(run, "server.group_a_stream")
        bar("an idle listener: at most 6 KB charged to its group", got, got <= 6000,
            f"{got:.0f}" + (f", nchan {figure(peer[0], 'server.group_a_stream'):.0f}" if peer else ""))
    else: skip("an idle listener's charge")
else: skip("an idle listener's memory")
if both("hold", ours):
    run = runs("hold", ours)[0]
    bar("19,000 listeners held by one process", 0, figure(run, "streams") == 19000 and not figure(run, "stream_disconnects"),
        f"{figure(run, 'streams'):.0f} opened, {figure(run, 'stream_disconnects'):.0f} ended")
else: skip("19,000 listeners")
if both("small-keys", ours):
    got = mid("small-keys", ours, p99)
    bar("0.25 CPU, 512 MB, 5,000 keys at 300 writes/s: p99 at most 1 ms", got, got <= 1e6, time(got))
    wrong = sum(figure(r, f) for r in runs("small-keys", ours) + runs("small-broadcast", ours) for f in faults)
    bar("0.25 CPU, 512 MB: nothing missed, doubled, out of order", wrong, not wrong, f"{wrong:.0f} faults")
    got = mid("small-broadcast", ours, last)
    bar("0.25 CPU, 512 MB, one write to 5,000: the last at most 200 ms", got, got <= 2e8, time(got))
else: skip("0.25 CPU and 512 MB")
if both("stopped", ours):
    pairs = list(zip(runs("stopped-alone", ours), runs("stopped-beside", ours)))
    for text, value in (("rate", lambda r: figure(r, "rate")), ("p50", lambda r: latency(r, "latency", "p50"))):
        got = median(value(b) / value(a) for a, b in pairs)
        bar(f"1,000 listeners that stop reading: writers' {text} within 10 %", got, 0.9 <= got <= 1.1, f"{got:.2f} of that without them, in {len(pairs)} pairs")
    all_ = runs("stopped", ours)
    sums = {n: sum(figure(r, "stopped." + n) for r in all_) for n in ("listeners", "told", "behind_at_end", "missed")}
    bar("the same: each is told, and ends at the newest state", 0,
        sums["told"] == sums["listeners"] and not sums["behind_at_end"] and not sums["missed"],
        f"of {sums['listeners']:.0f} {sums['told']:.0f} told, {sums['behind_at_end']:.0f} behind, {sums['missed']:.0f} events missed")
    most = max(figure(r, "server.rss_max") for r in all_)
    # --stream-buffer's 256 KiB for each of them would be 250 MiB.
    bar("the same: memory bounded", most, most <= 256 << 20, f"{most / 2**20:.0f} MiB at most")
else: skip("1,000 listeners that stop reading")
sys.exit(1 if failed else 0)
PYTHON
