#!/usr/bin/env bash
# Makes src/NativeMethods.g.cs from ffi/src again. Run it after a change of the C interface, and commit the result.
#
#   ./generate.sh [FILE]        writes another file, to compare it
#
# The generator is a small program around csbindgen (generate/); Cargo builds it in the repository's target folder.
set -euo pipefail
cd "$(dirname "$0")"
file=$(realpath "${1:-src/NativeMethods.g.cs}")
cargo run --quiet --locked --manifest-path generate/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-../../target}/csharp-generate" -- ../../ffi/src "$file" \
  >/dev/null
