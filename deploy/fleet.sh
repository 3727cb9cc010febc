#!/usr/bin/env bash
# Three servers under load, behind HAProxy and shared by the client itself: balance, restarts of all three in turn, connections that end
# after some seconds, one server killed, one that hangs, one that is slow. Each frame must have exactly one verdict, the right one, in order. Prints the table of benches/fleet.md.
#
#   deploy/fleet.sh [BINARY] [SCENARIO …]        default: target/release/uflow, and all scenarios; about five minutes
#
# Needs Linux, Go, curl and haproxy. Everything listens on 127.0.77.1 to 127.0.77.4. Not a part of CI.
set -euo pipefail
cd "$(dirname "$0")/.."
uflow=$(realpath "${1:-target/release/uflow}")
shift || true
work=$PWD/target/fleet
models=$work/models
net=127.0.77
proxy=$net.4
servers=$net.1:8001,$net.2:8001,$net.3:8001
seconds=${SECONDS_EACH:-30}
declare -A pid=()
proxy_pid='' load=''

finish() {
  local one
  for one in "${pid[@]}" $proxy_pid $load; do kill -CONT "$one" 2>/dev/null && kill -KILL "$one" 2>/dev/null; done
  wait 2>/dev/null || true
}
trap finish EXIT

# Ready: HTTP's answer, not more than one second old.
ready() { curl -fsS --max-time 1 "http://$1:8002/readyz" >/dev/null 2>&1; }
await() {
  for _ in $(seq 300); do
    ready "$1" && return
    sleep 0.1
  done
  echo "$0: $1 is not ready; see $work" >&2
  exit 1
}

# One thread each, so that three servers are alike on few cores.
start() {
  # SERVE_OPTIONS holds several options and must be split.
  # shellcheck disable=SC2086
  "$uflow" serve --models "$models" --grpc "$net.$1:8001" --http "$net.$1:8002" --threads 1 --workers 1 --log warn \
    ${SERVE_OPTIONS:-} >>"$work/server-$1.log" 2>&1 &
  pid[$1]=$!
  await "$net.$1"
}
stop() {
  kill "-$1" "${pid[$2]}"
  # bash reports a process that was killed.
  { wait "${pid[$2]}" || true; } 2>/dev/null
}

# What each server has done, and what it is doing.
metric() { curl -fsS "http://$net.$1:8002/metrics" | awk -v name="$2" '$1 ~ "^" name { sum += $2 } END { print sum + 0 }'; }
done_by() { for n in 1 2 3; do metric $n 'uflow_frames_total.*outcome="ok"'; done; }
open_on() { for n in 1 2 3; do metric $n 'uflow_open_streams'; done | paste -sd/; }

restart_all() {
  for n in 1 2 3; do
    stop TERM $n
    start $n
    sleep 3
  done
}
rolling() { restart_all; }
# Servers whose connections end after 5 s, and the streams on them at most 2 s later: streams spread again.
aged() { SERVE_OPTIONS='--max-connection-age-seconds 5 --drain-seconds 2' restart_all; sleep 10; }
killed() { stop KILL 2; sleep 5; start 2; }
hanging() { kill -STOP "${pid[2]}"; sleep 15; kill -CONT "${pid[2]}"; }
# One fifth of the time for server 2.
slow() {
  for _ in $(seq 60); do
    kill -STOP "${pid[2]}"
    sleep 0.2
    kill -CONT "${pid[2]}"
    sleep 0.05
  done
}
steady() { :; }

# scenario NAME WAY STREAMS CALLERS: the load for some seconds, the event in its middle, and a line of the table.
scenario() {
  local name=$1 way=$2 address before after open later
  address=$proxy:8001
  [ "$way" = proxy ] || address=$servers
  before=$(done_by)
  "$work/fleet" -servers "$address" -streams "$3" -callers "$4" -rate "${RATE:-10}" -seconds "${seconds}s" \
    "${pictures[@]}" >"$work/$name-$way.json" 2>"$work/$name-$way.log" &
  load=$!
  sleep 5
  open=$(open_on)
  "${5:-$name}"
  later=$(open_on)
  wait "$load" || failures=$((failures + 1))
  load=''
  # The counters of a server that was started again begin at 0.
  after=$(done_by)
  python3 - "$name" "$way" "$open → $later" "$before" "$after" "$work/$name-$way.json" <<'PYTHON'
import json, sys

name, way, opened, before, after, path = sys.argv[1:]
frames = [b - a if b >= a else b for a, b in zip(map(int, before.split()), map(int, after.split()))]
shares = "/".join(f"{100 * one / max(sum(frames), 1):.0f}" for one in frames) if name not in ("rolling", "aged", "killed") else ""
text = open(path).read()
if not text:
    sys.exit(f"{name}: the load program failed; see {path.removesuffix('json')}log")
r = json.loads(text)
wrong = [r[key] for key in ("lost", "twice", "failed", "wrong", "out_of_order")]
print(f"| {name} | {way} | {r['verdicts']} of {r['sent']} | {'/'.join(map(str, wrong))} | {r['reconnects']} | {r['longest_silence_ms'] / 1e3:.1f} s"
      f" | {r['frame_p50_ms']:.0f}, {r['frame_p99_ms']:.0f} ms | {r['calls'] - r['calls_failed_or_wrong']} of {r['calls']}"
      f" | {r['call_p50_ms']:.0f}, {r['call_p99_ms']:.0f}, {r['call_max_ms']:.0f} ms | {opened} | {shares} |")
PYTHON
  # Servers with the usual options for the next one.
  if [ "$name" = aged ]; then for n in 1 2 3; do stop TERM $n; start $n; done; fi
}

mkdir -p "$work"
if [ ! -e "$models/cloth/1/uflow.json" ]; then
  "$uflow" demo --data-only --out "$work/demo" --products woven-cloth --train 60 >/dev/null
  "$uflow" fit --good "$work/demo/data/woven_cloth/train/good" --out "$models/cloth/1" --name cloth \
    --backbone assets/photonet.onnx --epochs 3 --input-size 96 --json >/dev/null
fi
mapfile -t pictures < <(find "$work/demo/data/woven_cloth/test" -name '*.png' ! -path '*/good/*' | LC_ALL=C sort | awk 'NR % 4 == 0')
(cd deploy/fleet && go build -o "$work/fleet" .)
for n in 1 2 3; do start $n; done
sed "s/10\.0\.0\.\([123]\)/$net.\1/; s/bind :/bind $proxy:/" deploy/haproxy.cfg >"$work/haproxy.cfg"
haproxy -f "$work/haproxy.cfg" >"$work/haproxy.log" 2>&1 &
proxy_pid=$!
await $proxy
sleep 3

echo "deploy/fleet.sh, $(date -u +%F), commit $(git rev-parse --short=10 HEAD), $("$uflow" --version | head -n 1), $(haproxy -v | head -n 1 | cut -d' ' -f1-3), $(nproc) CPUs"
echo
echo "| scenario | by | verdicts on streams | lost/twice/failed/wrong/out of order | lost connections | longest silence of a stream | frame: p50, p99 | right answers to calls | call: p50, p99, longest | open streams of each server, before and after | % of frames |"
echo "|---|---|---|---|---|---|---|---|---|---|---|"
failures=0
for name in "${@:-all}"; do
  for way in proxy client; do
    case $name in
      all)
        scenario streams $way 12 0 steady
        scenario calls $way 0 6 steady
        for event in rolling aged killed hanging slow; do scenario $event $way 12 4; done
        ;;
      streams) scenario streams $way 12 0 steady ;;
      calls) scenario calls $way 0 6 steady ;;
      *) scenario "$name" $way 12 4 ;;
    esac
  done
done
for n in 1 2 3; do stop TERM $n; done
[ $failures = 0 ] || { echo "$0: $failures runs with wrong or missing verdicts; see $work" >&2; exit 1; }
