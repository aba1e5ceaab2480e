#!/bin/bash
# Every promise inside the limits of the smallest machines that are rented: needletail-bench verify,
# the node in a control group, the generator outside of it.
#
# Sockets' buffers are counted with the node's memory. Which limits were really in force is read
# back from the kernel and printed, and so is how often the node was throttled. Exits 1 when a
# promise was not kept. About two minutes.
#
#   bench-scripts/vps.sh
#   LIMITS=0.25:512 bench-scripts/vps.sh --only get,push
#   LIMITS=0.02:512 bench-scripts/vps.sh        what a promise looks like that is not kept
#
#   LIMITS     CPUs:MiB, with spaces                                               (0.25:512 1:1024)
#   BY         groups: made here; systemd: by systemd-run; none: no limits         (the first that works)
#   KEEP       a folder that keeps each result as JSON
#   SERVER_CPUS, CLIENT_CPUS, NEEDLETAIL, BENCH                                    as in get.sh
#
# Other words go to verify: --only, --duration, --quiet.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench-scripts/servers.sh

LIMITS=${LIMITS:-0.25:512 1:1024}
BY=${BY:-}
[[ $BY =~ ^(groups|systemd|none|)$ ]] || refuse "BY is groups, systemd or none"
for limit in $LIMITS; do
    [[ $limit =~ ^[0-9]+(\.[0-9]+)?:[0-9]+$ ]] || refuse "$limit is no limit: CPUs:MiB, such as 0.25:512"
done
need_bench
need_needletail
keep_memory

# launcher NAME CPUS MIB: writes a program that becomes the node within the limits, and says in
# $words which those are.
launcher() {
    local name=$1 cpus=$2 bytes=$(($3 << 20)) inside=() directory
    if [[ ! $BY || $BY == groups ]]; then
        if group "$name" "$cpus" "$bytes"; then
            words=$(group_words "$name")
            for directory in ${groups[$name]}; do inside+=("echo \$\$ >$directory/cgroup.procs || exit 1"); done
        elif [[ $BY ]]; then
            fail "a control group with these limits can't be made here; BY=systemd or as root"
        fi
    fi
    if [[ ! ${inside[*]} && ( ! $BY || $BY == systemd ) ]] && command -v systemd-run >/dev/null &&
        systemd-run --scope -q true 2>/dev/null; then
        local percent
        percent=$(awk -v cpus="$cpus" 'BEGIN { printf "%g%%", cpus * 100 }')
        inside=("set -- systemd-run --scope -q -p CPUQuota=$percent -p MemoryMax=$bytes -p MemorySwapMax=0 \"\$@\"")
        words="systemd-run: CPUQuota $percent, MemoryMax $bytes, no swap"
    elif [[ ! ${inside[*]} && $BY == systemd ]]; then
        fail "systemd-run can't make a scope here"
    fi
    if [[ ! ${inside[*]} ]]; then
        [[ $BY == none ]] || fail "neither control groups nor systemd-run work here; BY=none measures without limits"
        words="no limits"
    fi
    printf '%s\n' '#!/bin/sh' "${inside[@]}" "exec taskset -c $SERVER_CPUS \"\$@\"" >"$temp/launcher.$name"
    chmod +x "$temp/launcher.$name"
}

# How often the quota held the node back.
throttled() {
    local directory
    for directory in ${groups[$1]:-}; do
        [[ -f $directory/cpu.stat ]] && awk '
            /^nr_periods/ { all = $2 } /^nr_throttled/ { held = $2 }
            END { if (all) printf "held back in %d of %d periods", held, all }' "$directory/cpu.stat"
    done
    return 0
}

status=0
for limit in $LIMITS; do
    name=${limit/:/-}
    launcher "$name" "${limit%:*}" "${limit#*:}"
    echo "== ${limit%:*} CPU, ${limit#*:} MiB: $words; node on cpu $SERVER_CPUS, generator outside on cpu $CLIENT_CPUS"
    words=(verify --needletail "$(realpath "$NEEDLETAIL")" --launcher "$temp/launcher.$name" "$@")
    # The generator is only pinned: real-time priority here would take the node's CPU on small machines.
    if [[ ${KEEP:-} ]]; then
        mkdir -p "$KEEP"
        taskset -c "$CLIENT_CPUS" "$BENCH" "${words[@]}" --json >"$KEEP/vps.$name.json" || status=1
        python3 - "$KEEP/vps.$name.json" <<'PYTHON'
import json, sys
for line in json.load(open(sys.argv[1]))["lines"]:
    scale, unit = (1, "ms") if line["unit"] == "ms" else (1e6, "MB")
    cell = lambda v: "-" if v is None else f"{v / scale:.2f} {unit}"
    print(f"{line['target']:11}{line['says']:58}{cell(line['promised']):>12}{cell(line['ours']):>12}"
          f"{cell(line['measured']):>12}  {'PASS' if line['holds'] else 'FAIL'}  {line['remark']}")
PYTHON
    else
        taskset -c "$CLIENT_CPUS" "$BENCH" "${words[@]}" || status=1
    fi
    echo "$(throttled "$name")"
    echo
    end_group "$name"
done
exit $status
