#!/usr/bin/env bash
# Fuzzes the C interface under AddressSanitizer: `tools/fuzz.sh [SECONDS]`, 600 by default. Installs cargo-fuzz where it is missing.
# Findings are left in fuzz/artifacts, the corpus in fuzz/corpus; neither is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
# cargo-fuzz asks for a nightly compiler's sanitizers; this asks the stable one for them, here alone.
export RUSTC_BOOTSTRAP=1 UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
TMPDIR=$folder cargo fuzz run c_abi -- -max_total_time="${1:-600}" -max_len=65536 -rss_limit_mb=6144 -timeout=60 -print_final_stats=1
