#!/usr/bin/env bash
# Runs each client's own tests (clients/) against a real server, and those for C# with the library.
#
#   tools/test_clients.sh [BINARY]        default target/debug/uflow; the library is deps/libuflow_ffi.so beside it, or UFLOW_LIBRARY
#
# If the tools of a language are missing, the language is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
. tools/venv.sh
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

# The crates of a build, with their features.
features() { cargo tree --locked --prefix none --format '{p} {f}' "$@" | sed 's/ (\*)$//' | grep -v '^uflow-python ' | sort -u; }

# The wheel is built from the crates that `make test` has built; only the package's own crate and pyo3 are new.
python_package() {
  local others
  others=$(comm -13 <(features --workspace --edges normal,build,dev) <(features --package uflow-python --features workspace --edges normal,build))
  [ -z "$others" ] || { printf 'clients/python: with its feature "workspace", these crates have other features than in make test, and are built twice:\n%s\n' "$others" >&2; exit 1; }
  local venv=$PWD/target/python-client build=target/python-client-build
  venv "$build" maturin==1.16.0 ruff==0.17.6 mypy==2.4.1
  (cd clients/python && "../../$build/bin/ruff" check . && "../../$build/bin/ruff" format --check .)
  rm -rf "$venv" target/python-client-wheels
  "$build/bin/maturin" build --quiet --locked --profile dev --features workspace --manifest-path clients/python/Cargo.toml \
    --out target/python-client-wheels
  python3 -m venv "$venv"
  local wheels=(target/python-client-wheels/uflow-*.whl)
  "$venv/bin/pip" install --quiet --disable-pip-version-check "${wheels[0]}[grpc]" pytest pillow types-protobuf
  (cd clients/python && "../../$build/bin/mypy" --python-executable "$venv/bin/python")
  (cd clients/python && "$venv/bin/python" -m pytest -q)
}
if have Python python3 cargo openssl; then
  python_package
fi
