#!/usr/bin/env bash
# Change the replicas' configuration at once, as nobody should.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

usage() {
  cat <<'TEXT'
Usage: deployment/staging/faults/configure.sh NAME=VALUE …

Changes variables of the replicas' environment, the file $SERVICE_ENV, and restarts all replicas in service at the same time:
nothing serves for some seconds. `NAME=` removes a variable. It makes a test's trouble, and takes it away, in half the time
of deployment/scripts/reconfigure.sh, which is the way for everybody else.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60).
Prints, last:
  configured <n> replicas: <names>
Exit status: 0 done, 1 a replica did not come up, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
# shellcheck source=deployment/scripts/configuration.sh
source deployment/scripts/configuration.sh
need_stack
need_variables SERVICE_ENV
names=()
environment="$(cat "$SERVICE_ENV")"
for pair in "$@"; do
  [[ $pair =~ ^[A-Z][A-Z0-9_]*= ]] || say_and_exit 2 "expected NAME=VALUE with a name in capitals, not '$pair'"
  environment="$(changed "$environment" "${pair%%=*}" "${pair#*=}")"
  names+=("${pair%%=*}")
done
lock_replicas
replace_file "$SERVICE_ENV" "$environment"
restarts=()
while read -r replica; do
  restart_as_it_is "$replica" &
  restarts+=($!)
done < <(replicas)
status=0
for restart in "${restarts[@]}"; do
  wait "$restart" || status=1
done
((status == 0)) || say_and_exit 1 "not every replica came up"
echo "configured ${#restarts[@]} replicas: ${names[*]}"
