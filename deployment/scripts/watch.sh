#!/usr/bin/env bash
# Watch the service after a change, against what it was before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/watch.sh

Watches for a while what Prometheus says of the service, and compares it with what it said when the last change began (a
deployment, rollout, rollback, new configuration or restart). It stops as soon as one of these has held three times in a row:
  - the ratio of failed executions is more than MAX_ERRORS above what it was;
  - the 95th percentile of the time to take an execution is over 0.5 s, and twice what it was;
  - the memory of the largest replica is over 512 MiB, or half as much again as it was and over 256 MiB;
  - a replica does not answer.
Without executions there is nothing to judge, and it says so.

Environment
  WATCH_S     how long (default 900; after a risky change an hour or more)
  EVERY_S     how often to look (default 15)
  MAX_ERRORS  how much the ratio may rise (default 0.01)
Prints, last:
  before: <percent> % failed, p95 <ms> ms, <n> MiB
  now: <percent> % failed, p95 <ms> ms, <n> MiB
  watched for <n> s: no worse than before
Where nothing was executed before, the first line says `none`, and only the fixed limits count.
Exit status: 0 no worse, 1 worse or nothing to judge, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
need_variables PROMETHEUS_URL
WATCH_S="${WATCH_S:-900}" EVERY_S="${EVERY_S:-15}" MAX_ERRORS="${MAX_ERRORS:-0.01}"
[[ $WATCH_S =~ ^[1-9][0-9]*$ && $EVERY_S =~ ^[1-9][0-9]*$ ]] || say_and_exit 2 "WATCH_S and EVERY_S are whole seconds"
[[ $MAX_ERRORS =~ ^(0|0?\.[0-9]+|1)$ ]] || say_and_exit 2 "MAX_ERRORS is '$MAX_ERRORS'; expected a ratio from 0 to 1"
export LC_ALL=C

# value EXPRESSION [TIME]: the value of its one sample, nothing when there is none.
value() {
  local said
  said="$(curl -sf --max-time 5 -G "$PROMETHEUS_URL/api/v1/query" --data-urlencode "query=$1" ${2:+--data-urlencode "time=$2"})" ||
    say_and_exit 1 "Prometheus does not answer at $PROMETHEUS_URL"
  sed -n 's/.*"value":\[[^,]*,"\([^"]*\)"\].*/\1/p' <<<"$said"
}

# measure [TIME]: ratio of failed executions, p95 in s, bytes, and whether all replicas answer; - for what there is not.
measure() {
  local errors p95 memory up rate
  rate="$(value job:executions:rate5m "${1:-}")" || return 1
  errors="$(value job:pipeline_errors:ratio_rate5m "${1:-}")" || return 1
  p95="$(value 'job:http_request_duration_seconds:p95_rate5m{method="POST",route="/api/execute/pipeline"}' "${1:-}")" || return 1
  memory="$(value 'max(process_resident_memory_bytes{job="service"})' "${1:-}")" || return 1
  up="$(value 'min(up{job="service"})' "${1:-}")" || return 1
  [[ ${rate:-0} != 0 ]] || errors='' p95=''
  echo "${errors:--} ${p95:--} ${memory:--} ${up:--}"
}

worded() {
  awk '{ if ($1 == "-" || $2 == "-") print "none"
    else printf "%.1f %% failed, p95 %.0f ms, %.0f MiB\n", $1 * 100, $2 * 1000, $3 / 1048576 }' <<<"$1"
}

changed_at="$(cat "$REPLICAS_DIR/.changed" 2>/dev/null)" || say_and_exit 1 "no change is recorded in $REPLICAS_DIR/.changed"
before="$(measure "$changed_at")"
echo "before: $(worded "$before")"
begun=$SECONDS worse=0
while true; do
  now="$(measure)"
  reason="$(awk -v before="$before" -v rise="$MAX_ERRORS" '{
    split(before, was, " ")
    if ($4 != "-" && $4 < 1) print "a replica does not answer"
    else if ($1 != "-" && $1 > (was[1] == "-" ? 0 : was[1]) + rise) print "more executions fail"
    else if ($2 != "-" && $2 > 0.5 && (was[2] == "-" || $2 > 2 * was[2])) print "executions take longer"
    else if ($3 != "-" && ($3 > 536870912 || was[3] != "-" && $3 > 1.5 * was[3] && $3 > 268435456)) print "it needs more memory"
  }' <<<"$now")"
  if [[ $reason ]]; then
    worse=$((worse + 1))
    ((worse < 3)) || break
  else
    worse=0
    ((SECONDS - begun < WATCH_S)) || break
  fi
  sleep "$EVERY_S"
done
echo "now: $(worded "$now")"
[[ ! $reason ]] || say_and_exit 1 "worse than before: $reason; go back with deployment/scripts/rollback.sh"
[[ $(worded "$now") != none ]] || say_and_exit 1 "nothing was executed: there is nothing to judge"
echo "watched for $((SECONDS - begun)) s: no worse than before"
