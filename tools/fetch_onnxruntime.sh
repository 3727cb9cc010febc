#!/usr/bin/env bash
# Downloads ONNX Runtime's Python wheel, checks its hash, and extracts the shared library into .onnxruntime/.
#
#   tools/fetch_onnxruntime.sh             the CPU build, into .onnxruntime/lib
#   tools/fetch_onnxruntime.sh openvino    the OpenVINO build, into .onnxruntime/openvino
#   tools/fetch_onnxruntime.sh gpu         the build for NVIDIA GPUs, into .onnxruntime/gpu
#
# Works with any Python 3 with pip: the wheel is chosen by platform, not for the Python that runs pip.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-cpu}" in
  cpu) requirements=tools/onnxruntime.txt folder=.onnxruntime/lib ;;
  openvino) requirements=tools/onnxruntime-openvino.txt folder=.onnxruntime/openvino ;;
  gpu) requirements=tools/onnxruntime-gpu.txt folder=.onnxruntime/gpu ;;
  *) echo "usage: $0 [cpu|openvino|gpu]" >&2; exit 2 ;;
esac
stamp="$folder/$(sha256sum "$requirements" | cut -c1-16).stamp"
[ -e "$stamp" ] && exit 0
command -v python3 >/dev/null || { echo "$0: python3 with pip is needed to fetch ONNX Runtime" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" >/dev/null 2>&1 && python="$work/venv/bin/python" || python=python3
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.11 --implementation cp --abi cp311 --platform "manylinux_2_28_$(uname -m)" \
  --dest "$work" --requirement "$requirements"
python3 - "$work" <<'PYTHON'
import glob, sys, zipfile
wheel = glob.glob(sys.argv[1] + "/*.whl")[0]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith("onnxruntime/capi/") and ".so" in name and "pybind11" not in name:
            archive.extract(name, sys.argv[1])
PYTHON
rm -rf "$folder"
mkdir -p "$folder"
mv "$work"/onnxruntime/capi/*.so* "$folder"/
for file in "$folder"/libonnxruntime.so.*; do library=$(basename "$file"); done
ln -sf "$library" "$folder/libonnxruntime.so"
touch "$stamp"
echo "ONNX Runtime: $folder/$library"
