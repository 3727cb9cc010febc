#!/usr/bin/env bash
# Generates uflowpb/ from the protocol files of this repository. Run it after a change of proto/uflow/v1.
#
# protoc comes from the Python package grpcio-tools. The versions are those of tools/check_protos.sh. Tools are installed into build/.
set -euo pipefail
cd "$(dirname "$0")"
. ../../tools/venv.sh

grpcio_tools=1.80.0
go_protobuf=v1.36.11
go_grpc_plugin=v1.6.2

work=$PWD/build/generate
bin=$work/bin-$go_protobuf-$go_grpc_plugin
venv=$work/protoc
venv "$venv" --only-binary=:all: "grpcio-tools==$grpcio_tools"
GOBIN=$bin go install "google.golang.org/protobuf/cmd/protoc-gen-go@$go_protobuf"
GOBIN=$bin go install "google.golang.org/grpc/cmd/protoc-gen-go-grpc@$go_grpc_plugin"

module=github.com/uflow-rs/uflow/clients/go
protos=(uflow/v1/detection.proto uflow/v1/image.proto uflow/v1/model.proto)
rm -rf uflowpb
PATH=$bin:$PATH "$venv/bin/python" -m grpc_tools.protoc --proto_path=../../proto \
  --go_out=. "--go_opt=module=$module" --go-grpc_out=. "--go-grpc_opt=module=$module" "${protos[@]}"
gofmt -l uflowpb
