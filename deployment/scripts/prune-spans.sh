#!/usr/bin/env bash
# Remove spans that were received long ago.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/prune-spans.sh --older-than DAYS

Removes the spans in $DATABASE_URL that were received more than DAYS days ago, 10 000 at a time, so that no lock and no
transaction is held for long. Run it again after an interruption: what is gone is gone, the rest follows. PostgreSQL uses the
freed space again; it gives it back to the disk only after VACUUM FULL.

Prints:
  removed <n> spans, <n> left
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

days=''
case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  --older-than) days="${2:-}" ;;
esac
(($# == 2)) && [[ $days =~ ^[1-9][0-9]{0,4}$ ]] || { usage >&2 && exit 2; }
if [[ ! ${DATABASE_URL:-} ]]; then
  echo "prune-spans.sh: DATABASE_URL is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
fi

# ask SQL
ask() {
  psql -XqAt -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$1" || exit 1
}

# Fixed now: else spans that get old meanwhile would keep it going.
before="$(ask "SELECT now() - interval '$days days'")"
removed=0
while :; do
  count="$(ask "WITH old AS (SELECT trace_id, span_id FROM spans WHERE received_at < '$before' LIMIT 10000),
    gone AS (DELETE FROM spans USING old WHERE spans.trace_id = old.trace_id AND spans.span_id = old.span_id RETURNING 1)
    SELECT count(*) FROM gone")"
  removed=$((removed + count))
  ((count > 0)) || break
done
left="$(ask 'SELECT count(*) FROM spans')"
echo "removed $removed spans, $left left"
