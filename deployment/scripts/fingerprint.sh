#!/usr/bin/env bash
# Say what a database holds, so that two can be compared, or one with a backup.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/fingerprint.sh [NAME|URL] [--against ID]

Prints one line per table of the database of $DATABASE_URL, or of the database NAME on the same server:
  "schema.table": {"rows": <rows>, "md5": "<checksum of all rows, whatever their order>"}
Changes nothing. Two databases with the same data print the same lines.

  --against ID  compare with the manifest of that backup of $BACKUP_DIR instead, and print
                  same as backup <id>: <tables> tables, <rows> rows
                or every table that differs (< backup, > database)
Exit status: 0 done or same, 1 failed or different, 2 wrong usage or something missing.
TEXT
}

database='' backup=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --against)
      backup="${2:-}"
      [[ $backup ]] || { usage >&2 && exit 2; }
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *) database="$1" ;;
  esac
  shift
done
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
need psql
given DATABASE_URL
case "$database" in
  *://*) connect_to "$database" ;;
  *) connect_to "$DATABASE_URL" && PGDATABASE="${database:-$PGDATABASE}" ;;
esac
if [[ ! $backup ]]; then
  query "$PGDATABASE" <<<"$TABLES_SQL"
  exit
fi

given BACKUP_DIR
manifest="$BACKUP_DIR/$backup/manifest.json"
[[ -f $manifest ]] || { echo "fingerprint.sh: no backup $backup in $BACKUP_DIR" >&2 && exit 1; }
found="$(query "$PGDATABASE" <<<"$TABLES_SQL")"
if ! diff <(tables_of "$manifest") <(printf '%s\n' "$found"); then
  echo "fingerprint.sh: $PGDATABASE differs from backup $backup (< backup, > database)" >&2
  exit 1
fi
rows="$(total_rows <(printf '%s\n' "$found"))"
echo "same as backup $backup: $(wc -l <<<"$found" | tr -d ' ') tables, $rows rows"
