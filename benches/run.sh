#!/usr/bin/env bash
# `make bench`: prints all figures of benches/speed.md. The comparison of training needs PyTorch; without it there is no ratio.
set -euo pipefail
cd "$(dirname "$0")/.."
uflow=target/release/uflow

echo "## $(date -u +%Y-%m-%d), $(git rev-parse --short=10 HEAD), $(nproc) CPUs, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)"
cargo bench --locked --bench preprocess -- --quick
cargo bench --locked --bench segment -- --quick
cargo bench --locked --bench end_to_end
cargo bench --locked --bench serve
cargo bench --locked --bench evaluate
cargo bench --locked --package uflow-ffi --bench overhead
if [ -n "${PYTHON:-}" ] && "$PYTHON" -c 'import torch' 2>/dev/null; then
  binary=$(cargo bench --locked --bench train --no-run 2>&1 | tee /dev/stderr | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
  "$PYTHON" tools/bench_train.py "$binary"
else
  cargo bench --locked --bench train
  echo "set PYTHON to a Python with PyTorch to compare training with it in the same run"
fi
"$uflow" --version
