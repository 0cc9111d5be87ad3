#!/usr/bin/env bash
# Wait until alerts are over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/staging/quiet.sh ALERT …

Waits until none of these alerts fires in Alertmanager, or is pending in Prometheus, and whoever was told that one fires was told
that it is over: for a test that must not take the trouble before it for its own, and must see that its own is told. What fires
again before its end was told, Alertmanager takes for told.

Environment: ALERTMANAGER_URL, PROMETHEUS_URL, NOTIFICATIONS, MAILBOX; QUIET_S, how long to wait (default 60).
Exit status: 0 none fires, 1 one still does or its end was not told, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
for variable in ALERTMANAGER_URL PROMETHEUS_URL NOTIFICATIONS MAILBOX; do
  if [[ ! ${!variable:-} ]]; then
    echo "quiet.sh: $variable is not set; take it from 'deployment/staging/stack env'" >&2
    exit 2
  fi
done
names="$(IFS='|' && echo "$*")"

# Who was last told that one of them fires. What was told ten minutes ago is told again: no repeat_interval here is longer.
open() {
  local alert
  for alert in "$@"; do
    deployment/scripts/notified.sh --json --open --since "$(($(date +%s) - 600))" "$alert" || return
  done
}

deadline=$((SECONDS + ${QUIET_S:-60}))
until firing="$(amtool --alertmanager.url "$ALERTMANAGER_URL" --output json alert query "alertname=~\"$names\"")" &&
  pending="$(promtool query instant "$PROMETHEUS_URL" "ALERTS{alertname=~\"$names\"}")" &&
  untold="$(open "$@")" && [[ $firing == '[]' && ! $pending && ! $untold ]]; do
  if ((SECONDS >= deadline)); then
    echo "quiet.sh: still there after ${QUIET_S:-60} s: $firing ${pending:-}${untold:+; the end was not told: $untold}" >&2
    exit 1
  fi
  sleep 0.2
done
# Tests note when they began in whole seconds: what was told in this one must not look as if it came after that.
over="$(date +%s)"
while [[ $(date +%s) == "$over" ]]; do sleep 0.1; done
