#!/usr/bin/env bash
# Checks what tools/dist/build.sh has made, without this machine's own programs and libraries.
#
#   tools/dist/check.sh                     files (all archives in dist/), then clean and wheel
#   tools/dist/check.sh files               what is in them: versions of glibc, libraries that are needed, paths, licences, list of parts
#   tools/dist/check.sh clean               x86_64: the archive in a clean Debian runs the demo; the .deb is installed and removed
#   tools/dist/check.sh cross               aarch64: the archive in a clean Debian for this processor, emulated, verifies packages of the demo
#   tools/dist/check.sh wheel               x86_64: pip installs the wheel in a clean Debian and runs the demo in Python
#   tools/dist/check.sh again               builds x86_64 once more in another folder: the files must be the same (slow)
#
# Needs root (chroot), debootstrap, iproute2, lintian, and for aarch64 binfmt_misc with qemu (Debian: qemu-user-static binfmt-support).
set -euo pipefail
cd "$(dirname "$0")/../.."
checks=("$@")
[ ${#checks[@]} -gt 0 ] || checks=(files clean wheel)
out=${DIST_OUT:-$PWD/dist}
work=${DIST_WORK:-$PWD/target/dist}/check
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# The oldest Debian that the archives still have (glibc 2.31), and one with a Python for which there is an ONNX Runtime.
old_suite=bullseye python_suite=bookworm
mkdir -p "$work"

die() { echo "$0: $*" >&2; exit 1; }
say() { printf '== %s\n' "$*"; }

archive() { echo "$out/uflow-$version-$1.tar.gz"; }

# unpack PLATFORM FOLDER
unpack() {
  [ -e "$(archive "$1")" ] || die "$(archive "$1") is missing: tools/dist/build.sh $1"
  rm -rf "$2"
  mkdir -p "$2"
  tar --extract --file "$(archive "$1")" --directory "$2" --strip-components 1
}

# A fresh copy of a clean Debian: clean_root SUITE PROCESSOR PACKAGES NAME
clean_root() {
  local base=$work/debian-$1-$2
  if [ ! -e "$base/complete" ]; then
    rm -rf "$base"
    debootstrap --arch="$2" --variant=minbase --include="$3" "$1" "$base" >"$work/debootstrap-$1-$2.log" ||
      die "debootstrap failed, see $work/debootstrap-$1-$2.log (for another processor: qemu-user-static binfmt-support)"
    touch "$base/complete"
  fi
  root=$work/root-$4
  rm -rf "$root"
  cp -a "$base" "$root"
}

# inside PROGRAM …: in the root, without this machine's variables and processes, and without its network if $offline is set. The demo's server
# needs the loopback.
inside() {
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 unshare --mount --pid --fork ${offline:+--net} \
    sh -c "${offline:+ip link set lo up && }mount -t proc proc '$root/proc' && exec chroot '$root' \"\$@\"" sh "$@"
}

# The programs and libraries of an archive: no newer glibc, no other library, no path of the machine that built them.
check_binaries() {
  local platform=$1 folder=$2 file found
  while read -r file; do
    found=$(objdump -T "$file" | grep -o 'GLIBC_[0-9.]*\|GLIBCXX_[0-9.]*' | sort -uV | awk -F_ '
      function newer(a, b,  x, y, i) { split(a, x, "."); split(b, y, "."); for (i = 1; i < 4; i++) if (x[i] + 0 != y[i] + 0) return x[i] + 0 > y[i] + 0; return 0 }
      $1 == "GLIBC" && newer($2, "2.28") || $1 == "GLIBCXX" && newer($2, "3.4.25")')
    [ -z "$found" ] || die "$platform: $file needs $found"
    found=$(objdump -p "$file" | awk '$1 == "NEEDED" { print $2 }' |
      grep -Ev '^(lib(c|m|dl|rt|util)\.so\.[0-9]+|libpthread\.so\.0|libgcc_s\.so\.1|libstdc\+\+\.so\.6|ld-linux-.*)$' || true)
    [ -z "$found" ] || die "$platform: $file needs $found"
    case "$file" in *onnxruntime*) continue ;; esac
    for found in "$PWD" "${CARGO_HOME:-$HOME/.cargo}"; do
      if grep -qF "$found" "$file"; then die "$platform: $file holds the path $found"; fi
    done
    [ -z "$(objdump -h "$file" | grep -o ' \.debug_info' || true)" ] || die "$platform: $file is not stripped"
    echo "   $platform ${file#"$folder"/}: $(stat -c %s "$file") bytes, glibc $(objdump -T "$file" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)"
  done < <(find "$folder/bin" "$folder/lib" -type f \( -name 'uflow' -o -name '*.so*' \))
}

check_files() {
  local file platform folder
  (cd "$out" && sha256sum --check --quiet SHA256SUMS)
  for file in "$out"/uflow-"$version"-*-linux.tar.gz; do
    platform=${file#"$out/uflow-$version-"} platform=${platform%.tar.gz} folder=$work/files-$platform
    unpack "$platform" "$folder"
    check_binaries "$platform" "$folder"
    python3 tools/dist/check_papers.py "$folder"
  done
  for file in "$out"/uflow-"$version"-*.whl; do
    unzip -l "$file" | grep 'dist-info/licenses/LICENSES-crates.md' >/dev/null || die "${file##*/} has no licences of its crates"
    rm -rf "$work/wheel"
    unzip -q "$file" -d "$work/wheel"
    if grep -rqF -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$work/wheel"; then die "${file##*/} holds paths of this machine"; fi
  done
  if command -v lintian >/dev/null; then
    # The library, its headers and the command are one package, and ONNX Runtime is a library that comes along.
    lintian --fail-on error --suppress-tags embedded-library,missing-dependency-on-libc,unstripped-static-library "$out"/uflow_"$version"_*.deb
  fi
}

# Each package of the demo, in the root.
verify_packages() {
  local package
  for package in "$work"/demo/models/*/*/uflow.json; do
    package=${package#"$work/demo/models/"}
    inside /opt/uflow/bin/uflow verify "/root/demo/models/${package%/uflow.json}"
  done
}

check_clean() {
  local offline=1
  clean_root $old_suite amd64 libstdc++6,libgcc-s1 clean
  unpack x86_64-linux "$root/opt/uflow"
  inside /opt/uflow/bin/uflow --version
  inside /opt/uflow/bin/uflow demo --out /root/demo
  rm -rf "$work/demo"
  cp -a "$root/root/demo" "$work/demo"
  verify_packages
  find "$root" -xdev | sed "s|^$root||" | grep -v '^/proc' | sort >"$work/before.txt"
  cp "$out/uflow_${version}_amd64.deb" "$root/root/uflow.deb"
  inside dpkg --install /root/uflow.deb
  inside uflow --version
  inside uflow backbone list
  inside sh -c 'ldconfig -p | grep libuflow.so'
  inside dpkg --purge uflow
  rm "$root/root/uflow.deb"
  find "$root" -xdev | sed "s|^$root||" | grep -Ev '^/(proc|var|etc/(group|passwd|gshadow|shadow|subuid|subgid|ld.so.cache))' | sort |
    comm -13 "$work/before.txt" - >"$work/left.txt"
  [ ! -s "$work/left.txt" ] || die "the removed .deb has left: $(cat "$work/left.txt")"
}

check_cross() {
  local offline=1
  [ -d "$work/demo/models" ] || die "run the check clean first: its packages are verified"
  clean_root $old_suite arm64 libstdc++6,libgcc-s1 cross
  unpack aarch64-linux "$root/opt/uflow"
  cp -a "$work/demo" "$root/root/demo"
  inside uname -m
  inside /opt/uflow/bin/uflow --version
  verify_packages
}

check_wheel() {
  [ -d "$work/demo/data" ] || die "run the check clean first: it makes the pictures"
  clean_root $python_suite amd64 python3,python3-venv,ca-certificates wheel
  # How pip reaches its packages, if this machine has a setting for it.
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  [ ! -e /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/pip.conf"
  if [ -d /usr/local/share/ca-certificates ]; then cp -a /usr/local/share/ca-certificates "$root/usr/local/share/" && inside update-ca-certificates; fi
  cp "$out"/uflow-"$version"-*manylinux*x86_64.whl "$root/root/"
  cp -a "$work/demo/data" "$root/root/data"
  cp tools/dist/wheel_demo.py "$root/root/"
  inside python3 -m venv /root/venv
  inside sh -c '/root/venv/bin/pip install --quiet --disable-pip-version-check /root/uflow-*.whl'
  inside /root/venv/bin/python /root/wheel_demo.py /root/data /root/packages
}

check_again() {
  rm -rf "$work/again"
  git clone --quiet . "$work/again/elsewhere"
  (cd "$work/again/elsewhere" && DIST_WORK="$work/again/work" DIST_OUT="$work/again/dist" tools/dist/build.sh x86_64-linux)
  local file
  for file in "$work"/again/dist/uflow*; do
    cmp "$file" "$out/${file##*/}" || die "${file##*/} is another file"
  done
  echo "$(find "$work/again/dist" -name 'uflow*' | wc -l) files are the same"
}

for check in "${checks[@]}"; do
  say "$check"
  "check_$check"
done
say "dist: ${checks[*]}: all well"
