#!/usr/bin/env bash
# Generates Go and Java stubs from proto/ with the stock tools and compiles them. This shows that other languages can use the
# files. Then checks that the code which the clients in clients/ hold is that of these files. First of all, tools/check_protocol.sh
# shows that nothing in them is gone or changed.
#
# Installs into target/ only (protoc, the Go plugins, the stubs); the package managers also use their own caches.
# If the tools of a language are missing, the language is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
. tools/venv.sh

# The plugins, and the runtimes that the stubs need. The versions for Java are in examples/java/pom.xml.
grpcio_tools=1.80.0
go_protobuf=v1.36.11
go_grpc=v1.81.1
go_grpc_plugin=v1.6.2

work=$PWD/target/protos
mkdir -p "$work"
mapfile -t protos < <(cd proto && find inference uflow -name '*.proto' | sort)

# protoc, from its Python package.
protoc() {
  venv "$work/protoc" --only-binary=:all: "grpcio-tools==$grpcio_tools"
  "$work/protoc/bin/python" -m grpc_tools.protoc "$@"
}

go_stubs() {
  local bin=$work/go-bin-$go_protobuf-$go_grpc_plugin module=github.com/uflow-rs/uflow out=$work/go
  GOBIN=$bin go install "google.golang.org/protobuf/cmd/protoc-gen-go@$go_protobuf"
  GOBIN=$bin go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$go_grpc_plugin"
  rm -rf "$out"
  mkdir -p "$out"
  PATH=$bin:$PATH protoc --proto_path=proto --go_out="$out" --go_opt=module=$module \
    --go-grpc_out="$out" --go-grpc_opt=module=$module "${protos[@]}"
  cd "$out"
  go mod init "$module"
  go get "google.golang.org/protobuf@$go_protobuf" "google.golang.org/grpc@$go_grpc"
  go build ./...
  go vet ./...
  echo "Go: $(find . -name '*.go' | wc -l) files generated and compiled ($(go list ./... | tr '\n' ' '))"
}

java_stubs() {
  rm -rf target/java
  mvn --batch-mode --quiet --file examples/java/pom.xml compile
  echo "Java: $(find target/java/generated-sources -name '*.java' | wc -l) files generated and compiled"
}

# Whether a client's generated code is that of the protocol files.
fresh() {
  "clients/$1/generate.sh"
  [ -z "$(git status --porcelain -- "clients/$1/$2")" ] && return
  echo "$0: the code in clients/$1/$2 was old, and is made again: commit it" >&2
  exit 1
}

if have buf python3; then
  tools/check_protocol.sh --test
  tools/check_protocol.sh
fi
if have Go go python3; then
  (go_stubs)
  fresh go uflowpb
fi
if have Python python3; then
  fresh python python/uflow/v1
fi
if have Java javac mvn jar; then
  java_stubs
  fresh java src/generated
fi
if have Node.js node npm python3; then
  fresh node src/generated
fi
