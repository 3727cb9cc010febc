#!/usr/bin/env bash
# Installs libuflow on Linux: headers, shared and static library, pkg-config and CMake files, and ONNX Runtime.
#
#   tools/install_library.sh PREFIX [DESTDIR]      after `cargo build --release --package uflow-ffi` and `make onnxruntime`
#
# The library is built alone, without code of the server or the command. The static library is one object in which
# only the names uflow_* are global, so it can be linked together with other static libraries made with Rust.
set -euo pipefail
[ $# = 1 ] || [ $# = 2 ] || { echo "usage: $0 PREFIX [DESTDIR]" >&2; exit 2; }
prefix=$1
case "$prefix" in /*) ;; *) echo "$0: PREFIX must be an absolute path, not $prefix" >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."
root="${2:-}$prefix"
built=${CARGO_TARGET_DIR:-target}/release
[ "$(uname -s)" = Linux ] || { echo "$0: written for Linux; elsewhere take the library from $built" >&2; exit 1; }
for tool in ld objcopy ar nm strip; do
  command -v $tool >/dev/null || { echo "$0: $tool is needed (Debian: binutils)" >&2; exit 1; }
done
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
major=${version%%.*}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install -d "$root/include" "$root/lib/pkgconfig" "$root/lib/cmake/uflow"
install -m 644 include/uflow.h include/uflow.hpp "$root/include/"

strip --strip-debug -o "$work/libuflow.so" "$built/libuflow_ffi.so"
install -m 755 "$work/libuflow.so" "$root/lib/libuflow.so.$version"
ln -sf "libuflow.so.$version" "$root/lib/libuflow.so.$major"
ln -sf "libuflow.so.$major" "$root/lib/libuflow.so"

mapfile -t exports < <(nm -D --defined-only "$built/libuflow_ffi.so" | awk '{ print "--undefined=" $3 }')
ld -r --gc-sections "${exports[@]}" -o "$work/all.o" "$built/libuflow_ffi.a"
objcopy --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd --wildcard --keep-global-symbol='uflow_*' \
  "$work/all.o" "$work/uflow.o"
ar rcs "$work/libuflow.a" "$work/uflow.o"
install -m 644 "$work/libuflow.a" "$root/lib/libuflow.a"

fill() { sed -e "s|@VERSION@|$version|g; s|@MAJOR@|$major|g" "$1" >"$2"; }
fill ffi/uflow.pc.in "$root/lib/pkgconfig/uflow.pc"
fill ffi/cmake/uflowConfig.cmake.in "$root/lib/cmake/uflow/uflowConfig.cmake"
fill ffi/cmake/uflowConfigVersion.cmake.in "$root/lib/cmake/uflow/uflowConfigVersion.cmake"

# A separate folder, so that ldconfig does not offer this ONNX Runtime to every other program.
install -d "$root/lib/uflow"
cp -P .onnxruntime/lib/*.so* "$root/lib/uflow/"
echo "libuflow $version: $root"
