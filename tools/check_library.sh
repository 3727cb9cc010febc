#!/usr/bin/env bash
# Installs libuflow into a temporary folder and uses it as other projects do: its exports, pkg-config, CMake projects, the static library,
# and the whole C program: plain, under Valgrind, and under AddressSanitizer and UndefinedBehaviorSanitizer with an instrumented
# library.
#
#   tools/check_library.sh             all checks
#   tools/check_library.sh CHECK…      some: install tests exports programs cmake valgrind sanitizers (install first, once)
#
# Needs gcc, g++, cmake, pkg-config, valgrind, and OpenCV for one example (Debian: libopencv-dev).
set -euo pipefail
cd "$(dirname "$0")/.."
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(install tests exports programs cmake valgrind sanitizers)
work=${CARGO_TARGET_DIR:-$PWD/target}/library
unset UFLOW_ONNXRUNTIME # the installed library must be found in its place, and so must the backbone
export UFLOW_BACKBONES=$work/none
prefix=$work/usr
export UFLOW_LIBRARY_FOLDER=$prefix/lib/uflow # as `make install-library` builds it: one build for all checks
mkdir -p "$work"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
warnings=(-Wall -Wextra -Wpedantic -Werror)
say() { printf '== %s\n' "$*"; }
die() { echo "check_library: $*" >&2; exit 1; }
fresh() { rm -rf "$work/run" && mkdir -p "$work/run" && echo "$work/run"; }

check_install() {
  rm -rf "$prefix"
  # The command converts the backbone. `make test` has built it, and `make library` needs no release build of it.
  env --unset UFLOW_LIBRARY_FOLDER cargo test --locked --package uflow --test cli --no-run
  make --no-print-directory install-library PREFIX="$prefix" CONVERTER="${CARGO_TARGET_DIR:-target}/debug/uflow" 2>&1 | tee "$work/install.log"
  # `make lint` checks the crates only with the server and the command.
  if grep '^warning' "$work/install.log"; then die "the library is built with warnings"; fi
  for file in include/uflow.h include/uflow.hpp lib/libuflow.so lib/libuflow.a lib/pkgconfig/uflow.pc lib/uflow/libonnxruntime.so \
    share/uflow/backbones/{efficientnet-lite0-pyramid.onnx,NOTICE.md,LICENSE-APACHE}; do
    [ -e "$prefix/$file" ] || die "$file was not installed"
  done
  find "$prefix/lib" -maxdepth 1 -name 'lib*' -printf '   %f %s %l\n' | sort
}

# The library's own tests, on the build that is shipped.
check_tests() {
  cargo test --release --locked --package uflow-ffi
}

# Exports only uflow_* symbols of the committed list, and nothing of the server.
check_exports() {
  diff <(nm -D --defined-only "$prefix/lib/libuflow.so" | awk '{ print $3 }' | sort) ffi/abi/symbols.txt ||
    die "the exports are not those of ffi/abi/symbols.txt: see ffi/tests/interface/abi.rs"
  [ -z "$(nm -g --defined-only "$prefix/lib/libuflow.a" | awk 'NF == 3 && $3 !~ /^uflow_/')" ] ||
    die "libuflow.a defines names that are not uflow_*"
  # Not `grep -q`: it ends early, which makes the other end of the pipe fail.
  readelf -d "$prefix/lib/libuflow.so" | grep 'SONAME.*\[libuflow.so.[0-9]*\]' >/dev/null || die "there is no soname"
  if nm "${CARGO_TARGET_DIR:-target}/release/libuflow_ffi.so" | grep -Ei 'tokio|tonic|hyper|axum'; then
    die "the server's crates are in the library"
  fi
  if command -v abidw >/dev/null; then
    abidw --no-show-locs "$prefix/lib/libuflow.so" >/dev/null || die "abidw cannot read the library"
  fi
}

# Builds the C program with the shared library by pkg-config, and with the static one.
check_programs() {
  # shellcheck disable=SC2046 # the flags are to be split
  gcc -std=c11 -O1 "${warnings[@]}" ffi/tests/c/program.c $(pkg-config --cflags --libs uflow) -lpthread \
    -Wl,-rpath,"$prefix/lib" -o "$work/program"
  "$work/program" "$(fresh)" 1000 10000 assets/photonet.onnx
  # shellcheck disable=SC2046
  gcc -std=c11 -O1 "${warnings[@]}" ffi/tests/c/program.c $(pkg-config --cflags uflow) "$prefix/lib/libuflow.a" \
    $(pkg-config --static --libs-only-l uflow | sed 's/-luflow//') -o "$work/program-static"
  if ldd "$work/program-static" | grep libuflow; then die "program-static is not static"; fi
  # It lies outside the installation, and finds ONNX Runtime and the default backbone there.
  "$work/program-static" "$(fresh)" 5 1000
}

check_cmake() {
  for language in c cpp; do
    rm -rf "$work/cmake-$language"
    cmake -S examples/$language -B "$work/cmake-$language" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
    cmake --build "$work/cmake-$language" -- --no-print-directory | sed '/^\[/d'
  done
  "$work/program" "$(fresh)" 0 8 >/dev/null # on the default backbone; leaves a package behind
  "$work/cmake-c/camera_async" "$work/run/program.uflow" 100
  python3 - "$work/run" <<'PYTHON'
import os, struct, sys, zlib
def png(path, side, value):
    rows = b"".join(b"\0" + bytes(value(x, y) for x in range(side)) for y in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
folder = sys.argv[1]
os.mkdir(folder + "/good")
good = lambda seed: lambda x, y: 90 + x % 8 * 6 + (x * 7 + y * 13 + seed * 31) * 2654435761 % 4294967296 % 24
for seed in range(12):
    png(f"{folder}/good/{seed:02}.png", 256, good(seed))
open(folder + "/good/broken.png", "wb").write(b"not a picture")
inside = lambda x, y: 90 < x < 150 and 90 < y < 150
png(folder + "/bad.png", 256, lambda x, y: x % 2 * 255 if inside(x, y) else good(99)(x, y))
PYTHON
  "$work/cmake-cpp/train" "$work/run/good" "$work/run/part.uflow"
  verdict=0
  "$work/cmake-c/detect" "$work/run/part.uflow" "$work/run/bad.png" || verdict=$?
  [ $verdict = 3 ] || die "detect says $verdict of a bad part"
  # Good and bad parts by turns: the gate must open for the slots of the bad ones.
  "$work/cmake-c/reject_gate" "$work/run/part.uflow" 8 5 "$work/run/good/00.png" "$work/run/bad.png" | tee "$work/run/gate.txt"
  diff "$work/run/gate.txt" <(printf 'rejected %d\n' 1 3 5 7 && echo "8 parts, 4 rejected") || die "reject_gate rejects other parts"
  if [ -x "$work/cmake-cpp/inspect" ]; then
    verdict=0
    "$work/cmake-cpp/inspect" "$work/run/part.uflow" "$work/run/bad.png" "$work/run/overlay.png" || verdict=$?
    [ $verdict = 3 ] || die "inspect says $verdict of a bad part"
    [ -s "$work/run/overlay.png" ] || die "inspect wrote no overlay"
  else
    [ -z "${CI:-}" ] || die "OpenCV was not found, and inspect.cpp was not built"
    say "OpenCV was not found: inspect.cpp was not built"
  fi
}

# Suppressions are for ONNX Runtime and for one false alarm of a list with marked pointers. The program runs on one processor with a small backbone, because Valgrind runs one thread at a time and
# is too slow for the convolutions of a real backbone.
check_valgrind() {
  command -v valgrind >/dev/null || die "valgrind is needed"
  gcc -std=c11 -g "${warnings[@]}" ffi/tests/c/program.c -I"$prefix/include" -L"$prefix/lib" -luflow -lpthread \
    -Wl,-rpath,"$prefix/lib" -o "$work/program-debug"
  taskset -c 0 valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect,possible \
    --errors-for-leak-kinds=definite,indirect,possible --suppressions=ffi/tests/valgrind.supp \
    "$work/program-debug" "$(fresh)" 3 400 ffi/tests/c/backbone.onnx
}

check_sanitizers() {
  local target
  target=$(rustc -vV | sed -n 's/^host: //p')
  # Sanitizers are a nightly feature. RUSTC_BOOTSTRAP enables them in the stable compiler, for this command only.
  RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=$work/asan CARGO_INCREMENTAL=0 \
    cargo build --locked --package uflow-ffi --target "$target"
  mkdir -p "$work/asan/lib"
  cp "$work/asan/$target/debug/libuflow_ffi.so" "$work/asan/lib/libuflow.so.0"
  ln -sf libuflow.so.0 "$work/asan/lib/libuflow.so"
  gcc -std=c11 -g -O1 "${warnings[@]}" -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
    ffi/tests/c/program.c -Iinclude -L"$work/asan/lib" -luflow -lpthread -Wl,-rpath,"$work/asan/lib" -o "$work/program-asan"
  nm -D "$work/asan/lib/libuflow.so.0" | grep __asan_report >/dev/null || die "the library is not instrumented"
  UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 \
    LSAN_OPTIONS=suppressions=ffi/tests/lsan.supp "$work/program-asan" "$(fresh)" 20 2000 assets/photonet.onnx
}

for check in "${checks[@]}"; do
  say "$check"
  "check_$check"
done
say "libuflow: ${checks[*]}: all well"
