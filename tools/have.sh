# shellcheck shell=bash
# have LANGUAGE TOOL …: whether the tools of a language are installed. If not, the language is left out with a message; in CI (CI=true) this is
# an error.
have() {
  local language=$1 tool missing=()
  shift
  for tool in "$@"; do command -v "$tool" >/dev/null || missing+=("$tool"); done
  [ ${#missing[@]} = 0 ] && return
  echo "$0: $language is left out, not found: ${missing[*]}" >&2
  [ "${CI:-}" != true ] || exit 1
  return 1
}
