#!/usr/bin/env bash
# Say how far the clocks of the stack are apart.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/clocks.sh

Asks the database ($DATABASE_URL), the load balancer ($API_URL) and Prometheus ($PROMETHEUS_URL) what time it is, and compares
each with this host's clock, in whole seconds. The time that an answer takes does not count. Changes nothing.

Prints a line for each:
  <name>: <seconds> s off
and last
  the clocks are within <seconds> s
Exit status: 0 they were asked, whatever they said, 1 one did not answer, 2 wrong usage or something missing.
TEXT
}

fail() {
  echo "clocks.sh: $1" >&2
  exit "${2:-1}"
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
given DATABASE_URL API_URL PROMETHEUS_URL
need psql curl promtool
connect_to "$DATABASE_URL"

# in_seconds DATE: seconds since 1970; the database reads what an HTTP header says, as not every `date` does.
in_seconds() {
  query "$PGDATABASE" -v date="$1" <<<"SELECT extract(epoch FROM :'date'::timestamptz)::bigint"
}

database() { query "$PGDATABASE" -c 'SELECT floor(extract(epoch FROM clock_timestamp()))::bigint'; }
balancer() {
  local header
  header="$(curl -fsS --max-time 5 --output /dev/null --dump-header - "$API_URL/version" | tr -d '\r' | sed -n 's/^[Dd]ate: //p')"
  [[ $header ]] && in_seconds "$header"
}
prometheus() { promtool query instant "$PROMETHEUS_URL" 'time()' | sed -n 's/^scalar: \([0-9]*\).*/\1/p'; }

largest=0
for clock in database balancer prometheus; do
  before="$(date +%s)"
  there="$("$clock")" || fail "the $clock does not answer"
  after="$(date +%s)"
  [[ $there =~ ^[0-9]+$ ]] || fail "the $clock does not tell the time: $there"
  # It read its clock at some moment between the two.
  off=0
  if ((there < before)); then
    off=$((there - before))
  elif ((there > after)); then
    off=$((there - after))
  fi
  echo "$clock: $off s off"
  ((${off#-} <= largest)) || largest="${off#-}"
done
echo "the clocks are within $largest s"
