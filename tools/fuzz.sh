#!/usr/bin/env bash
# Fuzzes the C interface under AddressSanitizer: `tools/fuzz.sh [SECONDS]` (default 600). Installs cargo-fuzz if it is missing.
# Findings are in fuzz/artifacts, the corpus is in fuzz/corpus; neither is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# Sanitizers are a nightly feature. RUSTC_BOOTSTRAP enables them in the stable compiler, for this command only.
export RUSTC_BOOTSTRAP=1 UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
TMPDIR=$folder cargo fuzz run c_abi -- -max_total_time="${1:-600}" -max_len=65536 -rss_limit_mb=6144 -timeout=60 -print_final_stats=1
