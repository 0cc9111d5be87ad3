#!/usr/bin/env bash
# Make a database of long ago, so that there is something to migrate.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/staging/old-database.sh NAME MIGRATION

Makes the database NAME on the server of $DATABASE_URL, in the place of one that is there: its schema is that of MIGRATION, such
as V001, applied by the release that the replicas run, and it holds 1000 executions with steps, checkpoints and what else was
kept then.

Prints:
  <name> is at <migration>: <rows> rows
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
(($# == 2)) || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_variables DATABASE_URL RELEASES_DIR REPLICAS_DIR
server="$DATABASE_URL"
use_database "$1"
psql -X -q -v ON_ERROR_STOP=1 -v name="$1" "$server" <<'SQL'
SET client_min_messages = warning;
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
CREATE DATABASE :"name" TEMPLATE template0;
SQL
said="$("$RELEASES_DIR/$(cat "$REPLICAS_DIR/.deployed")/bin/ia-service" migrate --to "$2")"
psql -X -q -v ON_ERROR_STOP=1 "$DATABASE_URL" <<'SQL'
BEGIN;
INSERT INTO pipelines (id, slug, name, pipeline_json) SELECT 'p' || n, 's' || n, 'Pipeline ' || n, '{}' FROM generate_series(1, 20) n;
INSERT INTO pipeline_executions (execution_id, pipeline_id, pipeline_name, status, started_at, completed_at, input_data, output_data)
SELECT 'old-' || n, 'p' || n % 20 + 1, 'transform', 'completed', timestamp '2026-01-01' + n * interval '1 minute',
  timestamp '2026-01-01' + n * interval '1 minute 1 second', format('{"text": "é ''%s'' \\"x\\""}', n), NULL
FROM generate_series(1, 1000) n;
INSERT INTO step_executions (step_execution_id, execution_id, step_id, step_name, status, duration_seconds)
SELECT execution_id || '-' || step, execution_id, step, step, 'completed', 0.1 FROM pipeline_executions, unnest(ARRAY['a', 'b']) step;
INSERT INTO pipeline_checkpoints (thread_id, pipeline_id, step_id, step_index, state)
SELECT execution_id, pipeline_id, 'a', 0, jsonb_build_object('n', execution_id) FROM pipeline_executions;
INSERT INTO execution_logs (execution_id, message) SELECT execution_id, repeat('x', 100) FROM pipeline_executions LIMIT 100;
COMMIT;
SQL
rows="$(deployment/scripts/data-kept.sh "$1" "$1")"
echo "$1 is at $(sed -n 's/^schema is at \([^;]*\);.*/\1/p' <<<"$said"): ${rows##*, }"
