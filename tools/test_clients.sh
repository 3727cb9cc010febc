#!/usr/bin/env bash
# Runs each client's own tests (clients/) against a real server, and those for C# with the library.
#
#   tools/test_clients.sh [BINARY]        default target/debug/uflow; the library is deps/libuflow_ffi.so beside it, or UFLOW_LIBRARY
#
# If the tools of a language are missing, the language is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
UFLOW=$(realpath "${1:-target/debug/uflow}")
UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib
# One model for all languages.
UFLOW_TEST_MODELS=$PWD/target/client-models
export UFLOW UFLOW_ONNXRUNTIME UFLOW_TEST_MODELS
mkdir -p "$UFLOW_TEST_MODELS"

if have Go go openssl; then
  (
    cd clients/go
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "clients/go: gofmt would change $unformatted" >&2; exit 1; }
    go vet ./...
    go test -count=1 ./...
  )
fi
if have C# mcs mono nunit-console cargo; then
  (
    cd clients/csharp
    # The declarations are those of the library.
    ./generate.sh
    [ -z "$(git status --porcelain -- src/NativeMethods.g.cs)" ] || { echo "clients/csharp/src/NativeMethods.g.cs was old, and is made again: commit it" >&2; exit 1; }
    UFLOW_LIBRARY=${UFLOW_LIBRARY:-$(dirname "$UFLOW")/deps/libuflow_ffi.so} ./test.sh
  )
fi
if have Java javac mvn openssl; then
  (cd clients/java && mvn --batch-mode --quiet test)
fi
if have Node.js node npm openssl; then
  (
    cd clients/node
    npm ci --silent --no-audit --no-fund
    npm run --silent lint
    npm test --silent
  )
fi
