#!/usr/bin/env bash
# Measures the tests for drift on products: false alarms on good images that no step has used, and the delay after the exposure has changed
# by 10%.
#
#   benches/drift.sh UFLOW BENCH OUT PRODUCT… [-- OPTIONS OF `uflow fit`]
#
# UFLOW    the uflow command
# BENCH    the program of benches/drift.rs (`cargo bench --bench drift --no-run` prints its path)
# OUT      a folder for models and results
# PRODUCT  folders in MVTec AD's layout. 70% of the good images of train and test are fitted, the lines draw from the others
set -euo pipefail
if [ $# -lt 4 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
uflow=$1 bench=$2 out=$3
shift 3
products=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do products+=("$1") && shift; done
[ $# -gt 0 ] && shift
mkdir -p "$out"
for product in "${products[@]}"; do
  name=$(basename "$product")
  folder=$out/$name
  rm -rf "$folder" && mkdir -p "$folder/fit" "$folder/line"
  # Order the images by a hash of their places, so that every run uses the same ones.
  find -L "$(realpath "$product")"/{train,test}/good -type f | while read -r file; do
    printf '%s %s\n' "$(printf '%s' "$(basename "$(dirname "$(dirname "$file")")")/$(basename "$file")" | sha256sum | cut -c1-16)" "$file"
  done | sort | cut -d' ' -f2- > "$folder/images"
  count=$(($(wc -l < "$folder/images") * 7 / 10))
  # The numbers keep images of train and test with the same name apart.
  nl -w 4 -n rz -s ' ' "$folder/images" | while read -r number file; do
    part=fit
    [ "$((10#$number))" -le "$count" ] || part=line
    ln -s "$file" "$folder/$part/$number.${file##*.}"
  done
  # Reuse a model from an earlier run.
  [ -e "$out/$name.uflow" ] || "$uflow" fit --good "$folder/fit" --out "$out/$name.uflow" "$@" > "$out/$name.txt" 2>&1
  echo "## $name, $count images fitted"
  "$bench" "$out/$name.uflow" "$folder/line" | tee "$out/$name.md"
done
