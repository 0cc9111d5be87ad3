#!/usr/bin/env bash
# Run a replica that nobody depends on, over lines that can be made silent or nonsensical.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/staging/trial.sh FOLDER [NAME=VALUE …]

Serves until TERM or Ctrl-C: a replica of the deployed release on a free port, with a database of its own (`trial`, on the
server of $DATABASE_URL) and the stack's Redis, both over deployment/staging/faults/line.py. NAME=VALUE are settings. Neither the
load balancer nor Prometheus knows of it. FOLDER, which is made anew, has `url` as soon as the replica answers, and the
lines' states `database` and `redis`. For tests only.

Exit status: 0 ended as told, 1 it does not come up, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
folder="$1"
shift
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_variables DATABASE_URL REDIS_URL RELEASES_DIR REPLICAS_DIR
release="$RELEASES_DIR/$(cat "$REPLICAS_DIR/.deployed")"

started=()
leave() {
  local status=$? pid
  trap '' INT TERM
  for pid in ${started[@]+"${started[@]}"}; do
    if kill "$pid" 2>/dev/null; then
      while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    fi
  done
  exit "$status"
}
trap leave EXIT
trap 'exit 0' INT TERM
rm -rf "$folder"
mkdir -p "$folder"
psql -X -q -v ON_ERROR_STOP=1 "$DATABASE_URL" -c 'SET client_min_messages = warning' \
  -c 'DROP DATABASE IF EXISTS trial WITH (FORCE)' -c 'CREATE DATABASE trial TEMPLATE template0'
use_database trial
"$release/bin/ia-service" migrate >"$folder/log" 2>&1 || say_and_exit 1 "$(tail -n 1 "$folder/log")"

# over NAME URL: print the URL with the address of a new line to its server.
over() {
  local server="${2#*@}"
  server="${server%%/*}"
  "$release/bin/python" deployment/staging/faults/line.py "$server" "$folder/$1" "$folder/$1.port" &
  started+=($!)
  until [[ -f $folder/$1.port ]]; do sleep 0.05; done
  address="${2%@*}@127.0.0.1:$(cat "$folder/$1.port")${2#*"$server"}"
}
over database "$DATABASE_URL"
export DATABASE_URL="$address"
over redis "$REDIS_URL"
export REDIS_URL="$address"

port="$("$release/bin/python" -c 'import socket
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    print(free.getsockname()[1])')"
env SERVICE_NAME=trial DRAIN_SECONDS=0 "$@" "$release/bin/ia-service" serve --port "$port" >>"$folder/log" 2>&1 &
started+=($!)
deadline=$((SECONDS + HEALTHY_S))
until curl -sf --max-time 5 "http://127.0.0.1:$port/health" >/dev/null; do
  if ((SECONDS >= deadline)) || ! kill -0 "${started[-1]}" 2>/dev/null; then
    say_and_exit 1 "the replica does not come up: $(tail -n 3 "$folder/log")"
  fi
  sleep 0.1
done
echo "http://127.0.0.1:$port" >"$folder/url.part"
mv "$folder/url.part" "$folder/url"
wait "${started[-1]}"
