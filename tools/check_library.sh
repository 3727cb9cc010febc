#!/usr/bin/env bash
# Installs libuflow into a temporary folder and uses it as other projects do: its exports, pkg-config, CMake projects, the static library,
# other folders than the standard ones, and the whole C program: plain, under Valgrind, and under AddressSanitizer and
# UndefinedBehaviorSanitizer with an instrumented library. At last it is removed again. The folder's name has a space and an apostrophe.
#
#   tools/check_library.sh             all checks
#   tools/check_library.sh CHECK…      some: install tests exports programs cmake layouts valgrind sanitizers uninstall (install first, once)
#
# PROFILE=dev checks a build of Cargo's profile `dev`, which takes less time to build.
# Needs gcc, g++, cmake, pkg-config, valgrind, and OpenCV for one example (Debian: libopencv-dev).
set -euo pipefail
cd "$(dirname "$0")/.."
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(install tests exports programs cmake layouts valgrind sanitizers uninstall)
work=${CARGO_TARGET_DIR:-$PWD/target}/library
unset UFLOW_ONNXRUNTIME # the installed library must be found in its place, and so must the backbone
export UFLOW_BACKBONES=$work/none
prefix="$work/the line's usr"
profile=${PROFILE:-release}
built=${CARGO_TARGET_DIR:-target}/${profile/dev/debug}
# As `make install-library` builds it: one build for all checks.
export UFLOW_LIBRARY_FOLDER=$prefix/lib/uflow UFLOW_DATA_FOLDER=$prefix/share/uflow
mkdir -p "$work"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
warnings=(-Wall -Wextra -Wpedantic -Werror)
say() { printf '== %s\n' "$*"; }
die() { echo "check_library: $*" >&2; exit 1; }
# with FLAGS COMMAND…: runs a compiler with flags as pkg-config writes them: for a shell, with \ before spaces.
with() {
  local flags=$1
  shift
  eval "${*@Q} $flags"
}
fresh() { rm -rf "$work/run" && mkdir -p "$work/run" && echo "$work/run"; }

check_install() {
  rm -rf "$prefix"
  # The command converts the backbone. `make test` has built it, and `make library` needs no release build of it.
  env --unset UFLOW_LIBRARY_FOLDER --unset UFLOW_DATA_FOLDER cargo test --locked --package uflow --test cli --no-run
  make --no-print-directory install-library PREFIX="$prefix" PROFILE="$profile" CONVERTER="${CARGO_TARGET_DIR:-target}/debug/uflow" 2>&1 |
    tee "$work/install.log"
  # `make lint` checks the crates only with the server and the command.
  if grep '^warning' "$work/install.log"; then die "the library is built with warnings"; fi
  for file in include/uflow.h include/uflow.hpp lib/libuflow.so lib/libuflow.a lib/pkgconfig/uflow{,-static}.pc lib/uflow/libonnxruntime.so \
    share/uflow/installed.txt share/uflow/backbones/{efficientnet-lite0-pyramid.onnx,NOTICE.md,LICENSE-APACHE}; do
    [ -e "$prefix/$file" ] || die "$file was not installed"
  done
  find "$prefix/lib" -maxdepth 1 -name 'lib*' -printf '   %f %s %l\n' | sort
}

# The library's own tests, on the build that is shipped. The programs in C and C++ are linked with the installed library.
check_tests() {
  UFLOW_LIBRARY=$prefix/lib/libuflow.so cargo test --profile "${profile/dev/test}" --locked --package uflow-ffi
}

# The exports of a library with their nodes. GNU ld lists the nodes too, as absolute symbols.
exports() { nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | sed 's/@@/ /' | LC_ALL=C sort; }

# Exports only uflow_* symbols of the committed list, each with its version node, and nothing of the server.
check_exports() {
  diff <(exports "$prefix/lib/libuflow.so") <(LC_ALL=C sort ffi/abi/symbols.txt) ||
    die "the exports are not those of ffi/abi/symbols.txt: see ffi/tests/interface/abi.rs"
  # A program that needs a function of a later version says so at its start, with a library that does not have it.
  sed 's/^\(uflow_version\) .*/\1 UFLOW_0.99/' ffi/abi/symbols.txt >"$work/later.txt"
  rm -rf "$work/later"
  SYMBOLS=$work/later.txt tools/link_library.sh "$built" "$work/later"
  printf '#include <uflow.h>\nint main(void) { return uflow_version() == 0; }\n' >"$work/later/program.c"
  gcc "$work/later/program.c" -I"$prefix/include" "$work/later/libuflow.so" -o "$work/later/program"
  ln -s libuflow.so "$work/later/libuflow.so.0"
  LD_LIBRARY_PATH=$work/later "$work/later/program" || die "a program with a function of a later version does not run"
  if LD_LIBRARY_PATH=$prefix/lib "$work/later/program" 2>"$work/later/said"; then die "a program runs without a function that it needs"; fi
  grep 'libuflow.so.0: version .UFLOW_0.99. not found' "$work/later/said" || die "the loader says something else: $(cat "$work/later/said")"
  [ -z "$(nm -g --defined-only "$prefix/lib/libuflow.a" | awk 'NF == 3 && $3 !~ /^uflow_/')" ] ||
    die "libuflow.a defines names that are not uflow_*"
  # Not `grep -q`: it ends early, which makes the other end of the pipe fail.
  readelf -d "$prefix/lib/libuflow.so" | grep 'SONAME.*\[libuflow.so.[0-9]*\]' >/dev/null || die "there is no soname"
  if nm "$built/libuflow_ffi.so" | grep -Ei 'tokio|tonic|hyper|axum'; then
    die "the server's crates are in the library"
  fi
  if command -v abidw >/dev/null; then
    abidw --no-show-locs "$prefix/lib/libuflow.so" >/dev/null || die "abidw cannot read the library"
  fi
}

# Builds the C program by pkg-config: with the shared library, with the static one beside it, and with the static one alone.
check_programs() {
  local -a compile=(gcc -std=c11 -O1 "${warnings[@]}" ffi/tests/c/program.c)
  with "$(pkg-config --cflags --libs uflow)" "${compile[@]}" -Wl,-rpath,"$prefix/lib" -o "$work/program"
  ldd "$work/program" | grep libuflow >/dev/null || die "program is not linked with the shared library"
  "$work/program" "$(fresh)" 1000 10000 assets/photonet.onnx

  with "$(pkg-config --cflags --libs uflow-static)" "${compile[@]}" -o "$work/program-static"
  rm -rf "$work/static"
  install -D -m 644 -t "$work/static/lib" "$prefix/lib/libuflow.a"
  install -D -m 644 -t "$work/static/lib/pkgconfig" "$prefix/lib/pkgconfig/uflow.pc"
  install -D -m 644 -t "$work/static/include" "$prefix/include/uflow.h"
  # The file has the absolute path of an installation whose name has a space.
  with "$(PKG_CONFIG_PATH=$work/static/lib/pkgconfig pkg-config --define-variable=prefix="$work/static" --static --cflags --libs uflow)" \
    "${compile[@]}" -o "$work/program-alone"
  local program
  for program in program-static program-alone; do
    if ldd "$work/$program" | grep libuflow; then die "$program is not static"; fi
    # It lies outside the installation, and finds ONNX Runtime and the default backbone there.
    "$work/$program" "$(fresh)" 5 1000
  done
}

check_cmake() {
  for language in c cpp; do
    rm -rf "$work/cmake-$language"
    cmake -S examples/$language -B "$work/cmake-$language" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Release >/dev/null
    cmake --build "$work/cmake-$language" -- --no-print-directory | sed '/^\[/d'
  done
  check_cmake_static
  check_cmake_versions
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

# A CMake project with the static library.
check_cmake_static() {
  local project=$work/cmake-static
  rm -rf "$project"
  mkdir -p "$project"
  cat >"$project/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.16)
project(static LANGUAGES C)
find_package(uflow 0.1 REQUIRED)
add_executable(program "$PWD/ffi/tests/c/program.c")
target_link_libraries(program PRIVATE uflow::static)
CMAKE
  cmake -S "$project" -B "$project/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
  cmake --build "$project/build" -- --no-print-directory >/dev/null
  if ldd "$project/build/program" | grep libuflow; then die "the program of CMake's uflow::static is not static"; fi
  "$project/build/program" "$(fresh)" 5 1000 assets/photonet.onnx >/dev/null
}

# Which versions find_package accepts, of an installed 0.1.0.
check_cmake_versions() {
  local project=$work/cmake-versions
  rm -rf "$project"
  mkdir -p "$project"
  grep 'PACKAGE_VERSION "0.1.0"' "$prefix/lib/cmake/uflow/uflowConfigVersion.cmake" >/dev/null || die "write this check for the new version"
  cat >"$project/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.19)
project(versions LANGUAGES C)
function(check request expected)
  string(REPLACE " " ";" arguments "${request}")
  unset(uflow_DIR CACHE)
  find_package(uflow ${arguments} QUIET)
  if(NOT "${uflow_FOUND}" STREQUAL "${expected}")
    message(SEND_ERROR "find_package(uflow ${request}): found ${uflow_FOUND}, not ${expected}")
  endif()
endfunction()
foreach(request "" 0 0.1 0.1.0 "0.1.0 EXACT" 0.0.9 0.1...0.5 "0.1...<1" 0.0...0.1.0)
  check("${request}" 1)
endforeach()
foreach(request 0.1.1 0.2 1 1.0 "0.0.9 EXACT" 0.2...0.9 "0.0...<0.1" 0.0...0.0.9 1...2)
  check("${request}" 0)
endforeach()
CMAKE
  cmake -S "$project" -B "$project/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null || die "find_package takes the wrong versions"
}

# Installs into other folders, with DESTDIR, and removes everything again. Files of others stay. The folders that are compiled into the
# library are those of check_install: no build is needed here.
check_layouts() {
  local layout root=$work/layouts
  local -a settings
  for layout in lib64 multiarch apart; do
    rm -rf "$root"
    mkdir -p "$root/it's \"root\""
    case $layout in
      lib64) settings=(PREFIX=/usr LIBDIR=lib64) ;;
      multiarch) settings=(PREFIX=/usr LIBDIR="/usr/lib/$(gcc -print-multiarch)") ;;
      apart) settings=(PREFIX="$root/a prefix" LIBDIR="$root/the libraries" INCLUDEDIR="$root/the headers" BINDIR="$root/the programs") ;;
    esac
    say "layout $layout"
    case $layout in
      apart) layout_apart "$root" "${settings[@]}" ;;
      *) layout_staged "$root" "${settings[@]}" DESTDIR="$root/it's \"root\"" ;;
    esac
  done
}

# A package: what it holds is moved to another place, and used there.
layout_staged() {
  local root=$1 lib staged
  shift
  staged="$root/it's \"root\"/usr"
  env "$@" BUILT="$built" tools/install.sh library efficientnet-lite0-pyramid >/dev/null
  lib=$(cd "$staged" && find lib* -name libuflow.a -printf '%h')
  cp -a "$staged" "$root/moved here"
  with "$(PKG_CONFIG_PATH="$root/moved here/$lib/pkgconfig" pkg-config --cflags --libs uflow)" gcc examples/c/detect.c \
    -Wl,-rpath,"$root/moved here/$lib" -o "$root/detect"
  ldd "$root/detect" | grep -F "$root/moved here/$lib/libuflow.so.0" >/dev/null || die "detect does not find the library in $lib"
  cmake -S examples/c -B "$root/cmake" -Duflow_DIR="$root/moved here/$lib/cmake/uflow" >/dev/null
  cmake --build "$root/cmake" >/dev/null
  echo mine >"$staged/include/mine.h"
  env "$@" tools/install.sh uninstall
  [ "$(cd "$staged" && find . -type f)" = ./include/mine.h ] || die "after uninstall there is: $(find "$staged")"
  [ ! -d "$staged/$lib" ] || die "uninstall left the empty folder $lib"
}

# Folders that have nothing to do with each other, one of which was there before.
layout_apart() {
  local root=$1
  shift
  mkdir "$root/the headers"
  env "$@" BUILT="$built" tools/install.sh library efficientnet-lite0-pyramid >/dev/null
  with "$(PKG_CONFIG_PATH="$root/the libraries/pkgconfig" pkg-config --cflags --libs uflow-static)" gcc examples/c/detect.c -o "$root/detect"
  cmake -S examples/c -B "$root/cmake" -Duflow_DIR="$root/the libraries/cmake/uflow" >/dev/null
  cmake --build "$root/cmake" >/dev/null
  env "$@" tools/install.sh uninstall
  [ -z "$(find "$root" -type f -not -path "$root/cmake/*" -not -name detect)" ] || die "after uninstall there is: $(find "$root" -type f)"
  [ -d "$root/the headers" ] || die "uninstall removed a folder that was there before"
  [ ! -d "$root/a prefix" ] || die "uninstall left the empty folder $root/a prefix"
}

check_uninstall() {
  make --no-print-directory uninstall PREFIX="$prefix"
  [ ! -e "$prefix" ] || die "uninstall left $(find "$prefix")"
  if make --no-print-directory uninstall PREFIX="$prefix" 2>"$work/said"; then die "uninstall removed nothing and said so to nobody"; fi
  grep "nothing is installed under $prefix" "$work/said" || die "uninstall says: $(cat "$work/said")"
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
