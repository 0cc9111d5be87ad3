#!/usr/bin/env bash
# Change the replicas' configuration without downtime.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/reconfigure.sh NAME=VALUE … | NAME

Changes variables of the replicas' environment, the file $SERVICE_ENV, and restarts the replicas one after the other, each
healthy before the next one. `NAME=` removes a variable. A NAME alone takes its value from the first line of standard input:
the way for secrets, which on a command line everybody could read. The file is written whole and keeps its mode.

The release's own `ia-service config` must accept the new configuration before anything is touched. When a replica does not
come up with it, the file from before is put back, and with it every replica that was restarted.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60).
Prints, last, one of:
  reconfigured <n> replicas: <names>
  put back the configuration from before
Exit status: 0 done, 1 failed or put back, 2 wrong usage, a value that the service does not accept, or something missing.
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
[[ -w $SERVICE_ENV ]] || say_and_exit 2 "$SERVICE_ENV cannot be written"

names=() values=() asked=''
for pair in "$@"; do
  name="${pair%%=*}"
  [[ $name =~ ^[A-Z][A-Z0-9_]*$ ]] || say_and_exit 2 "expected NAME=VALUE with a name in capitals, not '$name…'"
  [[ $name != SERVICE_NAME ]] || say_and_exit 2 "SERVICE_NAME is each replica's own and cannot be set for all"
  value="${pair#*=}"
  if [[ $pair != *=* ]]; then
    [[ ! $asked ]] || say_and_exit 2 "only one value can come from standard input, not also $name"
    asked="$name"
    IFS= read -r value || [[ $value ]] || say_and_exit 2 "no value for $name came from standard input"
  fi
  [[ $value != *[[:cntrl:]]* ]] || say_and_exit 2 "the value of $name has line breaks or control characters"
  names+=("$name") values+=("$value")
done

lock_replicas
refuse_drained
environment="$(cat "$SERVICE_ENV")"
for i in "${!names[@]}"; do
  environment="$(changed "$environment" "${names[i]}" "${values[i]}")"
done
check_environment "$environment" || say_and_exit 2 "the service does not accept this configuration; nothing was changed"
apply_environment "$environment"
echo "reconfigured $(count_replicas) replicas: ${names[*]}"
