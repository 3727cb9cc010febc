#!/usr/bin/env bash
# Tests a running server with Triton's Python clients and its load generator, all unmodified, over gRPC and HTTP.
#
#   tools/check_clients.sh GRPC_ADDRESS HTTP_ADDRESS MODEL        e.g. 127.0.0.1:8001 127.0.0.1:8002 bracket
#
# The server must allow shared memory (--allow-shared-memory) and model control (--model-control explicit).
# KSERVE=1 also runs the inference client of KServe's SDK, which installs some 450 MB.
# Installs into target/clients only; the package managers also use their own caches.
set -euo pipefail
usage="usage: $0 GRPC_ADDRESS HTTP_ADDRESS MODEL"
grpc=${1:?$usage}
http=${2:?$usage}
model=${3:?$usage}
cd "$(dirname "$0")/.."
. tools/venv.sh

tritonclient=2.46.0
cuda_runtime=12.9.79
# The client for shared memory imports pkg_resources.
setuptools=80.9.0
kserve=0.21.0

work=$PWD/target/clients
venv=$work/tritonclient
libraries=$work/libraries
# The load generator links CUDA's runtime but needs no GPU.
venv "$venv" --only-binary=:all: "tritonclient[grpc,http]==$tritonclient" "setuptools==$setuptools" numpy "nvidia-cuda-runtime-cu12==$cuda_runtime"

"$venv/bin/python" tests/clients/oip.py "$grpc" "$model"
"$venv/bin/python" tests/clients/oip_http.py "$grpc" "$http" "$model"

if [ "${KSERVE:-}" = 1 ]; then
  venv "$work/kserve" --only-binary=:all: "kserve==$kserve"
  "$work/kserve/bin/python" tests/clients/kserve_sdk.py "$grpc" "$http" "$model"
fi

# The folders of the wheel and its dependencies.
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
if ldd "$perf_analyzer" | grep 'libb64.* => not found' >/dev/null; then
  # A library of Debian and Ubuntu that few machines have. It is unpacked next to the client, which needs no root.
  if ! command -v apt-get >/dev/null; then
    echo "$0: perf_analyzer needs libb64.so.0d, which was not found; install it (libb64-0d)" >&2
    exit 1
  fi
  mkdir -p "$libraries"
  fetch=(apt-get -q -o "APT::Sandbox::User=$(id -un)" download libb64-0d)
  cd "$libraries"
  # A new machine has no package list yet.
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
  "$perf_analyzer" -m "$model" "$@"
}
short=(--measurement-mode count_windows --measurement-request-count 50 --max-trials 4 --stability-percentage 999)
for protocol in "grpc -u $grpc" "http -u $http"; do
  read -ra over <<<"$protocol"
  load -i "${over[@]}" --shape image:32,48,3 --concurrency-range 1:4:3 "${short[@]}"
  load -i "${over[@]}" --shape image:32,48,3 --concurrency-range 2 -b 4 "${short[@]}"
  load -i "${over[@]}" --shape image:32,48,3 --concurrency-range 2 --shared-memory system "${short[@]}"
done
load -i grpc -u "$grpc" --shape image:32,48,3 --concurrency-range 2 --streaming "${short[@]}"
