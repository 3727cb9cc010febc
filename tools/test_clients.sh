#!/usr/bin/env bash
# Runs each client's own tests (clients/) against a real server.
#
#   tools/test_clients.sh [BINARY]        default target/debug/uflow
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
