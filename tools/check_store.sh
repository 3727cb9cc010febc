#!/usr/bin/env bash
# Tests `uflow serve --models` on servers that speak the protocols of S3 (moto) and Azure Blob Storage (Azurite): start, a new version,
# an upload that is torn, a restart without the store. `cargo test --test serve store::` tests S3 in more detail.
#
#   tools/check_store.sh [BINARY]        default target/debug/uflow
#
# Installs into target/store only. If a tool is missing, its part is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
. tools/venv.sh
uflow=$(realpath "${1:-target/debug/uflow}")

moto=5.2.5
boto3=1.44.8
blob=12.31.1
azurite=3.35.0

work=$PWD/target/store
mkdir -p "$work"
export UFLOW_ONNXRUNTIME=${UFLOW_ONNXRUNTIME:-$PWD/.onnxruntime/lib}
http=127.0.0.1:18102
store_port=18103
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' EXIT

venv=$work/venv
venv "$venv" "moto[server]==$moto" "boto3==$boto3" "azure-storage-blob==$blob"

if [ ! -e "$work/models/cloth/1/uflow.json" ]; then
  "$uflow" demo --data-only --out "$work/demo" --products woven-cloth --train 60
  for version in 1 2; do
    "$uflow" fit --good "$work/demo/data/woven_cloth/train/good" --out "$work/models/cloth/$version" --name cloth \
      --backbone assets/photonet.onnx --epochs "$version" --input-size 96 --json >/dev/null
  done
fi
picture=$(find "$work/demo/data/woven_cloth/test" -name '*.png' | LC_ALL=C sort | tail -n 1)

# until_true WHAT COMMAND…: waits for a minute.
until_true() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  echo "never: $what" >&2
  tail -n 20 "$work/uflow.log" >&2
  exit 1
}

serve() {
  "$uflow" serve --models "$1" --grpc 127.0.0.1:0 --http $http --poll-seconds 0.5 >"$work/uflow.log" 2>&1 &
  pids[0]=$!
  until_true "the server is ready" curl -fsS "http://$http/readyz"
}

stop() {
  kill "$1"
  wait "$1" || true
}

serves() { curl -fsS --data-binary "@$picture" "http://$http/v1/models/cloth/detect" | grep "\"version\": *$1[,}]" >/dev/null; }
says() { grep -q "$1" "$work/uflow.log"; }

# check NAME ADDRESS START PUT: START runs the store and sets pids[1]; PUT copies a folder of versions into it.
check() {
  local name=$1 address=$2 start=$3 put=$4 torn=$work/torn
  echo "$name"
  export UFLOW_CACHE=$work/cache-$name
  rm -rf "$UFLOW_CACHE" "$torn" "$work/data-$name"
  "$start"
  "$put" "$work/models/cloth/1" 1
  "$uflow" serve --models "$address" --check >/dev/null
  serve "$address"
  serves 1
  # The manifest of version 2 comes with the flow of version 1.
  cp -r "$work/models/cloth/2" "$torn"
  cp "$work/models/cloth/1/flow.onnx" "$torn/flow.onnx"
  "$put" "$torn" 2
  until_true "the torn upload is noticed" says "flow.onnx: was changed or is damaged"
  serves 1
  "$put" "$work/models/cloth/2" 2
  until_true "version 2 is served" serves 2
  stop "${pids[1]}"
  until_true "the store is missed" says "the object store of the models cannot be read"
  serves 2
  stop "${pids[0]}"
  serve "$address"
  says "starting with the models that were copied before"
  serves 2
  stop "${pids[0]}"
}

start_moto() {
  export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_REGION=eu-central-1 AWS_ENDPOINT_URL=http://127.0.0.1:$store_port
  "$venv/bin/moto_server" -H 127.0.0.1 -p $store_port >"$work/moto.log" 2>&1 &
  pids[1]=$!
  until_true "moto listens" curl -sS "$AWS_ENDPOINT_URL"
}

put_s3() {
  "$venv/bin/python" - "$1" "line3/models/cloth/$2" <<'PYTHON'
import os, pathlib, sys, boto3

store = boto3.client("s3", region_name=os.environ["AWS_REGION"])
if not store.list_buckets()["Buckets"]:
    store.create_bucket(Bucket="plant", CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_REGION"]})
folder = pathlib.Path(sys.argv[1])
for file in sorted(path for path in folder.rglob("*") if path.is_file()):
    store.upload_file(str(file), "plant", f"{sys.argv[2]}/{file.relative_to(folder)}")
PYTHON
}

# The account that Azurite documents.
azure_account=devstoreaccount1
azure_key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

start_azurite() {
  export AZURE_STORAGE_ACCOUNT_NAME=$azure_account AZURE_STORAGE_ACCOUNT_KEY=$azure_key
  export AZURE_ENDPOINT=http://127.0.0.1:$store_port/$azure_account
  "$work/azurite-$azurite/node_modules/.bin/azurite-blob" --silent --skipApiVersionCheck --location "$work/data-azure" --blobHost 127.0.0.1 \
    --blobPort $store_port >"$work/azurite.log" 2>&1 &
  pids[1]=$!
  until_true "Azurite listens" curl -sS "$AZURE_ENDPOINT"
}

put_azure() {
  "$venv/bin/python" - "$1" "line3/models/cloth/$2" <<'PYTHON'
import os, pathlib, sys
from azure.storage.blob import ContainerClient

store = ContainerClient(os.environ["AZURE_ENDPOINT"], "plant", credential=os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
if not store.exists():
    store.create_container()
folder = pathlib.Path(sys.argv[1])
for file in sorted(path for path in folder.rglob("*") if path.is_file()):
    store.upload_blob(f"{sys.argv[2]}/{file.relative_to(folder)}", file.read_bytes(), overwrite=True)
PYTHON
}

check s3 s3://plant/line3/models start_moto put_s3
if have "Azure" node npm; then
  if [ ! -d "$work/azurite-$azurite/node_modules/azurite" ]; then
    mkdir -p "$work/azurite-$azurite"
    npm install --silent --no-audit --no-fund --no-package-lock --prefix "$work/azurite-$azurite" "azurite@$azurite"
  fi
  check azure az://plant/line3/models start_azurite put_azure
fi
echo "models from object stores: ok"
