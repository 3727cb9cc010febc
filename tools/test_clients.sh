#!/usr/bin/env bash
# Runs each client's own tests (clients/) against a real server.
#
#   tools/test_clients.sh [BINARY]        default target/debug/uflow
#
# If the tools of a language are missing, the language is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
UFLOW=$(realpath "${1:-target/debug/uflow}")
UFLOW_ONNXRUNTIME=$PWD/.onnxruntime/lib
# One model for all languages.
UFLOW_TEST_MODELS=$PWD/target/client-models
export UFLOW UFLOW_ONNXRUNTIME UFLOW_TEST_MODELS
mkdir -p "$UFLOW_TEST_MODELS"

# Whether the tools of a language are installed.
have() {
  local language=$1 tool missing=()
  shift
  for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} = 0 ] && return
  echo "$0: $language is left out, not found: ${missing[*]}" >&2
  [ "${CI:-}" != true ] || exit 1
  return 1
}

if have Go go openssl; then
  (cd clients/go && test -z "$(gofmt -l .)" && go vet ./... && go test -count=1 ./...)
fi
if have Java javac mvn openssl; then
  (cd clients/java && mvn --batch-mode --quiet test)
fi
