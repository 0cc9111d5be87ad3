#!/usr/bin/env bash
# Hold a table, as a careless report does.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/faults/hold-table.sh DATABASE TABLE SECONDS

Locks TABLE of DATABASE, on the server of $DATABASE_URL, against everybody else, and returns as soon as it is held; it is let go
after SECONDS, or when the database is dropped. For tests only.

Exit status: 0 held, 1 not, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
[[ $# == 3 && $2 =~ ^[a-z_]+$ && $3 =~ ^[0-9]+$ ]] || { usage >&2 && exit 2; }
if [[ ! ${DATABASE_URL:-} ]]; then
  echo "${0##*/}: DATABASE_URL is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
fi
url="${DATABASE_URL%/*}/$1"
PGAPPNAME=careless-report psql -X -q "$url" -c "BEGIN; LOCK TABLE $2; SELECT pg_sleep($3); COMMIT" >/dev/null 2>&1 &
held="SELECT count(*) FROM pg_locks WHERE relation = '$2'::regclass AND mode = 'AccessExclusiveLock' AND granted"
until [[ $(psql -XAt "$url" -c "$held") == 1 ]]; do
  if ! kill -0 $! 2>/dev/null; then
    echo "${0##*/}: $2 could not be held" >&2
    exit 1
  fi
  sleep 0.05
done
