#!/usr/bin/env bash
# Say in which settings the running replicas and their configuration file differ.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/drift.sh

Compares the settings that the process of each replica was started with, and those that one would get that is started now
from $SERVICE_ENV. The release that the replica runs reads both, so that defaults count too. Changes nothing.

Prints a line for the hash of the whole, and one for each setting that is not everywhere the same, passwords as ***:
  config: a bd0aa38b, b 5f1c93d2, file 5f1c93d2
  POOL_SIZE: a 10, b 4, file 4
or
  no drift: <n> replicas and the file have config <hash>
Only Linux tells with which environment a process was started (/proc/<pid>/environ).
Exit status: 0 no drift, 1 drift, or a replica that could not be asked, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
need_variables SERVICE_ENV
[[ -r $SERVICE_ENV ]] || say_and_exit 2 "$SERVICE_ENV cannot be read"
[[ -r /proc/self/environ ]] ||
  say_and_exit 2 "there is no /proc here; compare \"config\" of every replica's /version, and restart those that differ from the file"

# What `ia-service config` prints as NAME<tab>value, without what is each replica's own, as the hash is made.
flat() {
  awk '
    function put() { if (line) { at = index(line, "\": "); print substr(line, 1, at - 1) "\t" substr(line, at + 3) }; line = "" }
    /^  "config"/ { gsub(/[ ",]|config|:/, ""); print "config\t" $0; next }
    /^    "/ { put(); line = $0; sub(/^    "/, "", line); sub(/,$/, "", line); next }
    /^  }/ { put() }
    line { text = $0; sub(/^ +/, "", text); sub(/,$/, ", ", text); line = line text }
  ' | grep -Ev '^(SERVICE_NAME|OTLP_GRPC_LISTEN)' | sed 's/, $//'
}

# started_with REPLICA: the settings of its process.
started_with() {
  local pid program="$REPLICAS_DIR/$1/current/bin/ia-service"
  pid="$(supervisorctl pid "service-$1")"
  [[ $pid =~ ^[1-9][0-9]*$ ]] || say_and_exit 1 "service-$1 does not run; look at that first: supervisorctl status service-$1"
  # Through standard input: on a command line everybody could read the passwords.
  # shellcheck disable=SC2016 # expanded by the shell that reads the environment
  env -i bash -c 'while IFS= read -r -d "" pair; do export "$pair" 2>/dev/null; done; exec "$0" config' "$program" \
    <"/proc/$pid/environ" | flat
}

would_get() {
  # shellcheck disable=SC2016 # expanded by the shell that reads the file
  env -i PATH="$PATH" SERVICE_NAME=file \
    sh -c 'set -a && . "$1" && exec "$2" config' sh "$SERVICE_ENV" "$REPLICAS_DIR/$1/current/bin/ia-service" | flat
}

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
names=()
while read -r replica; do
  started_with "$replica" >"$work/$replica"
  names+=("$replica")
done < <(replicas)
would_get "${names[0]}" >"$work/file" || say_and_exit 1 "the service does not accept $SERVICE_ENV; see above"

cd "$work"
if awk -F '\t' '
  !($1 in first) { first[$1] = $2; order[++n] = $1 }
  { said[$1] = said[$1] (said[$1] ? ", " : "") FILENAME " " $2 }
  $2 != first[$1] { differs[$1] = 1 }
  END {
    for (i = 1; i <= n; i++) if (order[i] in differs) { print order[i] ": " said[order[i]]; lines++ }
    if (lines == 1) print "only a password differs, which is not shown"
    exit lines > 0
  }' "${names[@]}" file; then
  echo "no drift: ${#names[@]} replicas and the file have config $(sed -n 's/^config\t//p' file)"
else
  exit 1
fi
