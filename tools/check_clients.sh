#!/usr/bin/env bash
# Triton's Python client and its load generator, unmodified, against a server that runs.
#
#   tools/check_clients.sh ADDRESS MODEL        e.g. 127.0.0.1:8001 bracket
#
# Nothing is installed outside target/clients, beyond what the package clients keep in caches of their own.
set -euo pipefail
address=${1:?"usage: $0 ADDRESS MODEL"}
model=${2:?"usage: $0 ADDRESS MODEL"}
cd "$(dirname "$0")/.."

tritonclient=2.46.0
cuda_runtime=12.9.79

work=$PWD/target/clients
venv=$work/tritonclient-$tritonclient
libraries=$work/libraries
if [ ! -e "$venv/complete" ]; then
  rm -rf "$venv"
  mkdir -p "$work"
  python3 -m venv "$venv"
  pip=("$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all:)
  "${pip[@]}" "tritonclient[grpc]==$tritonclient" numpy
  # The load generator is linked with CUDA's runtime, though it needs no GPU.
  "${pip[@]}" --no-deps "nvidia-cuda-runtime-cu12==$cuda_runtime"
  touch "$venv/complete"
fi

"$venv/bin/python" tests/clients/oip.py "$address" "$model"

# What the wheel and its dependencies hold, wherever pip put it.
installed() {
  "$venv/bin/python" - "$1" "$2" <<'PYTHON'
import sys
from importlib.metadata import files

print(next(file.locate().resolve() for file in files(sys.argv[1]) if file.name == sys.argv[2]))
PYTHON
}

perf_analyzer=$(installed tritonclient perf_analyzer)
cudart=$(installed nvidia-cuda-runtime-cu12 libcudart.so.12)
LD_LIBRARY_PATH=$(dirname "$cudart"):$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
if ldd "$perf_analyzer" | grep -q 'libb64.* => not found'; then
  # A library of Debian and Ubuntu that is on few machines: unpacked beside the client, no root needed.
  if ! command -v apt-get >/dev/null; then
    echo "$0: perf_analyzer needs libb64.so.0d, which was not found; install it (libb64-0d)" >&2
    exit 1
  fi
  mkdir -p "$libraries"
  fetch=(apt-get -q -o "APT::Sandbox::User=$(id -un)" download libb64-0d)
  cd "$libraries"
  # A machine that was just made has no list of packages yet.
  "${fetch[@]}" || { apt-get -q update && "${fetch[@]}"; }
  dpkg -x libb64-0d_*.deb .
  cp -P usr/lib/*/libb64.so.* .
  cd - >/dev/null
fi
if ldd "$perf_analyzer" | grep 'not found'; then
  echo "$0: perf_analyzer cannot be run, these libraries are missing" >&2
  exit 1
fi

load() {
  echo "perf_analyzer $*"
  "$perf_analyzer" -m "$model" -u "$address" -i grpc "$@"
}
short=(--measurement-mode count_windows --measurement-request-count 50 --max-trials 4 --stability-percentage 999)
load --shape image:32,48,3 --concurrency-range 1:4:3 "${short[@]}"
load --shape image:32,48,3 --concurrency-range 2 -b 4 "${short[@]}"
load --shape image:32,48,3 --concurrency-range 2 --streaming "${short[@]}"
