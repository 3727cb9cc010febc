#!/usr/bin/env bash
# Downloads ONNX Runtime's Python wheel, checks its hash, and extracts the shared library and its licences into .onnxruntime/.
#
#   tools/fetch_onnxruntime.sh             the CPU build, into .onnxruntime/lib
#   tools/fetch_onnxruntime.sh cpu OTHER   that of another platform, into .onnxruntime/OTHER: x86_64, aarch64 or windows
#   tools/fetch_onnxruntime.sh openvino    the OpenVINO build, into .onnxruntime/openvino
#   tools/fetch_onnxruntime.sh gpu         the build for NVIDIA GPUs, into .onnxruntime/gpu
#
# Works with any Python 3 with pip: the wheel is chosen by platform, not for the Python that runs pip.
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-cpu}" in
  cpu) requirements=tools/onnxruntime.txt folder=.onnxruntime/${2:-lib} ;;
  openvino) requirements=tools/onnxruntime-openvino.txt folder=.onnxruntime/openvino ;;
  gpu) requirements=tools/onnxruntime-gpu.txt folder=.onnxruntime/gpu ;;
  *) echo "usage: $0 [cpu [x86_64|aarch64|windows]|openvino|gpu]" >&2; exit 2 ;;
esac
case "${2:-}" in
  '') platform=manylinux_2_28_$(uname -m) ;;
  x86_64 | aarch64) platform=manylinux_2_28_$2 ;;
  windows) platform=win_amd64 ;;
  *) echo "$0: the platform $2 is not known: x86_64, aarch64, windows" >&2; exit 2 ;;
esac
stamp="$folder/$(sha256sum "$requirements" | cut -c1-16).stamp"
[ -e "$stamp" ] && exit 0
command -v python3 >/dev/null || { echo "$0: python3 with pip is needed to fetch ONNX Runtime" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" >/dev/null 2>&1 && python="$work/venv/bin/python" || python=python3
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.11 --implementation cp --abi cp311 --platform "$platform" \
  --dest "$work" --requirement "$requirements"
python3 - "$work" <<'PYTHON'
import glob, sys, zipfile
wheel = glob.glob(sys.argv[1] + "/*.whl")[0]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        library = name.startswith("onnxruntime/capi/") and (".so" in name or name.endswith(".dll")) and "pybind11" not in name
        if library or name in ("onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"):
            archive.extract(name, sys.argv[1])
PYTHON
rm -rf "$folder"
mkdir -p "$folder"
mv "$work"/onnxruntime/capi/* "$work/onnxruntime/LICENSE" "$work/onnxruntime/ThirdPartyNotices.txt" "$folder"/
library=onnxruntime.dll
if [ "${2:-}" != windows ]; then
  for file in "$folder"/libonnxruntime.so.*; do library=$(basename "$file"); done
  ln -sf "$library" "$folder/libonnxruntime.so"
fi
touch "$stamp"
echo "ONNX Runtime: $folder/$library"
