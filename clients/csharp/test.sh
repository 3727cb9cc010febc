#!/usr/bin/env bash
# Compiles the library and its tests with Mono, and runs the tests: ./test.sh [NUNIT-OPTION…], e.g. -run=UFlow.Tests.StreamTest
#
#   UFLOW_LIBRARY        libuflow (default target/debug/deps/libuflow_ffi.so, which the tests of ffi/ make)
#   UFLOW                the program (default target/debug/uflow)
#   UFLOW_ONNXRUNTIME    the folder of ONNX Runtime (default .onnxruntime/lib)
#   UFLOW_TEST_MODELS    where a model is made once that the tests of all clients share (default build/models)
#
# Needs mcs, mono and nunit-console (Debian: mono-mcs, mono-runtime, nunit-console, libnunit-cil-dev).
set -euo pipefail
cd "$(dirname "$0")"
export UFLOW_REPOSITORY=$PWD/../..
target=${CARGO_TARGET_DIR:-$UFLOW_REPOSITORY/target}/debug
export UFLOW=${UFLOW:-$target/uflow}
export UFLOW_ONNXRUNTIME=${UFLOW_ONNXRUNTIME:-$UFLOW_REPOSITORY/.onnxruntime/lib}
library=$(realpath "${UFLOW_LIBRARY:-$target/deps/libuflow_ffi.so}")
[ -e "$library" ] || { echo "$0: $library was not found: set UFLOW_LIBRARY" >&2; exit 1; }
nunit=$(find /usr/lib/cli /usr/lib/mono -name nunit.framework.dll | sort | head -n 1)
[ -e "$nunit" ] || { echo "$0: nunit.framework.dll was not found (Debian: libnunit-cil-dev)" >&2; exit 1; }

build=$PWD/build/tests
rm -rf "$build"
mkdir -p "$build"
ln -s "$library" "$build/libuflow.so"
cp "$nunit" "$build"
flags=(-langversion:7 -warn:4 -warnaserror -debug)
mcs "${flags[@]}" -unsafe -target:library "-doc:$build/UFlow.xml" "-out:$build/UFlow.dll" src/*.cs
mcs "${flags[@]}" -unsafe -target:library "-r:$build/UFlow.dll" "-r:$build/nunit.framework.dll" "-out:$build/UFlow.Tests.dll" tests/*.cs tests/support/*.cs
mcs "${flags[@]}" "-r:$build/UFlow.dll" "-out:$build/child.exe" tests/child/*.cs
export LD_LIBRARY_PATH=$build${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# One process, one domain, one thread: callbacks come from threads of the library. All tests take a minute or two; what takes 15 hangs.
timeout --foreground --kill-after=30 15m nunit-console -nologo -noshadow -nothread -domain=None -process=Single "-work=$build" "$@" "$build/UFlow.Tests.dll"
