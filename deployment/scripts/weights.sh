#!/usr/bin/env bash
# See or change which share of the requests each replica gets.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/weights.sh [REPLICA=PERCENT …]

Without arguments it changes nothing and prints each replica with its share, as the load balancer has it. With them it gives
the replicas these shares, for example a=95 b=5: one for every replica in service, 100 in all. A replica with 0 finishes
what it has and gets no new requests. Returns when the load balancer has taken it.

Prints, for each replica:
  service-<replica>: <percent> %
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

if (($#)); then
  total=0 given=()
  for pair in "$@"; do
    [[ $pair =~ ^([a-z][a-z0-9-]*)=(0|[1-9][0-9]{0,2})$ ]] ||
      say_and_exit 2 "expected REPLICA=PERCENT, like a=95, not '$pair'"
    refuse_unknown "${BASH_REMATCH[1]}"
    given+=("${BASH_REMATCH[1]}")
    total=$((total + BASH_REMATCH[2]))
  done
  [[ $(printf '%s\n' "${given[@]}" | sort) == "$(replicas | sort)" ]] ||
    say_and_exit 2 "name every replica in service once: $(replicas | paste -sd ' ' -)"
  ((total == 100)) || say_and_exit 2 "the shares are $total % in all, not 100"
  lock_replicas
  set_shares "$@"
fi
shares="$(balancer_says)" || say_and_exit 1 "the load balancer does not answer at $LOAD_BALANCER_ADMIN_URL"
while read -r replica share state _; do
  if [[ $state == healthy ]]; then
    echo "service-$replica: $share %"
  else
    echo "service-$replica: $share %, but it does not pass the load balancer's health checks"
  fi
done <<<"$shares"
