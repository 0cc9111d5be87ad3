#!/usr/bin/env bash
# Restart replicas, one after the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/restart.sh [REPLICA …]

Restarts the replicas, all of them when none is named: first those that serve nobody, then one after the other, each healthy
and in the load balancer before the next one is touched. Each gets no new requests and drains before it stops. Stops at the
first that does not come back.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60).
Prints, last:
  restarted <n> replicas
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
refuse_unknown "$@"
lock_replicas
if (($# == 0)); then
  refuse_drained
  # shellcheck disable=SC2046 # a word for each replica
  set -- $(replicas)
fi
note_change
while read -r replica; do
  restart_replica "$replica" || say_and_exit 1 "service-$replica does not come back"
done < <(broken_first "$@")
echo "restarted $# replicas"
