#!/usr/bin/env bash
# Tests a real server with third-party clients: tritonclient, perf_analyzer, grpcurl, ghz, grpc-health-probe, curl.
#
#   tools/check_server.sh [BINARY]        default target/debug/uflow
#
# Installs into target/ only; the package managers also use their own caches.
set -euo pipefail
cd "$(dirname "$0")/.."
uflow=$(realpath "${1:-target/debug/uflow}")

grpcurl=v1.9.3
ghz=v0.120.0
health_probe=v0.4.62

work=$PWD/target/clients
models=$work/models
grpc=127.0.0.1:18001
http=127.0.0.1:18002
bin=$work/go-$grpcurl-$ghz-$health_probe
if [ ! -e "$bin/complete" ]; then
  GOBIN=$bin go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl"
  GOBIN=$bin go install "github.com/bojand/ghz/cmd/ghz@$ghz"
  GOBIN=$bin go install "github.com/grpc-ecosystem/grpc-health-probe@$health_probe"
  touch "$bin/complete"
fi

if [ ! -e "$models/cloth/1/uflow.json" ]; then
  "$uflow" demo --data-only --out "$work/demo" --products woven-cloth --train 60
  mkdir -p "$models/cloth"
  "$uflow" fit --good "$work/demo/data/woven_cloth/train/good" --out "$models/cloth/1" --name cloth \
    --backbone assets/photonet.onnx --epochs 12 --json >/dev/null
fi
picture=$(find "$work/demo/data/woven_cloth/test" -name '*.png' | LC_ALL=C sort | tail -n 1)

"$uflow" serve --models "$models" --grpc $grpc --http $http --log warn --model-control explicit --allow-shared-memory true &
server=$!
trap 'kill $server 2>/dev/null || true' EXIT
for _ in $(seq 200); do
  curl -fsS "http://$http/healthz" >/dev/null 2>&1 && break
  kill -0 $server || exit 1
  sleep 0.1
done
curl -fsS -X POST "http://$http/v2/repository/models/cloth/load"
curl -fsS "http://$http/readyz"

echo "grpc-health-probe"
"$bin/grpc-health-probe" -addr=$grpc
"$bin/grpc-health-probe" -addr=$grpc -service=cloth

echo "grpcurl, by reflection"
services=$("$bin/grpcurl" -plaintext $grpc list)
for service in uflow.v1.DetectionService uflow.v1.ModelService inference.GRPCInferenceService grpc.health.v1.Health; do
  grep -qx "$service" <<<"$services" || { echo "reflection does not list $service" >&2; exit 1; }
done
"$bin/grpcurl" -plaintext $grpc uflow.v1.ModelService/ListModels
printf '{"model": "cloth", "encoded": "%s"}' "$(base64 -w0 "$picture")" >"$work/request.json"
"$bin/grpcurl" -plaintext -d @ $grpc uflow.v1.DetectionService/Detect <"$work/request.json" >"$work/grpcurl.json"

echo "curl, the command and grpcurl say the same"
curl -fsS --data-binary "@$picture" "http://$http/v1/models/cloth/detect" >"$work/curl.json"
"$uflow" detect --model "$models/cloth/1" --json "$picture" >"$work/command.json"
"$uflow" client --server "http://$grpc" --model cloth --json "$picture" >"$work/client.jsonl"
head -n 1 "$work/client.jsonl" >"$work/client.json"

echo "curl, the Open Inference Protocol"
infer=http://$http/v2/models/cloth/infer
curl -fsS -H 'Inference-Header-Content-Length: 0' --data-binary "@$picture" "$infer" >"$work/oip_file.json"
printf '{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"content_type": "base64"}, "data": ["%s"]}]}' \
  "$(base64 -w0 "$picture")" >"$work/oip_request.json"
curl -fsS --data-binary "@$work/oip_request.json" "$infer" >"$work/oip_base64.json"
gzip -c "$work/oip_request.json" | curl -fsS -H 'Content-Encoding: gzip' --compressed --data-binary @- "$infer" >"$work/oip_gzip.json"

echo "curl, several images and a picture"
curl -fsS -F "image=@$picture" -F "again=@$picture;filename=again.png" "http://$http/v1/models/cloth/detect" >"$work/several.json"
curl -fsS -H 'Accept: image/png' --data-binary "@$picture" "http://$http/v1/models/cloth/detect" >"$work/outlined.png"
curl -fsS "http://$http/v1/models" >"$work/models.json"
python3 - "$work" <<'PYTHON'
import json, struct, sys

def read(name):
    return json.load(open(f"{sys.argv[1]}/{name}.json"))

command, curl, client, grpcurl = read("command"), read("curl"), read("client"), read("grpcurl")["detection"]
f32 = lambda number: struct.pack("<f", float(number))
assert f32(command["score"]) == f32(curl["score"]) == f32(client["score"]) == f32(grpcurl["score"])
assert f32(command["log10_nfa_min"]) == f32(curl["log10_nfa_min"]) == f32(grpcurl["log10NfaMin"])
assert command["anomalous"] == curl["anomalous"] == grpcurl.get("anomalous", False)
assert command["regions"] == curl["regions"] and len(command["regions"]) == len(grpcurl.get("regions", []))
for name in ["oip_file", "oip_base64", "oip_gzip"]:
    outputs = {output["name"]: output["data"][0] for output in read(name)["outputs"]}
    assert f32(outputs["score"]) == f32(command["score"]) and json.loads(outputs["regions"]) == command["regions"], name
several = read("several")["images"]
assert len(several) == 2 and several[1]["name"] == "again.png"
assert all(image["detection"]["anomalous"] == command["anomalous"] for image in several)
assert open(f"{sys.argv[1]}/outlined.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
assert [model["name"] for model in read("models")["models"]] == ["cloth"]
print(f"score {command['score']}, log10 NFA {command['log10_nfa_min']}, {len(command['regions'])} regions")
PYTHON

echo "ghz"
"$bin/ghz" --insecure --call uflow.v1.DetectionService.Detect -n 200 -c 4 \
  --data-file "$work/request.json" $grpc >"$work/ghz.txt"
cat "$work/ghz.txt"
grep -q '\[OK\] *200 responses' "$work/ghz.txt"

tools/check_clients.sh $grpc $http cloth
python=$work/tritonclient/bin/python
"$python" tests/clients/same.py $grpc cloth "$picture" "$work/command.json"

curl -fsS "http://$http/metrics" | grep -E '^uflow_(requests_total|in_flight_frames )'
kill -TERM $server
wait $server
echo "the server ended with 0"
