#!/usr/bin/env bash
# Agreement with the CPU, latency and throughput of a model on a GPU, by batch size and precision.
#
#   benches/gpu.sh BINARY LIBRARIES PACKAGE [BATCHES]
#
# BINARY     the uflow command
# LIBRARIES  a folder with an ONNX Runtime built for CUDA (libonnxruntime.so and libonnxruntime_providers_*.so); CUDA,
#            cuDNN and TensorRT must be on the loader's path or in LIBRARIES
# PACKAGE    a model package
# BATCHES    sizes of batch, default 1,2,4,8,16,32
#
# Environment: IMAGES (a folder; without it the input is noise, whose scores are almost 1 and cannot be compared), GPU (default 0),
# REPEAT (calls measured per line, default 100). If a device or precision is not available, the reason is printed and the script
# continues. Exit codes: 0 measured, 1 nothing could be measured, 2 wrong usage, 3 no GPU.
set -euo pipefail
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
binary=$1 libraries=$2 package=$3 batches=${4:-1,2,4,8,16,32}
gpu=${GPU:-0} repeat=${REPEAT:-100} images=${IMAGES:-}
[ -x "$binary" ] || { echo "$0: $binary is not a program" >&2; exit 2; }
[ -d "$libraries" ] || { echo "$0: $libraries is not a folder" >&2; exit 2; }
[ -e "$package" ] || { echo "$0: $package does not exist" >&2; exit 2; }

name=$(nvidia-smi --id="$gpu" --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || name=
if [ -z "$name" ]; then
  echo "nvidia-smi shows no GPU $gpu on this machine; nothing was measured"
  exit 3
fi
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
# Without this, TensorRT may round fp32 to TF32, and the comparison would measure the rounding.
export NVIDIA_TF32_OVERRIDE=0
echo "GPU $gpu: $name; $("$binary" --version | head -n 1); $(date -u +%F)"
measured=0
for device in cuda tensorrt; do
  for precision in fp32 bf16 fp16; do
    # CUDA kernels use the network's own precision, fp32.
    [ "$device" = cuda ] && [ "$precision" != fp32 ] && continue
    echo
    if "$binary" bench --onnxruntime "$libraries" --model "$package" --device "$device:$gpu" --precision "$precision" \
      --batch "$batches" --repeat "$repeat" --compare cpu ${images:+--images "$images"}; then
      measured=1
    else
      echo "$device $precision: not measured; see the reason above"
    fi
  done
done
[ "$measured" = 1 ]
