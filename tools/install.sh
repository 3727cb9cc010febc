#!/usr/bin/env bash
# Installs and removes, on Linux. `make install` runs it after the builds.
#
#   tools/install.sh command BACKBONE…     the command, ONNX Runtime, the backbones of these names
#   tools/install.sh library BACKBONE…     libuflow: headers, shared and static library, files for pkg-config and CMake; the same beside it
#   tools/install.sh uninstall             removes what was installed under this PREFIX
#
# The folders come from PREFIX, BINDIR, LIBDIR, INCLUDEDIR and DESTDIR: see tools/folders.sh. PREFIX/share/uflow/installed.txt lists what was
# written. `uninstall` removes these files, and the folders that were made for them once they are empty. Nothing else.
#
# BUILT is the folder of the built files (default target/release), ONNXRUNTIME that of ONNX Runtime (default .onnxruntime/lib). For another
# processor: OBJCOPY, and the variables of tools/link_library.sh.
set -euo pipefail
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
[ $# -gt 0 ] || usage
what=$1
shift
cd "$(dirname "$0")/.."
. tools/folders.sh
built=${BUILT:-${CARGO_TARGET_DIR:-target}/release}
onnxruntime=${ONNXRUNTIME:-.onnxruntime/lib}
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
major=${version%%.*}
list=$UFLOW_DATA_FOLDER/installed.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "install: $*" >&2; exit 1; }

# record PATH: adds a file, or a folder with / at its end, to the list.
record() { grep -qxF -e "$1" "$DESTDIR$list" 2>/dev/null || printf '%s\n' "$1" >>"$DESTDIR$list"; }

# folder PATH: makes a folder and those above it, and records the ones that were not there.
folder() {
  local path=$1 made=()
  while [ -n "$path" ] && [ ! -d "$DESTDIR$path" ]; do
    made+=("$path/")
    path=${path%/*}
  done
  install -d -m 755 "$DESTDIR$1"
  local each
  for each in "${made[@]}"; do record "$each"; done
}

# put MODE FILE PATH
put() {
  [ -e "$2" ] || die "there is no $2 to install"
  folder "${3%/*}"
  install -m "$1" "$2" "$DESTDIR$3"
  record "$3"
}

# link NAME PATH
link() {
  folder "${2%/*}"
  ln -sfn "$1" "$DESTDIR$2"
  record "$2"
}

# fill TEMPLATE PATH [NAME VALUE]…: writes a template with its @NAME@ replaced.
fill() {
  local text target=$2
  text=$(<"$1")
  shift 2
  while [ $# -gt 0 ]; do
    text=${text//"@$1@"/"$2"}
    shift 2
  done
  printf '%s\n' "$text" >"$work/filled"
  put 644 "$work/filled" "$target"
}

# ONNX Runtime, in a folder of its own, so that ldconfig does not offer it to every other program. The backbones, with their licences.
common() {
  local file
  for file in "$onnxruntime"/*.so*; do
    if [ -L "$file" ]; then link "$(readlink "$file")" "$LIBDIR/uflow/${file##*/}"; else put 644 "$file" "$LIBDIR/uflow/${file##*/}"; fi
  done
  for file in "$@"; do put 644 ".backbones/$file.onnx" "$UFLOW_DATA_FOLDER/backbones/$file.onnx"; done
  put 644 assets/NOTICE.md "$UFLOW_DATA_FOLDER/backbones/NOTICE.md"
  put 644 LICENSE-APACHE "$UFLOW_DATA_FOLDER/backbones/LICENSE-APACHE"
}

# below PATH: its part below PREFIX. Fails if it is elsewhere.
below() { case $1/ in "$PREFIX"/*) printf '%s' "${1#"$PREFIX"/}" ;; *) return 1 ;; esac; }

# A path as pkg-config reads it.
# shellcheck disable=SC2001 # the set of characters needs sed
escaped() { sed "s/[][ '()&|<>*?!{}]/\\\\&/g" <<<"$1"; }

# The files for pkg-config and CMake find the installation from their own place, so that it can be moved. Folders outside PREFIX are absolute,
# and so is PREFIX if pkg-config needs \ in it: implementations differ in what they make of such a ${pcfiledir}.
describe() {
  local prefix lib=$LIBDIR include=$INCLUDEDIR file
  prefix=$(escaped "$PREFIX")
  # shellcheck disable=SC2016 # pkg-config's variables
  if below "$LIBDIR" >/dev/null; then
    [ "$prefix" != "$PREFIX" ] || prefix='${pcfiledir}/'$(realpath -ms --relative-to="$LIBDIR/pkgconfig" "$PREFIX")
    lib='${prefix}/'$(escaped "$(below "$LIBDIR")")
  else
    lib=$(escaped "$LIBDIR")
  fi
  # shellcheck disable=SC2016
  if below "$INCLUDEDIR" >/dev/null; then
    include='${prefix}/'$(escaped "$(below "$INCLUDEDIR")")
  else
    include=$(escaped "$INCLUDEDIR")
  fi
  for file in uflow uflow-static; do
    fill "ffi/$file.pc.in" "$LIBDIR/pkgconfig/$file.pc" VERSION "$version" PREFIX "$prefix" LIBDIR "$lib" INCLUDEDIR "$include"
  done
  # shellcheck disable=SC2016 # CMake's variable
  if below "$LIBDIR" >/dev/null && below "$INCLUDEDIR" >/dev/null; then
    include='${_uflow_lib}/'$(realpath -ms --relative-to="$LIBDIR" "$INCLUDEDIR")
  else
    include=$INCLUDEDIR
  fi
  # The class in the header of an ELF file: 1 for 32 bits, 2 for 64.
  local bytes=$((4 * $(od -An -tu1 -j4 -N1 "$work/libuflow.so")))
  for file in uflowConfig uflowConfigVersion; do
    fill "ffi/cmake/$file.cmake.in" "$LIBDIR/cmake/uflow/$file.cmake" VERSION "$version" MAJOR "$major" INCLUDEDIR "$include" \
      POINTER_BYTES "$bytes"
  done
}

# Says what to do so that programs find the library. Nothing while a package is made.
advise() {
  [ -z "$DESTDIR" ] || return 0
  local searched
  searched=$(PATH=$PATH:/usr/sbin:/sbin ldconfig -N -X -v 2>/dev/null) || return 0
  if grep -q "^$(realpath "$LIBDIR"):" <<<"$searched"; then
    echo "Run ldconfig as root, so that programs find the new library."
  else
    echo "The loader does not search $LIBDIR: link programs with -Wl,-rpath,$LIBDIR, or set LD_LIBRARY_PATH."
  fi
}

# Without the line numbers for debuggers, which are most of the file. Names of functions stay, for backtraces.
install_command() {
  read -ra objcopy <<<"${OBJCOPY:-objcopy}"
  "${objcopy[@]}" --strip-debug "$built/uflow" "$work/uflow"
  put 755 "$work/uflow" "$BINDIR/uflow"
  common "$@"
  echo "uflow $version: $DESTDIR$BINDIR/uflow"
}

install_library() {
  [ "$(uname -s)" = Linux ] || die "written for Linux; elsewhere take the library from $built"
  tools/link_library.sh "$built" "$work"
  put 644 include/uflow.h "$INCLUDEDIR/uflow.h"
  put 644 include/uflow.hpp "$INCLUDEDIR/uflow.hpp"
  put 755 "$work/libuflow.so" "$LIBDIR/libuflow.so.$version"
  link "libuflow.so.$version" "$LIBDIR/libuflow.so.$major"
  link "libuflow.so.$major" "$LIBDIR/libuflow.so"
  put 644 "$work/libuflow.a" "$LIBDIR/libuflow.a"
  describe
  common "$@"
  echo "libuflow $version: $DESTDIR$LIBDIR"
  advise
}

uninstall() {
  [ -e "$DESTDIR$list" ] || die "nothing is installed under $DESTDIR$PREFIX: there is no $DESTDIR$list"
  local path
  if path=$(grep -nvE '^/' "$DESTDIR$list") || path=$(grep -nE '/\.\.?(/|$)' "$DESTDIR$list"); then
    die "$DESTDIR$list is damaged, and nothing was removed. Not an absolute path: $path"
  fi
  cp "$DESTDIR$list" "$work/installed.txt"
  while read -r path; do rm -f -- "$DESTDIR$path"; done < <(grep -v '/$' "$work/installed.txt" || true)
  rm -f -- "$DESTDIR$list"
  # The deepest first.
  while read -r path; do
    [ ! -d "$DESTDIR${path%/}" ] || rmdir --ignore-fail-on-non-empty -- "$DESTDIR${path%/}"
  done < <(grep '/$' "$work/installed.txt" | LC_ALL=C sort -r || true)
  echo "removed what was installed under $DESTDIR$PREFIX"
}

case $what in
  command | library)
    folder "$UFLOW_DATA_FOLDER" # the first one: the list is in it
    "install_$what" "$@"
    ;;
  uninstall) uninstall ;;
  *) usage ;;
esac
