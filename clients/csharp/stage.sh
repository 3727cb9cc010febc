#!/usr/bin/env bash
# Puts the native libraries where the NuGet package takes them from, runtimes/RID/native: ./stage.sh PREFIX [RID]
#
# PREFIX is an installation of `make install-library PREFIX=…`. Without RID it is that of this machine. Then: dotnet pack -c Release
set -euo pipefail
prefix=$(realpath "${1:?usage: stage.sh PREFIX [RID]}")
cd "$(dirname "$0")"
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) here=linux-x64 ;;
  Linux-aarch64) here=linux-arm64 ;;
  *) here= ;;
esac
rid=${2:-${here:?this machine is unknown: give the RID}}
native=runtimes/$rid/native
mkdir -p "$native"
# The package is a zip file, which has no links. libuflow looks for ONNX Runtime in its own folder first.
cp --dereference "$prefix/lib/libuflow.so" "$prefix/lib/uflow/libonnxruntime.so" "$native/"
ls -l "$native"
