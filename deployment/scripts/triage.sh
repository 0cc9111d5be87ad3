#!/usr/bin/env bash
# Look at every signal once, and say where to go on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/triage.sh

Prints one line for each signal: what it is now, ok or TROUBLE, and the procedure that mends it. What others depend on comes
first: the first line in trouble explains many of those below it. Then come the alerts that fire, the release that runs, and
last where to go on:
  go on with: docs/operations/<page>.md#<procedure>

It asks the replicas themselves, and Prometheus ($PROMETHEUS_URL) and Alertmanager for the rest. What cannot be asked is
`unknown`, and no comfort. Changes nothing.
Exit status: 0 nothing is wrong, 1 something is or cannot be seen, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
for name in PROMETHEUS_URL ALERTMANAGER_URL API_URL REPLICAS_DIR; do
  if [[ ! ${!name:-} ]]; then
    echo "triage.sh: $name is not set; take it from 'deployment/staging/stack env'" >&2
    exit 2
  fi
done
for program in curl promtool amtool; do
  if ! command -v "$program" >/dev/null; then
    echo "triage.sh: $program is not on PATH; take PATH from 'deployment/staging/stack env', or: apt-get install $program" >&2
    exit 2
  fi
done

go_on='' bad=0

# row SIGNAL STATE TEXT LINK
row() {
  printf '%-13s %-8s %s%s\n' "$1" "$2" "$3" "$([[ $2 == ok ]] || echo " -> ${4#docs/operations/}")"
  [[ $2 != ok ]] || return 0
  bad=1
  [[ $go_on || $2 == unknown ]] || go_on="$4"
}

# ask EXPRESSION: the value of its only sample, nothing when there is none or Prometheus does not answer.
ask() {
  local answer
  answer="$(promtool query instant "$PROMETHEUS_URL" "$1" 2>/dev/null)" || return 0
  sed -n '1s/.*=> \([^ ]*\) @.*/\1/p' <<<"$answer"
}

# signal NAME EXPRESSION TROUBLE FORMAT LINK: TROUBLE is a condition on v, FORMAT an awk print list of v.
signal() {
  local value
  value="$(ask "$2")"
  if [[ ! $value || $value == NaN ]]; then
    row "$1" unknown 'Prometheus has no value' docs/operations/monitoring.md
  elif awk -v v="$value" "BEGIN { exit !($3) }"; then
    row "$1" TROUBLE "$(awk -v v="$value" "BEGIN { printf $4 }")" "$5"
  else
    row "$1" ok "$(awk -v v="$value" "BEGIN { printf $4 }")" "$5"
  fi
}

pages=docs/operations
guide=$pages/troubleshooting.md

# Dependencies, and who answers: those who are down now, not those who were a scrape ago.
down=() total=0 no_database='' no_redis=''
for folder in "$REPLICAS_DIR"/*/; do
  replica="$(basename "$folder")" total=$((total + 1))
  url="SERVICE_$(tr '[:lower:]-' '[:upper:]_' <<<"$replica")_URL"
  if ! health="$(curl -s --max-time 4 "${!url:?take it from deployment/staging/stack env}/health")"; then
    down+=("service-$replica")
    continue
  fi
  [[ $health == *'"database":{"ok":true'* ]] || no_database+=" service-$replica"
  [[ $health == *'"redis":{"ok":true'* ]] || no_redis+=" service-$replica"
done
signal database 'count((pg_up == 1) and on(instance) (pg_replication_in_recovery == 0)) or vector(0)' 'v < 1' \
  '"%d of the servers is up and writable", v' "$guide#database-down"
if [[ $no_database ]]; then
  row database TROUBLE "not reached by$no_database" "$guide#database-down"
fi
signal standby 'sum((pg_replication_standbys) and on(instance) (pg_replication_in_recovery == 0)) or vector(0)' 'v < 1' \
  '"%d standby streams", v' "$guide#replication-lag"
if [[ $no_redis ]]; then
  row redis TROUBLE "not reached by$no_redis" "$guide#redis-down"
else
  row redis ok "reached by $((total - ${#down[@]})) replicas" "$guide#redis-down"
fi
if ((${#down[@]})); then
  row replicas TROUBLE "${down[*]} of $total does not answer" "$guide#service-down"
else
  row replicas ok "$total of $total answer" "$guide#service-down"
fi

# Saturation.
signal queue 'max(replica:executions_in_flight:ratio)' 'v > 0.9' \
  '"the fullest replica has %.0f %% of the executions that it can take", v * 100' "$guide#queue-storm"
signal pool 'max(replica:db_pool_used:ratio)' 'v >= 1' \
  '"%.0f %% of the database connections of the busiest replica are taken", v * 100' "$guide#pool-exhaustion"
signal memory 'max(process_resident_memory_bytes{job="service"}) / 1048576' 'v > 512' '"the largest replica has %.0f MiB", v' \
  "$guide#high-memory"
signal disk 'min((node_filesystem_avail_bytes / node_filesystem_size_bytes) and on(instance, mountpoint) ia_volume_info)' \
  'v < 0.15' '"the fullest volume has %.0f %% left", v * 100' "$guide#disk-nearly-full"
signal stuck 'max(ia_service_executions_stuck)' 'v > 0' '"%d executions make no progress", v' "$guide#stuck-execution"
signal config 'count(count by (config) (ia_service_config_info))' 'v > 1' '"%d configurations among the replicas", v' \
  "$guide#configuration-drift"

# Traffic, errors, latency: what clients feel.
errors_at="$guide#high-error-rate"
[[ ! $(ask 'ALERTS{alertname="BadDeploy", alertstate="firing"}') ]] || errors_at="$guide#bad-deploy"
signal errors 'job:pipeline_errors:ratio_rate5m' 'v > 0.05' '"%.1f %% of the executions fail", v * 100' "$errors_at"
signal availability 'job:http_availability:ratio_rate5m' 'v < 0.99' '"%.1f %% of the answers are no 5xx", v * 100' "$errors_at"
latency=job:http_request_duration_seconds:p95_rate5m
signal latency "max($latency{method=\"POST\",route=\"/api/execute/pipeline\"}) or vector(0)" 'v > 0.5' \
  'v ? "95 %% of the executions are answered within %.0f ms" : "nobody asked for an execution in the last minutes", v * 1000' \
  "$guide#high-latency"
traffic="$(ask job:executions:rate5m)"
if [[ $traffic ]]; then
  # No figure is wrong by itself: a quiet night and an outage upstream look the same from here.
  row traffic ok "$(awk -v v="$traffic" 'BEGIN { printf "%.1f executions a second end", v }')" "$pages/monitoring.md"
else
  row traffic unknown 'Prometheus has no value' "$pages/monitoring.md"
fi

if ! alerts="$(amtool --alertmanager.url="$ALERTMANAGER_URL" alert query -o json 2>/dev/null)"; then
  row alerts unknown 'Alertmanager does not answer' "$pages/monitoring.md"
elif [[ $alerts == '[]' ]]; then
  row alerts ok 'none fires' "$pages/monitoring.md"
else
  names="$(grep -o '"alertname":"[^"]*"' <<<"$alerts" | cut -d '"' -f 4 | sort -u | paste -sd ' ' -)"
  # https://…/operations/<page>/#<procedure>, as the alert says it
  leads_to="$(sed -n 's|.*"runbook_url":"[^"]*/operations/\([a-z_]*\)/#\([a-z0-9-]*\)".*|\1.md#\2|p' <<<"$alerts" | head -n 1)"
  row alerts TROUBLE "$names" "$pages/${leads_to:-monitoring.md}"
fi
deployed="$(cat "$REPLICAS_DIR/.deployed")"
echo "release       $deployed since $(date -u -r "$REPLICAS_DIR/.deployed" +%FT%TZ)"
if ((bad)); then
  echo "go on with: ${go_on:-$pages/monitoring.md}"
else
  echo 'nothing is wrong'
fi
exit "$bad"
