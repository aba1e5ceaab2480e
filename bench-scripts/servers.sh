# Starting, limiting and ending the servers that the scripts of this folder measure. Sourced.
#
# Before sourcing: nothing. After: `$temp`, a folder that goes at the end; `refuse`, `need`,
# `free_ports`, `start`, `stop`, `group`, and `start_…` for each server. Whatever was started is
# ended at the end, by its process id.

export LC_ALL=C
SERVER_CPUS=${SERVER_CPUS:-0}
CLIENT_CPUS=${CLIENT_CPUS:-1}
NEEDLETAIL=${NEEDLETAIL:-.build/release/needletail}
BENCH=${BENCH:-.build/release/needletail-bench}
ready_seconds_max=${ready_seconds_max:-30}
# With a single CPU both sides share it, and the figures say little; but they are made.
if (($(nproc) < 2)); then SERVER_CPUS=0 CLIENT_CPUS=0; fi
export NEEDLETAIL_BENCH_SECRET=${NEEDLETAIL_BENCH_SECRET:-canonical-workload}

script=${0##*/}
refuse() {
    echo "$script: $*" >&2
    exit 64
}
fail() {
    echo "$script: $*" >&2
    exit 1
}

# need COMMAND-OR-FILE PACKAGE…: installs what is missing. Without RUNLEVEL Debian would start
# servers as soon as they are installed.
need() {
    command -v "$1" >/dev/null || [[ -e $1 ]] && return
    [[ $EUID == 0 ]] || refuse "$1 is missing: apt-get install ${*:2}"
    echo "$script: installing ${*:2}" >&2
    local apt=(env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get)
    "${apt[@]}" install -qq -y --no-install-recommends "${@:2}" >/dev/null 2>&1 ||
        { "${apt[@]}" update -qq && "${apt[@]}" install -qq -y --no-install-recommends "${@:2}"; } >/dev/null ||
        refuse "could not install ${*:2}"
}

need_needletail() { [[ -x $NEEDLETAIL ]] || refuse "$NEEDLETAIL is missing: ./dev build"; }
need_bench() {
    [[ -x $BENCH ]] || refuse "$BENCH is missing: swift build -c release --product needletail-bench"
    need python3 python3
}

realtime=()
if [[ ${REALTIME:-0} == 1 ]]; then
    if chrt -f 5 true 2>/dev/null; then realtime=(chrt -f 5); else
        echo "$script: real-time priority is not permitted here, going on without" >&2
    fi
fi

# The load generator, where it may work.
bench() { taskset -c "$CLIENT_CPUS" "${realtime[@]}" "$BENCH" "$@"; }

temp=$(mktemp -d)
declare -A pid=() port=() groups=()
end_all() {
    local name directory
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null || true; done
    for name in "${!pid[@]}"; do stop "$name"; done
    for directory in ${groups[*]}; do rmdir "$directory" 2>/dev/null || true; done
    rm -rf "$temp"
}
trap end_all EXIT
trap 'exit 130' INT TERM

# stop NAME: a server that drains may take a while; none may stay.
stop() {
    local id=${pid[$1]:-}
    [[ $id ]] || return 0
    kill "$id" 2>/dev/null || true
    for _ in {1..120}; do
        kill -0 "$id" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$id" 2>/dev/null || true
    unset "pid[$1]"
}

free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held: s.bind(("127.0.0.1", 0))
print(*[s.getsockname()[1] for s in held])
PYTHON
}

# keep_memory: a virtual machine may hand free memory back to its host (a balloon that reports free pages),
# and then the next use of a page costs some ten times as much: whoever writes most, to its log's pages,
# would pay for it. Where that is so, memory is used once and then let go in pieces of 1 MiB, too small
# to be handed back, with as much kept between them (KEEP_MEMORY, 6144 MiB in all, at most half of
# what is free) until the end.
keep_memory() {
    local features reports=0 most=${KEEP_MEMORY:-6144} free
    for features in /sys/bus/virtio/drivers/virtio_balloon/virtio*/features; do
        [[ ! -f $features || $(cut -c6 "$features") != 1 ]] || reports=1
    done
    ((reports)) || return 0
    free=$(awk '/^MemAvailable/ { print int($2 / 2048) }' /proc/meminfo)
    # shellcheck disable=SC2016
    python3 -c '
import mmap, signal, sys
size, piece = int(sys.argv[1]) << 20, 1 << 20
memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
used = b"x" * piece
for start in range(0, size, piece): memory[start:start + piece] = used
for start in range(0, size, 2 * piece): memory.madvise(mmap.MADV_DONTNEED, start, piece)
open(sys.argv[2], "w").close()
signal.pause()' $(((most < free ? most : free) & ~1)) "$temp/kept" &
    pid[memory]=$!
    disown "${pid[memory]}"
    until [[ -f $temp/kept ]] || ! kill -0 "${pid[memory]}" 2>/dev/null; do sleep 0.1; done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
is_ready() { [[ $(curl -s -m 2 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$1/ready") == 200 ]]; }

# start NAME [--ready CHECK] [--group NAME] COMMAND…: pinned, and waited for until its port
# listens, or until `CHECK PORT` succeeds.
start() {
    local name=$1 check=listens directories= deadline=$((SECONDS + ready_seconds_max))
    shift
    [[ $1 == --ready ]] && { check=$2; shift 2; }
    [[ $1 == --group ]] && { directories=${groups[$2]}; shift 2; }
    # The shell enters the groups before it becomes the server, so everything is charged there.
    # A group without a share of real-time takes none with such a priority; it has a weight instead.
    local priority=("${realtime[@]}")
    [[ $directories ]] && priority=()
    DIRECTORIES=$directories taskset -c "$SERVER_CPUS" "${priority[@]}" bash -c '
        for directory in $DIRECTORIES; do echo $$ >"$directory/cgroup.procs" || exit 1; done
        unset DIRECTORIES
        exec "$@"' "$name" "$@" >"$temp/$name.log" 2>&1 &
    pid[$name]=$!
    # However it ends, the shell has nothing to say about it.
    disown "${pid[$name]}"
    until $check "${port[$name]}"; do
        if ((SECONDS >= deadline)) || ! kill -0 "${pid[$name]}" 2>/dev/null; then
            tail -n 5 "$temp/$name.log" >&2
            fail "$name does not answer on port ${port[$name]}"
        fi
        sleep 0.05
    done
}

# --- limits -------------------------------------------------------------------------------------

cgroup_version() {
    if [[ -f /sys/fs/cgroup/cgroup.controllers ]]; then echo 2; else echo 1; fi
}

# group NAME CPUS MEMORY: a control group for `start --group`; 0 leaves a side unlimited. Sockets'
# buffers are counted: version 2 always does, version 1 once their own limit is set. With REALTIME
# the group goes before other work of the machine, within its limits.
# Returns 1 where that is not permitted.
group() {
    local name=$1 cpus=$2 memory=$3 id="needletail-bench-$$-$1" root=/sys/fs/cgroup quota
    quota=$(awk -v cpus="$cpus" 'BEGIN { print int(cpus * 100000) }')
    if [[ $(cgroup_version) == 2 ]]; then
        echo +cpu +memory >$root/cgroup.subtree_control 2>/dev/null || true
        mkdir "$root/$id" 2>/dev/null || return 1
        groups[$name]=$root/$id
        [[ -f $root/$id/memory.max ]] || return 1
        ((quota == 0)) || echo "$quota 100000" >"$root/$id/cpu.max" || return 1
        [[ ! ${realtime[*]} ]] || echo 10000 >"$root/$id/cpu.weight" || return 1
        ((memory == 0)) || echo "$memory" >"$root/$id/memory.max" || return 1
        return
    fi
    mkdir "$root/cpu/$id" "$root/memory/$id" 2>/dev/null || return 1
    groups[$name]="$root/cpu/$id $root/memory/$id"
    if ((quota)); then
        echo 100000 >"$root/cpu/$id/cpu.cfs_period_us"
        echo "$quota" >"$root/cpu/$id/cpu.cfs_quota_us" || return 1
    fi
    [[ ! ${realtime[*]} ]] || echo 262144 >"$root/cpu/$id/cpu.shares" || return 1
    # The whole is bounded first: the kernel's part may not exceed it.
    ((memory == 0)) || echo "$memory" >"$root/memory/$id/memory.limit_in_bytes" || return 1
    echo $((memory ? memory : 1 << 40)) >"$root/memory/$id/memory.kmem.tcp.limit_in_bytes" || return 1
}

# What is really in force, read back, in words.
group_words() {
    local directory text=
    for directory in ${groups[$1]}; do
        local file
        for file in cpu.max memory.max cpu.cfs_quota_us memory.limit_in_bytes memory.kmem.tcp.limit_in_bytes; do
            [[ -f $directory/$file ]] && text+="${text:+, }$file $(tr '\n' ' ' <"$directory/$file" | sed 's/ $//')"
        done
    done
    echo "cgroup v$(cgroup_version): $text"
}

# The group by the path that needletail-bench's --cgroup takes.
group_path() { echo "/needletail-bench-$$-$1"; }

end_group() {
    local directory
    for directory in ${groups[$1]:-}; do
        for _ in {1..50}; do rmdir "$directory" 2>/dev/null && break; sleep 0.1; done
    done
    unset "groups[$1]"
}

# --- the servers --------------------------------------------------------------------------------

# start_needletail NAME [--group G] [OPTIONS…]: ${dir[NAME]} keeps its data from start to start.
declare -A dir=()
start_needletail() {
    local name=$1 limits=()
    shift
    [[ ${1:-} == --group ]] && { limits=(--group "$2"); shift 2; }
    [[ ${dir[$name]:-} ]] || { dir[$name]=$temp/data.$name; mkdir -p "${dir[$name]}"; }
    start "$name" --ready is_ready "${limits[@]}" "$NEEDLETAIL" "127.0.0.1:${port[$name]}" \
        --dir "${dir[$name]}" --log-level warn "$@"
}

# sign_in NAME: a token for everything that writes, in $auth. Once for each start: hashing a secret
# is slow on purpose, and would be measured with what runs beside it.
sign_in() {
    local token
    token=$(curl -s -m 30 -H 'Content-Type: application/json' -d "{\"secret\":\"$NEEDLETAIL_BENCH_SECRET\"}" \
        "http://127.0.0.1:${port[$1]}/auth/bench" | python3 -c 'import json,sys; print(json.load(sys.stdin)["token"])') ||
        fail "$1 gave no token"
    auth=(--header "Authorization: Bearer $token")
}

# start_nginx NAME [--group G] LOCATIONS: one worker, no logs, as many connections as we are given.
start_nginx() {
    local name=$1 limits=() modules=
    shift
    [[ $1 == --group ]] && { limits=(--group "$2"); shift 2; }
    [[ $1 == *nchan* ]] && modules="load_module /usr/lib/nginx/modules/ngx_nchan_module.so;"
    cat >"$temp/$name.conf" <<NGINX
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid $temp/$name.pid;
error_log stderr crit;
$modules
events { worker_connections 20000; use epoll; }
http {
    access_log off;
    server_tokens off;
    default_type "";
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path $temp/$name-body;
    proxy_temp_path $temp/$name-proxy;
    fastcgi_temp_path $temp/$name-fastcgi;
    uwsgi_temp_path $temp/$name-uwsgi;
    scgi_temp_path $temp/$name-scgi;
    server {
        listen 127.0.0.1:${port[$name]} backlog=4096;
        $1
    }
}
NGINX
    # nginx keeps as many descriptors as its limit says; the hard one is enough for all.
    start "$name" "${limits[@]}" bash -c 'ulimit -n "$(ulimit -Hn)"; exec "$@"' nginx \
        nginx -p "$temp" -e stderr -c "$temp/$name.conf"
}

need_nchan() { need /usr/lib/nginx/modules/ngx_nchan_module.so nginx-light libnginx-mod-nchan; }

# The newest message is kept, as a key's state is; a channel is there as soon as it is asked for.
start_nchan() {
    local name=$1 limits=()
    shift
    [[ ${1:-} == --group ]] && limits=(--group "$2")
    start_nginx "$name" "${limits[@]}" 'location ~ ^/sub/(.+)$ {
            nchan_subscriber eventsource; nchan_channel_id $1; nchan_message_buffer_length 1;
            nchan_eventsource_ping_interval 0; nchan_subscriber_first_message newest;
        }
        location ~ ^/pub/(.+)$ {
            nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 1;
            client_body_buffer_size 64k;
        }'
}
nchan_words=(--subscribe-path '/sub/{key}' --publish-path '/pub/{key}' --publish-method POST --body raw)

start_floor() {
    local name=$1 limits=()
    shift
    [[ ${1:-} == --group ]] && limits=(--group "$2")
    [[ -x .build/floor-push ]] || Benchmarks/Floor/build
    start "$name" "${limits[@]}" .build/floor-push "${port[$name]}"
}
