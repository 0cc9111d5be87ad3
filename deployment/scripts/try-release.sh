#!/usr/bin/env bash
# Try a release on a database before anybody depends on the two of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/try-release.sh RELEASE --database NAME

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on; NAME is a database on the server of
$DATABASE_URL. Starts a replica on a free port of this machine, to which the load balancer sends nobody, does with it what
clients do (list, execute, status, steps, checkpoints, metrics), and ends it. The executions stay in the database.

Prints, last:
  release <name> works on <database>: <n> executions, <n> steps, <n> checkpoints
Exit status: 0 it works, 1 it does not, 2 wrong usage or something missing.
TEXT
}

release='' database=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --database)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      database="$2"
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *)
      [[ ! $release ]] || { usage >&2 && exit 2; }
      release="$1"
      ;;
  esac
  shift
done
[[ $release && $database ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_variables RELEASES_DIR DATABASE_URL REDIS_URL
release="$(find_release "$release")"
use_database "$database"

python="$RELEASES_DIR/$release/bin/python"
port="$("$python" -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')"
log="$(mktemp)"
SERVICE_NAME=trial DRAIN_SECONDS=0 "$RELEASES_DIR/$release/bin/ia-service" serve --port "$port" >"$log" 2>&1 &
replica=$!
leave() {
  # It may have ended by itself.
  if kill "$replica" 2>/dev/null; then
    while kill -0 "$replica" 2>/dev/null; do sleep 0.1; done
  fi
  rm -f "$log"
}
trap leave EXIT

url="http://127.0.0.1:$port" deadline=$((SECONDS + HEALTHY_S)) said=''
until said="$(curl -s --max-time 5 "$url/health")" && [[ $said == *'"migrations":{"ok":true'* ]]; do
  # Pending migrations do not come by waiting.
  if [[ $said == *'; run: ia-service migrate'* ]] || ! kill -0 "$replica" 2>/dev/null || ((SECONDS >= deadline)); then
    echo "${0##*/}: $release does not come up on $database: ${said:-no answer}" >&2
    tail -n 3 "$log" | sed 's/^/  /' >&2
    exit 1
  fi
  sleep 0.1
done
if ! found="$("$python" deployment/scripts/flow.py "$url")"; then
  tail -n 3 "$log" | sed 's/^/  /' >&2
  exit 1
fi
echo "release $release works on $database: $found"
