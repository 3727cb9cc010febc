#!/usr/bin/env bash
# The measurements of benches/capacity.md: resident memory by number of models, CPU time for a frame, bytes of a frame on the wire.
#
#   benches/capacity.sh BINARY REPOSITORY [FOLDER …]     REPOSITORY: models with one backbone; FOLDERs: pictures, sent as they are
#
# CPU time of the server's process counts, not elapsed time: other work on the machine changes it little. Runs in a network namespace of its
# own (needs root), so that the loopback's counters belong to this run: they count TCP and IP too, in both directions.
set -euo pipefail
if [ -z "${CAPACITY_INSIDE:-}" ]; then
  export CAPACITY_INSIDE=1
  exec unshare --net "$0" "$@"
fi
uflow=$(realpath "$1") repository=$(realpath "$2")
shift 2
ip link set lo up
work=$(mktemp -d)
server=''
trap '[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true; rm -rf "$work"' EXIT

# serve FOLDER OPTION …
serve() {
  local folder=$1
  shift
  "$uflow" serve --models "$folder" --log error "$@" >>"$work/log" 2>&1 &
  server=$!
  for _ in $(seq 600); do
    curl -fsS http://127.0.0.1:8002/readyz >/dev/null 2>&1 && return
    kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
    sleep 0.1
  done
}
stop() {
  kill -TERM "$server"
  wait "$server" || true
  server=''
}
client() { "$uflow" client --json "$@" >/dev/null; }
mib() { awk -v name="$1:" '$1 == name { printf "%.0f", $2 / 1024 }' "/proc/$server/status"; }
ticks() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }
lo() { awk '$1 == "lo:" { print $2 }' /proc/net/dev; }

mapfile -t models < <(find "$repository" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | LC_ALL=C sort)
echo "benches/capacity.sh, $(date -u +%F), $("$uflow" --version | head -n 1), $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
echo
echo "| models | options | loaded, MiB | after 200 frames of 448×448 rgb8, 4 streams | peak |"
echo "|---|---|---|---|---|"
memory() {
  local count=$1 loaded names
  shift
  [ "$count" -le ${#models[@]} ] || return 0
  rm -rf "$work/models"
  mkdir "$work/models"
  for model in "${models[@]:0:$count}"; do cp -a "$repository/$model" "$work/models/"; done
  serve "$work/models" "$@"
  loaded=$(mib VmRSS)
  names=$(IFS=,; echo "${models[*]:0:$count}")
  client --model "$names" --camera 448x448 --streams 4 --frames 200
  echo "| $count | ${*:-defaults} | $loaded | $(mib VmRSS) | $(mib VmHWM) |"
  stop
}
for count in 1 2 5; do memory $count; done
memory 1 --max-batch 1

echo
echo "| server's options | CPU time for a frame of 448×448 rgb8 | frames a second and core |"
echo "|---|---|---|"
for options in "--threads 1 --workers 1 --max-batch 1" "--threads 1 --workers 1 --max-batch 8"; do
  # $options holds several options and must be split.
  # shellcheck disable=SC2086
  serve "$repository" $options
  client --model "${models[0]}" --camera 448x448 --frames 30
  for _ in 1 2 3; do
    before=$(ticks)
    client --model "${models[0]}" --camera 448x448 --streams 2 --frames 100
    after=$(ticks)
    awk -v options="$options" -v hz="$(getconf CLK_TCK)" -v used=$((after - before)) \
      'BEGIN { s = used / hz / 100; printf "| `%s` | %.1f ms | %.1f |\n", options, 1e3 * s, 1 / s }'
  done
  stop
done

echo
echo "| frames | size of the frame | bytes on the wire for a frame and its answer |"
echo "|---|---|---|"
serve "$repository"
wire() {
  local name=$1 size=$2 frames=$3 before
  shift 3
  client --model "${models[0]}" --frames 1 --camera 448x448
  before=$(lo)
  client --model "${models[0]}" --frames "$frames" "$@"
  echo "| $name | $size | $((($(lo) - before) / frames)) |"
}
wire "raw 448×448 gray8" $((448 * 448)) 100 --camera 448x448 --format gray8
wire "raw 448×448 rgb8" $((3 * 448 * 448)) 100 --camera 448x448 --format rgb8
for folder in "$@"; do
  count=$(find "$folder" -type f | wc -l)
  wire "$(basename "$folder")" $(($(find "$folder" -type f -exec cat {} + | wc -c) / count)) "$count" "$folder"
done
stop
