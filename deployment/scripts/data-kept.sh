#!/usr/bin/env bash
# Say whether a database still holds all that another one holds, after a migration for instance.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/data-kept.sh BEFORE AFTER

BEFORE and AFTER are databases on the server of $DATABASE_URL. Compares every table of BEFORE with the same table in AFTER,
by the columns that BEFORE has: the number of rows, and a checksum of them all, whatever their order. Tables and columns that
only AFTER has do not count, nor does ia_migrations, where a migration adds its own row. Changes nothing.

Prints:
  kept: <tables> tables, <rows> rows
or every table that differs (< BEFORE, > AFTER).
Exit status: 0 kept, 1 something is missing or different, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
(($# == 2)) && [[ $2 && $2 != -* ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
need psql
given DATABASE_URL
connect_to "$DATABASE_URL"

# One statement per table of BEFORE, to be run in both; a NULL and a text 'NULL' must not look alike, hence the row.
statements="$(
  query "$1" <<'SQL'
SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(md5(row_::text), '''' ORDER BY md5(row_::text)), '''')) '
  'FROM (SELECT %s FROM %I.%I) AS row_;', n.nspname || '.' || c.relname,
  string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
  AND c.relname <> 'ia_migrations'
GROUP BY n.nspname, c.relname ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C";
SQL
)"
[[ $statements ]] || { echo "data-kept.sh: $1 has no tables to compare" >&2 && exit 1; }
statements="SET TimeZone = 'UTC'; SET extra_float_digits = 1;"$'\n'"$statements"
before="$(query "$1" <<<"$statements")"
after="$(query "$2" <<<"$statements")" || { echo "data-kept.sh: $2 lacks what $1 has; see above" >&2 && exit 1; }
if ! diff <(printf '%s\n' "$before") <(printf '%s\n' "$after"); then
  echo "data-kept.sh: $2 differs from $1 (< $1, > $2)" >&2
  exit 1
fi
awk -F '|' '{ rows += $2 } END { print "kept: " NR " tables, " rows + 0 " rows" }' <<<"$before"
