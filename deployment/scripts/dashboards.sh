#!/usr/bin/env bash
# Ask Prometheus every question of the dashboards, and say which are not answered.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/dashboards.sh [--rules [--without RULE] ...] [--missing] [DASHBOARD.json ...]

Runs every query of every panel of deployment/monitoring/grafana/dashboards/*.json (or of the files named) against
$PROMETHEUS_URL. A query has data when a sample comes back that is a number. Changes nothing.

  --rules    also the rules that Prometheus runs: a recording rule must have been evaluated and have data; an alert, which
             has none while all is well, must have been evaluated, and every metric that it names must exist
  --without  of this rule only that it is evaluated: what it asks about is not scraped here
  --missing  print only what has no data

Grafana's variables become: $__rate_interval and $__interval the scrape interval of Prometheus, times 4 and once;
$__range 1h; a dashboard's own variable its "All".

Prints a line per query, and last
  <n> queries, <n> without data
Exit status: 0 all have data, 1 one has none or Prometheus does not answer, 2 wrong usage or something missing.
TEXT
}

options=() dashboards=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --rules | --missing) options+=("$1") ;;
    --without)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      options+=("$1=$2") && shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *) dashboards+=("$1") ;;
  esac
  shift
done
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
given PROMETHEUS_URL
need python3
((${#dashboards[@]})) || dashboards=(deployment/monitoring/grafana/dashboards/*.json)
exec python3 deployment/scripts/dashboards.py ${options[@]+"${options[@]}"} "${dashboards[@]}"
