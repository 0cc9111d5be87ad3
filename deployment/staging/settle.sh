#!/usr/bin/env bash
# End executions that an earlier test has left behind.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/settle.sh

Waits until no execution runs. What still does after 5 s is taken for abandoned, such as one whose end was lost in a failover or
that came back with a backup, and is marked as cancelled: a test that needs everything to be well must not find it stuck. Only for
a stack on which nobody else works.

Environment: DATABASE_URL.
Exit status: 0 nothing runs any more, 1 the database does not answer, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
if [[ ! ${DATABASE_URL:-} ]]; then
  echo "settle.sh: DATABASE_URL is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
fi
sql() { psql -XqAt -v ON_ERROR_STOP=1 "$DATABASE_URL" -c "$1"; }
running() { sql "SELECT count(*) FROM pipeline_executions WHERE status = 'running'"; }
deadline=$((SECONDS + 5))
left="$(running)" || exit 1
while ((left && SECONDS < deadline)); do
  sleep 0.2
  left="$(running)" || exit 1
done
if ((left)); then
  sql "UPDATE pipeline_executions SET status = 'cancelled', completed_at = now() AT TIME ZONE 'UTC',
       error_message = 'abandoned by an earlier test' WHERE status = 'running'" || exit 1
fi
