#!/usr/bin/env bash
# Ask every service whether it is well, in its own language, the ones that others depend on first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/services.sh

Prints one line for each service, in the order in which they depend on each other: its name, ok or DOWN, and what it said.
Replicas are asked themselves, not through the load balancer; nothing is taken from Prometheus but what only it knows.
Changes nothing.

Prints, last:
  <n> services, <n> down
Exit status: 0 all are well, 1 one is not, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
need_variables DATABASE_URL REPLICA_DATABASE_URL REDIS_URL API_URL PROMETHEUS_URL ALERTMANAGER_URL
export PGCONNECT_TIMEOUT=5

asked=0 down=0

# service NAME WANTED COMMAND…: well when what the command prints contains WANTED.
service() {
  local name="$1" wanted="$2" said state=ok
  shift 2
  if ! said="$("$@" 2>&1)" || [[ $said != *"$wanted"* ]]; then
    state=DOWN
    down=$((down + 1))
  fi
  asked=$((asked + 1))
  said="${said//$'\n'/ }"
  printf '%-18s %-4s %.90s\n' "$name" "$state" "${said:-no answer}"
}

get() {
  curl -sS --max-time 5 "$@"
}

# The two servers change places with a failover: one takes writes, the other follows.
role_of() {
  psql -XAtq "$1" -c "SELECT CASE WHEN NOT pg_is_in_recovery() THEN 'role: takes writes'
    WHEN EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 'role: follows' ELSE 'follows nobody' END"
}
both_roles() {
  printf '%s\n' "$(role_of "$DATABASE_URL")" "$(role_of "$REPLICA_DATABASE_URL")" | sort | tr '\n' ' '
}

ping_redis() {
  local login="${REDIS_URL#redis://:}" server="${REDIS_URL#*@}"
  printf 'AUTH %s\r\nPING\r\nQUIT\r\n' "${login%%@*}" | get "telnet://${server%/*}" | tr -d '\r' | sed -n 2p
}

up() {
  promtool query instant "$PROMETHEUS_URL" "min($1)" | sed 's/ @.*//; s/^{} => //; s/^1$/up/'
}

service postgres role: role_of "$DATABASE_URL"
service postgres-replica role: role_of "$REPLICA_DATABASE_URL"
service replication 'role: follows role: takes writes' both_roles
service valkey PONG ping_redis
while read -r replica; do
  service "service-$replica" '"status":"healthy"' get "$(url_of "$replica")/health"
done < <(replicas)
service envoy LIVE get "$LOAD_BALANCER_ADMIN_URL/ready"
service api '"pipelines"' get "$API_URL/api/pipelines"
service prometheus Ready get "$PROMETHEUS_URL/-/ready"
service alertmanager OK get "$ALERTMANAGER_URL/-/ready"
service postgres-exporter up up pg_up
service valkey-exporter up up redis_up
service node-exporter up up 'up{job="node"}'
service backup-schedule RUNNING supervisorctl status backup-schedule
echo "$asked services, $down down"
((down == 0))
