#!/usr/bin/env bash
# Turn a part of the new executions away at the load balancer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/shed.sh [PERCENT]

Lets the load balancer answer PERCENT of the requests for new executions with 503 and Retry-After, from 0 (none, the normal
state) to 100 (all of them). Everything else passes: status, results, health. Without PERCENT it changes nothing. It is
forgotten when the load balancer restarts.

Prints what is in force, as the load balancer has it:
  shedding <percent> % of new executions
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
key=shed.executions
if (($#)); then
  [[ $1 =~ ^(0|[1-9][0-9]?|100)$ && $# == 1 ]] || say_and_exit 2 "expected one whole number from 0 to 100, not '$*'"
  curl -sf --max-time 5 -X POST "$LOAD_BALANCER_ADMIN_URL/runtime_modify?$key=$1" >/dev/null ||
    say_and_exit 1 "the load balancer does not answer at $LOAD_BALANCER_ADMIN_URL"
fi
runtime="$(curl -sf --max-time 5 "$LOAD_BALANCER_ADMIN_URL/runtime")" ||
  say_and_exit 1 "the load balancer does not answer at $LOAD_BALANCER_ADMIN_URL"
percent="$(awk -v key="\"$key\"" -F '"' 'index($0, key) { here = 1 } here && $2 == "final_value" { print $4; exit }' <<<"$runtime")"
echo "shedding ${percent:-0} % of new executions"
[[ ! ${1:-} || $1 == "${percent:-0}" ]] || say_and_exit 1 "the load balancer has not taken $1 %"
