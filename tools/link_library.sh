#!/usr/bin/env bash
# Makes libuflow.so and libuflow.a of libuflow_ffi.a, on Linux.
#
#   tools/link_library.sh BUILT OUT        after `cargo build --release --package uflow-ffi`, which writes BUILT/libuflow_ffi.a;
#                                          SYMBOLS is another list of exports than ffi/abi/symbols.txt
#
# Each export of the shared library has a version node: the version in which the function came, by ffi/abi/symbols.txt. A program that needs a function of a newer library then fails
# at its start with the node in the message, and the tools of distributions see which version a program needs. rustc cannot do this: it passes
# an anonymous version script of its own. GNU ld refuses a second script, and lld uses the first one.
#
# The static library is one object in which only the names uflow_* are global, so it can be linked together with other static libraries made
# with Rust.
#
# To link for another machine: CC (default cc), LD, OBJCOPY, AR, NM and OBJDUMP, of the GNU binutils of that machine. CC may use GNU ld or lld. Zig's has no
# unwinder of its own: CC="zig cc -target aarch64-linux-gnu.2.28 -lunwind".
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 BUILT OUT" >&2; exit 2; }
built=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."
# Each may be a command with arguments.
read -ra cc <<<"${CC:-cc}"
read -ra ld <<<"${LD:-ld}"
read -ra objcopy <<<"${OBJCOPY:-objcopy}"
read -ra ar <<<"${AR:-ar}"
read -ra nm <<<"${NM:-nm}"
read -ra objdump <<<"${OBJDUMP:-objdump}"
for tool in "${cc[0]}" "${ld[0]}" "${objcopy[0]}" "${ar[0]}" "${nm[0]}" "${objdump[0]}"; do
  command -v "$tool" >/dev/null || { echo "$0: $tool is needed (Debian: gcc, binutils)" >&2; exit 1; }
done
archive=$built/libuflow_ffi.a
[ -e "$archive" ] || { echo "$0: there is no $archive: run cargo build --release --package uflow-ffi" >&2; exit 1; }
major=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\([0-9]*\)\..*"$/\1/p' Cargo.toml)
symbols=${SYMBOLS:-ffi/abi/symbols.txt}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One node for each version that has new functions. Each depends on the one before.
last=
while read -r node; do
  echo "$node {"
  echo "  global:"
  awk -v node="$node" '$2 == node { print "    " $1 ";" }' "$symbols"
  [ -n "$last" ] || printf '  local:\n    *;\n'
  echo "}${last:+ $last};"
  last=$node
done < <(awk '{ print $2 }' "$symbols" | sort --version-sort --unique) >"$work/libuflow.map"

awk '{ print "-Wl,-u," $1 }' "$symbols" >"$work/exports"
"${cc[@]}" -shared -o "$out/libuflow.so" "@$work/exports" "$archive" -Wl,--version-script="$work/libuflow.map" \
  -Wl,-soname,"libuflow.so.$major" -Wl,--no-undefined -Wl,--no-undefined-version -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,--strip-debug \
  -lpthread -lm -ldl

awk '{ print "-u " $1 }' "$symbols" >"$work/exports"
"${ld[@]}" -r --gc-sections "@$work/exports" -o "$work/all.o" "$archive"
"${objcopy[@]}" --strip-debug --remove-section=.llvmbc --remove-section=.llvmcmd "$work/all.o"
# Names of functions that LLVM shares between modules end in a hash of the module, which depends on the folder of the build. They get numbers
# in the order of the names, so that the same sources give the same archive.
"${nm[@]}" --format=just-symbols "$work/all.o" | grep '\.llvm\.[0-9]*$' >"$work/hashed" || true
sed 's/\(\.llvm\.[0-9]*\)$/ \1/' "$work/hashed" | LC_ALL=C sort | awk '!($2 in seen) { seen[$2] = 1; print $2, ".llvm." ++count }' >"$work/numbers"
"${objdump[@]}" --section-headers --wide "$work/all.o" | awk '$2 ~ /\.llvm\.[0-9]+$/ { print $2 }' >"$work/sections"
# renamed FILE JOINT: each of these names, and what it becomes.
renamed() {
  awk -v joint="$2" 'NR == FNR { number[$1] = $2; next }
    { match($0, /\.llvm\.[0-9]+$/); hash = substr($0, RSTART) } hash in number { print $0 joint substr($0, 1, RSTART - 1) number[hash] }' \
    "$work/numbers" "$1"
}
renamed "$work/hashed" ' ' >"$work/renamed"
renamed "$work/sections" '=' | sed 's/^/--rename-section /' >"$work/options"
"${objcopy[@]}" --redefine-syms="$work/renamed" "@$work/options" "$work/all.o" "$work/named.o"
# The linker's table of symbols has the order in which it learns of them.
"${nm[@]}" --format=just-symbols --extern-only --defined-only "$work/named.o" | LC_ALL=C sort | sed 's/.*/-u "&"/' >"$work/ordered"
"${ld[@]}" -r "@$work/ordered" -o "$work/all.o" "$work/named.o"
"${objcopy[@]}" --wildcard --keep-global-symbol='uflow_*' "$work/all.o" "$work/uflow.o"
rm -f "$out/libuflow.a"
"${ar[@]}" rcs "$out/libuflow.a" "$work/uflow.o"
