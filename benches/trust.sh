#!/usr/bin/env bash
# Compares false alarms with ε: false alarms per good image, recall and mIoU, with the paper's count of tests and with the count by size,
# for three sizes of training set.
#
#   benches/trust.sh UFLOW OUT DATA [GOOD]
#
# UFLOW  the uflow command
# OUT    a folder for models and results
# DATA   a data set in MVTec AD's layout; 30, 100 and all images of its train/good are used for training
# GOOD   good images for the false alarms; default: DATA's own test images
set -euo pipefail
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
uflow=$1 out=$2 data=$(realpath "$3") good=${4:-}
mkdir -p "$out"
# Order the images by a hash of their names, so that every run uses the same ones.
find -L "$data/train/good" -type f | while read -r file; do
  printf '%s %s\n' "$(basename "$file" | sha256sum | cut -c1-16)" "$file"
done | sort | cut -d' ' -f2- > "$out/images"
for count in 30 100 all; do
  folder=$out/good-$count
  rm -rf "$folder" && mkdir "$folder"
  if [ "$count" = all ]; then cat "$out/images"; else head -n "$count" "$out/images"; fi |
    while read -r file; do ln -s "$file" "$folder/"; done
  # Reuse a model from an earlier run.
  [ -e "$out/$count.uflow" ] || "$uflow" fit --good "$folder" --out "$out/$count.uflow" --tests sized > "$out/fit-$count.txt" 2>&1
  for tests in paper sized; do
    "$uflow" evaluate --model "$out/$count.uflow" --data "$data" --tests "$tests" > "$out/evaluate-$count-$tests.txt" 2>&1
    false_alarms=$out/evaluate-$count-$tests.txt
    if [ -n "$good" ]; then
      false_alarms=$out/false-alarms-$count-$tests.txt
      # Exit code 1 means that ε did not hold, which is one of the results.
      "$uflow" calibrate --model "$out/$count.uflow" --good "$good" --tests "$tests" > "$false_alarms" 2>&1 || [ $? -eq 1 ]
    fi
    echo "$(basename "$data"), $count good images, tests $tests:"
    grep -E '^defects of|^mIoU over|by the lowest' "$out/evaluate-$count-$tests.txt" | sed 's/^/  /'
    grep -E '^ *ε = (10|1|0.1|0.01) ' "$false_alarms"
    grep -E '^all ' "$out/evaluate-$count-$tests.txt" | sed 's/^/  /'
  done
done
