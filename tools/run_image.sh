#!/usr/bin/env bash
# Runs a server in a root file system as Kubernetes would: root read-only, another user, no capabilities, a folder of models, a network of its
# own. tools/check_deploy.sh calls this in new mount and network namespaces.
#
#   unshare --mount --net tools/run_image.sh ROOT IMAGE.json MODELS PICTURE
set -euo pipefail
root=$1 image=$2 models=$3 picture=$4

setting() { python3 -c 'import json, sys; print(eval(sys.argv[2], {}, json.load(open(sys.argv[1]))))' "$image" "$1"; }
mapfile -t variables < <(setting '"\n".join(f"{k}={v}" for k, v in env.items())')
mapfile -t command < <(setting '"\n".join(entrypoint)')
IFS=: read -r uid gid <<<"$(setting user)"

ip link set lo up
mount --bind "$root" "$root"
mount --bind "$models" "$root/models"
mount -o remount,bind,ro "$root/models"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"

# inside PROGRAM …: in the root, with the image's variables, as its user.
inside() {
  exec env -i "${variables[@]}" chroot "$root" setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all -- "$@"
}

[ "$uid" != 0 ] || { echo "the image runs as root" >&2; exit 1; }
if (inside touch /tmp/x) 2>/dev/null; then
  echo "the root is not read-only" >&2
  exit 1
fi
(inside "${command[@]}" serve --check)
mapfile -t arguments < <(setting '"\n".join(cmd)')
inside "${command[@]}" "${arguments[@]}" &
server=$!
trap 'kill -KILL $server 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  curl -fsS http://127.0.0.1:8002/readyz >/dev/null 2>&1 && break
  kill -0 $server || exit 1
  sleep 0.1
done
grep -E '^(Uid|CapEff|NoNewPrivs)' "/proc/$server/status"
grep -q '^CapEff:.*0000000000000000$' "/proc/$server/status"
curl -fsS --data-binary "@$picture" http://127.0.0.1:8002/v1/models/cloth/detect | cut -c1-200
echo
for port in $(setting '" ".join(map(str, ports))'); do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") || { echo "nothing listens on port $port" >&2; exit 1; }
done
kill -TERM $server
wait $server
trap - EXIT
echo "the server in the image ended with 0"
