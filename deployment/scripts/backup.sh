#!/usr/bin/env bash
# Back up the service's database.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/backup.sh

Dumps the database of $DATABASE_URL into $BACKUP_DIR/<id>/: database.dump (pg_dump's custom format) and manifest.json (id,
time, size, SHA-256, server version, rows and checksum of every table, all from the snapshot that was dumped). The service
keeps running. A backup that did not finish leaves nothing behind. Every run makes a new backup. When $METRICS_DIR is set,
backup.prom there says to the node exporter when the last one was made, its size and its rows.

Prints, last:
  backup <id> of <rows> rows, <size> bytes
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
given DATABASE_URL BACKUP_DIR
need psql pg_dump
connect_to "$DATABASE_URL"

umask 077
mkdir -p "$BACKUP_DIR"
partial="$(mktemp -d "$BACKUP_DIR/.partial-XXXXXX")"
trap 'rm -rf "$partial"' EXIT
export partial

# The snapshot lives as long as this transaction: pg_dump and the counts see the same rows, whatever the service writes.
query "$PGDATABASE" -o "$partial/tables" >"$partial/facts" <<SQL
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT pg_export_snapshot() AS snapshot,
  to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISSMS"Z"') AS id,
  to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
  current_setting('server_version') AS version \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --format=custom --snapshot="\$SNAPSHOT" --file="\$partial/database.dump"
\if :SHELL_ERROR
  DO \$\$ BEGIN RAISE 'pg_dump failed'; END \$\$;
\endif
\echo :id
\echo :created_at
\echo :version
$TABLES_SQL
COMMIT;
SQL

{ read -r id && read -r created_at && read -r version; } <"$partial/facts"
rows="$(total_rows "$partial/tables")"
size="$(wc -c <"$partial/database.dump" | tr -d ' ')"
cat >"$partial/manifest.json" <<JSON
{
  "id": "$id",
  "created_at": "$created_at",
  "database": "$PGDATABASE",
  "server_version": "$version",
  "size_bytes": $size,
  "sha256": "$(sha256_of "$partial/database.dump")",
  "rows": $rows,
  "tables": {
$(sed 's/^/    /; $!s/$/,/' "$partial/tables")
  }
}
JSON
rm "$partial/facts" "$partial/tables"
mv "$partial" "$BACKUP_DIR/$id"

if [[ ${METRICS_DIR:-} ]]; then
  # Renamed into place: the exporter never reads half of it. It may run as another user than we do.
  new="$METRICS_DIR/.backup.prom.$$"
  cat >"$new" <<METRICS
# TYPE ia_backup_last_success_timestamp_seconds gauge
ia_backup_last_success_timestamp_seconds $(date +%s)
# TYPE ia_backup_size_bytes gauge
ia_backup_size_bytes $size
# TYPE ia_backup_rows gauge
ia_backup_rows $rows
METRICS
  chmod 644 "$new"
  mv "$new" "$METRICS_DIR/backup.prom"
fi
echo "backup $id of $rows rows, $size bytes"
