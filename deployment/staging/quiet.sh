#!/usr/bin/env bash
# Wait until alerts are over.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/quiet.sh ALERT …

Waits until none of these alerts fires in Alertmanager, or is pending in Prometheus, for a test that must not take the trouble
before it for its own.

Environment: ALERTMANAGER_URL, PROMETHEUS_URL; QUIET_S, how long to wait (default 60).
Exit status: 0 none fires, 1 one still does, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
for variable in ALERTMANAGER_URL PROMETHEUS_URL; do
  if [[ ! ${!variable:-} ]]; then
    echo "quiet.sh: $variable is not set; take it from 'deployment/staging/stack env'" >&2
    exit 2
  fi
done
names="$(IFS='|' && echo "$*")"
deadline=$((SECONDS + ${QUIET_S:-60}))
until firing="$(amtool --alertmanager.url "$ALERTMANAGER_URL" --output json alert query "alertname=~\"$names\"")" &&
  pending="$(promtool query instant "$PROMETHEUS_URL" "ALERTS{alertname=~\"$names\"}")" &&
  [[ $firing == '[]' && ! $pending ]]; do
  if ((SECONDS >= deadline)); then
    echo "quiet.sh: still there after ${QUIET_S:-60} s: $firing ${pending:-}" >&2
    exit 1
  fi
  sleep 0.2
done
