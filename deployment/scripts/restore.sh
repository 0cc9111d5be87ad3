#!/usr/bin/env bash
# Restore a backup of the service's database, in place or elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/restore.sh (--latest | ID) [--into NAME|URL] [--replace]

  --latest     the newest backup of $BACKUP_DIR
  ID           the backup of that id
  --into NAME  another database on the same server (or a whole postgresql:// address) instead of that of $DATABASE_URL
  --replace    put the backup in the place of a database that holds tables; refused without it

Checks the backup's SHA-256 before it touches anything, restores into a new database in one transaction, compares rows and
checksum of every table with the manifest, and only then puts the new database in its place. What fails on the way leaves
what was there as it was. A missing database is created.

Prints, last:
  restored <rows> rows from backup <id>
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

fail() {
  echo "restore.sh: $1" >&2
  exit "${2:-1}"
}

id='' into='' replace=no
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --latest) id=latest ;;
    --replace) replace=yes ;;
    --into)
      into="${2:-}"
      [[ $into ]] || fail '--into needs a name or an address' 2
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *) id="$1" ;;
  esac
  shift
done
[[ $id ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
given DATABASE_URL BACKUP_DIR
need psql pg_restore

if [[ $id == latest ]]; then
  # Ids begin with their time, so that the last by name is the newest.
  id="$(cd "$BACKUP_DIR" 2>/dev/null && find . -mindepth 2 -maxdepth 2 -name manifest.json -not -path './.partial-*' |
    sort | tail -n 1 | cut -d / -f 2)" || fail "$BACKUP_DIR is not there"
  [[ $id ]] || fail "no backup in $BACKUP_DIR; make one with deployment/scripts/backup.sh"
fi
backup="$BACKUP_DIR/$id"
[[ -f $backup/manifest.json ]] || fail "no backup $id in $BACKUP_DIR"
wanted="$(sed -n 's/^  "sha256": "\([0-9a-f]*\)".*/\1/p' "$backup/manifest.json")"
[[ $wanted && $(sha256_of "$backup/database.dump") == "$wanted" ]] ||
  fail "backup $id is damaged: its SHA-256 is not that of the manifest; nothing was changed"

case "$into" in
  *://*) connect_to "$into" ;;
  *) connect_to "$DATABASE_URL" && PGDATABASE="${into:-$PGDATABASE}" ;;
esac
target="$PGDATABASE"
restoring="${target}_restoring_$$"
maintenance=postgres

count="$(query "$maintenance" -v name="$target" <<<"SELECT count(*) FROM pg_database WHERE datname = :'name'")"
if ((count)) && [[ $replace == no ]]; then
  tables="$(query "$target" -c "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')")"
  ((tables == 0)) || fail "the database $target holds $tables tables; say --replace to put the backup in their place"
fi

work="$(mktemp -d)"
leave() {
  rm -rf "$work"
  # Closed while the new one takes its place; open again whatever happened to us.
  ((count == 0)) || query "$maintenance" -v name="$target" <<<'ALTER DATABASE :"name" ALLOW_CONNECTIONS true'
  query "$maintenance" -v name="$restoring" <<<'DROP DATABASE IF EXISTS :"name" WITH (FORCE)' 2>/dev/null ||
    echo "restore.sh: the unfinished database $restoring may be left; drop it by hand" >&2
}
trap leave EXIT
query "$maintenance" -v name="$restoring" <<<'CREATE DATABASE :"name" TEMPLATE template0'
pg_restore --exit-on-error --single-transaction --no-owner --dbname="$restoring" "$backup/database.dump"

query "$restoring" -o "$work/restored" <<<"$TABLES_SQL"
tables_of "$backup/manifest.json" >"$work/wanted"
diff "$work/wanted" "$work/restored" >"$work/difference" ||
  fail "the restored data differs from the manifest of backup $id (< manifest, > restored); nothing was changed
$(head -n 20 "$work/difference")"
rows="$(total_rows "$work/restored")"

# Without new connections and the old ones, a database can be renamed; the service reconnects to the new one by itself.
if ((count)); then
  query "$maintenance" -v name="$target" -v old="${target}_replaced_$$" -v new="$restoring" >/dev/null <<'SQL'
ALTER DATABASE :"name" ALLOW_CONNECTIONS false;
-- Clients only: the rename ends an autovacuum of the database by itself, and we may not.
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :'name' AND backend_type = 'client backend';
BEGIN;
ALTER DATABASE :"name" RENAME TO :"old";
ALTER DATABASE :"new" RENAME TO :"name";
COMMIT;
DROP DATABASE :"old" WITH (FORCE);
SQL
else
  query "$maintenance" -v name="$target" -v new="$restoring" <<<'ALTER DATABASE :"new" RENAME TO :"name"'
fi
echo "restored $rows rows from backup $id"
