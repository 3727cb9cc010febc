# shellcheck shell=bash
# venv FOLDER ARGUMENT…: a virtual environment with what `pip install ARGUMENT…` installs. It is made again when the arguments change, or the
# content of a file that they name.
venv() {
  local folder=$1 argument made
  shift
  made=$(for argument; do
    echo "$argument"
    if [ -f "$argument" ]; then sha256sum <"$argument"; fi
  done)
  [ "$(cat "$folder/made-of" 2>/dev/null)" != "$made" ] || return 0
  rm -rf "$folder" && python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" &&
    echo "$made" >"$folder/made-of"
}

# The arguments for a file of packages with their versions and hashes.
# shellcheck disable=SC2034 # used by what sources this file
pinned=(--no-deps --only-binary=:all: --require-hashes --requirement)
