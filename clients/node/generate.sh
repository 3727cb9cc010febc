#!/usr/bin/env bash
# Generates src/generated/ from the protocol files of this repository. Run it after a change of proto/uflow/v1.
#
# protoc comes from the Python package grpcio-tools, in the version of tools/check_protos.sh. Tools are installed into build/.
set -euo pipefail
cd "$(dirname "$0")"
. ../../tools/venv.sh

grpcio_tools=1.80.0
ts_proto=2.18.0

work=$PWD/build/generate
venv=$work/protoc
plugin=$work/ts-proto-$ts_proto
venv "$venv" --only-binary=:all: "grpcio-tools==$grpcio_tools"
if [ ! -e "$plugin/complete" ]; then
  rm -rf "$plugin"
  mkdir -p "$plugin"
  npm install --silent --no-audit --no-fund --no-save --no-package-lock --prefix "$plugin" "ts-proto@$ts_proto"
  touch "$plugin/complete"
fi

# bigint holds every number of 64 bits. Messages only: src/channel.ts makes the calls.
options=forceLong=bigint,useDate=false,removeEnumPrefix=true,unrecognizedEnum=false,useOptionals=messages
options+=,outputServices=none,outputJsonMethods=false,outputPartialMethods=true,esModuleInterop=true,annotateFilesWithVersion=false
rm -rf src/generated
mkdir -p src/generated
"$venv/bin/python" -m grpc_tools.protoc --proto_path=../../proto \
  --plugin="protoc-gen-ts_proto=$plugin/node_modules/.bin/protoc-gen-ts_proto" \
  --ts_proto_out=src/generated "--ts_proto_opt=$options" uflow/v1/detection.proto uflow/v1/image.proto uflow/v1/model.proto
echo "$(find src/generated -name '*.ts' | wc -l) files in src/generated"
