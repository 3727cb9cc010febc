#!/usr/bin/env bash
# Builds what others install, into dist/: for each platform an archive with the command, the library, its headers, ONNX Runtime, the default
# backbone, licences and the list of parts; for Linux also a .deb and a Python wheel. SHA256SUMS has the hashes of all.
#
#   tools/dist/build.sh                        x86_64-linux
#   tools/dist/build.sh x86_64-linux …         some: x86_64-linux aarch64-linux x86_64-windows; the one of this machine first
#
# The programs need glibc 2.28 or newer (Debian 10, Ubuntu 20.04, RHEL 8). The same commit gives the same bytes on any machine with the same
# compiler: tools/dist/check.sh again compares. Needs Python 3 with pip, binutils, for other processors those of the processor (Debian:
# binutils-aarch64-linux-gnu, binutils-mingw-w64-x86-64), and dpkg-deb for the .deb. Installs its tools into target/dist only.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/venv.sh
platforms=("$@")
[ ${#platforms[@]} -gt 0 ] || platforms=(x86_64-linux)
glibc=2.28
cargo_about=0.9.3
cargo_cyclonedx=0.5.9

die() { echo "$0: $*" >&2; exit 1; }
say() { printf '== %s\n' "$*"; }

[ -z "$(git status --porcelain --untracked-files=no)" ] || [ -n "${DIST_DIRTY:-}" ] ||
  die "there are changes that are not committed: commit them, or set DIST_DIRTY=1 for a trial"
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
backbone=efficientnet-lite0-pyramid
work=${DIST_WORK:-$PWD/target/dist}
out=${DIST_OUT:-$PWD/dist}
mkdir -p "$work/tools" "$out"

# The same for the same commit: times, paths of this machine, order, numbers of users.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$work/build LC_ALL=C TZ=UTC
cargo_home=${CARGO_HOME:-$HOME/.cargo}
# Cargo splits RUSTFLAGS at spaces.
case "$PWD $work $cargo_home" in
  *" "*" "*" "*) die "a folder of the repository, of DIST_WORK or of Cargo has a space in its name; use others" ;;
esac
export RUSTFLAGS="--remap-path-prefix=$PWD=/uflow --remap-path-prefix=$work/build=/build --remap-path-prefix=$cargo_home=/cargo"
export CFLAGS="-ffile-prefix-map=$cargo_home=/cargo -g0"
umask 022
unset UFLOW_ONNXRUNTIME UFLOW_BACKBONES

install_tools() {
  venv "$work/tools/venv" "${pinned[@]}" tools/dist/requirements.txt
  PATH=$work/tools/venv/bin:$work/tools/bin:$PATH
  # These run here and are no part of what is built. The search for licences takes minutes without optimisation.
  RUSTFLAGS='' CFLAGS='' cargo install --quiet --locked --root "$work/tools" --target-dir "$work/tools/build" \
    --features cli "cargo-about@$cargo_about"
  RUSTFLAGS='' CFLAGS='' cargo install --quiet --locked --profile dev --root "$work/tools" --target-dir "$work/tools/build" \
    "cargo-cyclonedx@$cargo_cyclonedx"
}

# Sets what depends on the platform.
use_platform() {
  platform=$1 suffix='' debian=''
  case "$platform" in
    x86_64-linux) target=x86_64-unknown-linux-gnu debian=amd64 ;;
    aarch64-linux) target=aarch64-unknown-linux-gnu debian=arm64 ;;
    x86_64-windows) target=x86_64-pc-windows-gnu suffix=.exe ;;
    *) die "the platform $platform is not known: x86_64-linux, aarch64-linux, x86_64-windows" ;;
  esac
  case "$target" in
    *-linux-gnu) zig_target=$target.$glibc CROSS_COMPILE=${target/-unknown/}- ;;
    *) zig_target=$target CROSS_COMPILE=x86_64-w64-mingw32- ;;
  esac
  # Debian's binutils for the machine's own processor have names without a prefix.
  command -v "${CROSS_COMPILE}objcopy" >/dev/null || [ "${target%%-*}" != "$(uname -m)" ] || [ -n "$suffix" ] || CROSS_COMPILE=
  command -v "${CROSS_COMPILE}objcopy" >/dev/null || die "${CROSS_COMPILE}objcopy is needed for $platform (Debian: binutils-*)"
  name=uflow-$version-$platform
  stage=$work/$name
  built=$work/build/$target/dist
}

build() {
  rustup target add "$target" >/dev/null 2>&1 || true
  cargo zigbuild --profile dist --locked --target "$zig_target" --package uflow
  # Alone: together, the library would hold the server too.
  UFLOW_LIBRARY_FOLDER=/usr/lib/uflow UFLOW_DATA_FOLDER=/usr/share/uflow cargo zigbuild --profile dist --locked --target "$zig_target" --package uflow-ffi
}

# The backbone, made by the program that this machine can run.
make_backbone() {
  local converter
  converter=$work/build/$(uname -m)-unknown-linux-gnu/dist/uflow
  [ -x "$converter" ] || die "the backbone is made with the program for this machine: build $(uname -m)-linux first"
  tools/fetch_onnxruntime.sh
  UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib tools/convert_backbone.sh "$converter" "$backbone"
}

# The licences of the crates of all platforms. Takes minutes.
collect_licences() {
  cargo about --color never generate --locked --fail --workspace --config tools/dist/about.toml tools/dist/about.hbs \
    --output-file "$work/LICENSES-crates.md" 2>"$work/about.log" || { cat "$work/about.log" >&2; exit 1; }
}

# Licences, and the list of parts (CycloneDX 1.5).
write_papers() {
  local papers=$1 runtime=$2 file
  install -d "$papers"
  install -m 644 LICENSE-MIT LICENSE-APACHE CHANGELOG.md "$papers/"
  install -m 644 assets/NOTICE.md "$papers/NOTICE-weights.md"
  for file in LICENSE ThirdPartyNotices.txt; do install -m 644 "$runtime/$file" "$papers/onnxruntime-$file"; done
  install -m 644 "$work/LICENSES-crates.md" "$papers/"
  cargo cyclonedx --quiet --manifest-path Cargo.toml --format json --spec-version 1.5 --no-build-deps --target "$target" \
    --override-filename uflow-dist-crates
  file=$(find "$runtime" -maxdepth 1 -type f \( -name 'libonnxruntime.so.*' -o -name onnxruntime.dll \))
  cargo tree --locked --workspace --edges normal --prefix none --target "$target" |
    python3 tools/dist/sbom.py {,ffi/,clients/python/}uflow-dist-crates.json --epoch "$SOURCE_DATE_EPOCH" --onnxruntime "$file" \
    --backbone ".backbones/$backbone.onnx" >"$papers/uflow.cdx.json"
  rm {,ffi/,clients/python/}uflow-dist-crates.json
}

stage_linux() {
  local runtime=$1
  rm -rf "$work/root"
  local what
  for what in command library; do
    PREFIX=/usr BINDIR='' LIBDIR='' INCLUDEDIR='' DESTDIR=$work/root BUILT=$built ONNXRUNTIME=$runtime CC="python -m ziglang cc -target ${target/-unknown/}.$glibc -lunwind" \
      LD=${CROSS_COMPILE}ld OBJCOPY=${CROSS_COMPILE}objcopy AR=${CROSS_COMPILE}ar \
        NM=${CROSS_COMPILE}nm OBJDUMP=${CROSS_COMPILE}objdump tools/install.sh "$what" "$backbone"
  done
  rm "$work/root/usr/share/uflow/installed.txt" # for `make uninstall`
  mv "$work/root/usr" "$stage"
  install -D -m 644 -t "$stage/share/uflow/systemd" deploy/systemd/*
  local shell
  for shell in bash zsh fish; do
    case "$shell" in
      bash) set -- share/bash-completion/completions uflow ;;
      zsh) set -- share/zsh/site-functions _uflow ;;
      fish) set -- share/fish/vendor_completions.d uflow.fish ;;
    esac
    install -d "$stage/$1"
    "$work/build/$(uname -m)-unknown-linux-gnu/dist/uflow" completions "$shell" >"$stage/$1/$2"
  done
}

stage_windows() {
  local runtime=$1
  install -d "$stage/bin" "$stage/include" "$stage/lib"
  install -m 755 "$built/uflow.exe" "$stage/bin/uflow.exe"
  install -m 755 "$built/uflow_ffi.dll" "$stage/bin/uflow.dll"
  install -m 644 include/uflow.h include/uflow.hpp "$stage/include/"
  (cd "$work" && printf 'LIBRARY uflow.dll\nEXPORTS\n' >uflow.def && cut -d' ' -f1 "$OLDPWD/ffi/abi/symbols.txt" >>uflow.def &&
    "${CROSS_COMPILE}dlltool" --deterministic-libraries --input-def uflow.def --output-lib "$stage/lib/uflow.lib")
  install -m 644 "$runtime"/*.dll "$stage/bin/"
  install -D -m 644 -t "$stage/share/uflow/backbones" ".backbones/$backbone.onnx" assets/NOTICE.md LICENSE-APACHE
}

# Packs a folder so that the same content gives the same bytes.
pack() {
  find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  case "$platform" in
    *-windows) (cd "$work" && rm -f "$out/$name.zip" && find "$name" -print | sort | zip -q -X -@ "$out/$name.zip") ;;
    *) tar --create --sort=name --owner=0 --group=0 --numeric-owner --format=ustar --directory "$work" "$name" | gzip -9n >"$out/$name.tar.gz" ;;
  esac
}

# The archive's content under /usr, the service (not enabled), and its settings.
pack_debian() {
  local root=$work/deb-$platform file="$out/uflow_${version}_$debian.deb"
  command -v dpkg-deb >/dev/null || { echo "$0: dpkg-deb was not found: no .deb is made" >&2; return; }
  rm -rf "$root"
  install -d "$root/usr" "$root/DEBIAN"
  cp -a "$stage"/* "$root/usr/"
  rm -r "$root/usr/share/uflow/systemd"
  gzip -9nc CHANGELOG.md >"$root/usr/share/doc/uflow/changelog.gz"
  # Debian's rules: libraries are not executable; `dpkg-shlibdeps` finds the package of a library.
  chmod 644 "$root/usr/lib/libuflow.so.$version"
  echo "libuflow ${version%%.*} uflow (>= ${version%.*})" >"$root/DEBIAN/shlibs"
  { sed 's/^/ /; s/^ $/ ./; 1i Files: *\nCopyright: the U-Flow developers\nLicense: Expat or Apache-2.0' LICENSE-MIT; } >"$work/copyright.body"
  { printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: uflow\nSource: %s\nComment: Parts by others have the licences in this folder.\n\n' \
      "https://github.com/uflow-rs/uflow"; cat "$work/copyright.body"; } >"$root/usr/share/doc/uflow/copyright"
  install -D -m 644 deploy/systemd/uflow.service "$root/lib/systemd/system/uflow.service"
  sed -i 's|/usr/local/bin/uflow|/usr/bin/uflow|' "$root/lib/systemd/system/uflow.service"
  install -D -m 644 deploy/systemd/uflow.sysusers.conf "$root/usr/lib/sysusers.d/uflow.conf"
  install -D -m 644 deploy/systemd/uflow.toml "$root/etc/uflow/uflow.toml"
  install -m 755 -t "$root/DEBIAN" tools/dist/debian/postinst tools/dist/debian/prerm tools/dist/debian/postrm
  install -m 644 -t "$root/DEBIAN" tools/dist/debian/conffiles tools/dist/debian/triggers
  sed "s|@VERSION@|$version|; s|@ARCHITECTURE@|$debian|; s|@GLIBC@|$glibc|; s|@SIZE@|$(du -sk --apparent-size "$root" | cut -f1)|" \
    tools/dist/debian/control.in >"$root/DEBIAN/control"
  (cd "$root" && find usr lib etc -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz --build "$root" "$file" >/dev/null
}

# A wheel holds the compiled crates too, so their licences come along.
build_wheel() {
  local folder=$work/wheel-$platform unpacked
  rm -rf "$folder"
  mkdir -p "$folder"
  # maturin calls `cargo zigbuild` itself.
  maturin build --quiet --profile dist --locked --zig --target "$target" --compatibility "manylinux_${glibc/./_}" \
    --manifest-path clients/python/Cargo.toml --out "$folder"
  python -m wheel unpack --dest "$folder" "$folder"/*.whl >/dev/null
  unpacked=$folder/uflow-$version
  # maturin's list of parts names them by their folder on this machine.
  sed -i "s|path+file://$PWD|path+file:///uflow|g" "$unpacked"/uflow-"$version".dist-info/sboms/*.json
  install -D -m 644 -t "$unpacked/uflow-$version.dist-info/licenses" LICENSE-MIT LICENSE-APACHE "$stage/share/doc/uflow/LICENSES-crates.md"
  python -m wheel pack --dest-dir "$out" "$unpacked" >/dev/null
}

install_tools
collect_licences
for each in "${platforms[@]}"; do
  use_platform "$each"
  say "$name"
  build
  make_backbone
  case "$platform" in
    *-windows) tools/fetch_onnxruntime.sh cpu windows; runtime=$PWD/.onnxruntime/windows ;;
    *) tools/fetch_onnxruntime.sh cpu "${target%%-*}"; runtime=$PWD/.onnxruntime/${target%%-*} ;;
  esac
  rm -rf "$stage"
  case "$platform" in
    *-windows) stage_windows "$runtime" ;;
    *) stage_linux "$runtime" ;;
  esac
  write_papers "$stage/share/doc/uflow" "$runtime"
  pack
  [ -z "$debian" ] || { pack_debian; build_wheel; }
done
(cd "$out" && sha256sum -- uflow* >SHA256SUMS && cat SHA256SUMS)
