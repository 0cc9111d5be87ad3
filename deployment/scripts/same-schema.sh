#!/usr/bin/env bash
# Say whether two databases have the same schema, however they came to it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/same-schema.sh FIRST SECOND

FIRST and SECOND are databases on the server of $DATABASE_URL. Compares tables, columns in their order, defaults, constraints,
indexes, functions and rights, as pg_dump writes them. Rows do not count. Changes nothing.

Prints:
  same schema: <tables> tables
or what differs (< FIRST, > SECOND).
Exit status: 0 same, 1 different or failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
(($# == 2)) && [[ $2 && $2 != -* ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
need psql pg_dump
given DATABASE_URL
connect_to "$DATABASE_URL"

# schema_of NAME: without comments, empty lines, and pg_dump's own commands, which hold a key that is new every time.
schema_of() {
  local dump
  dump="$(pg_dump --schema-only --dbname="$1")"
  grep -v -e '^--' -e '^[\]' -e '^$' <<<"$dump"
}
first="$(schema_of "$1")"
second="$(schema_of "$2")"
if ! diff <(printf '%s\n' "$first") <(printf '%s\n' "$second"); then
  echo "same-schema.sh: $2 differs from $1 (< $1, > $2)" >&2
  exit 1
fi
echo "same schema: $(grep -c '^CREATE TABLE' <<<"$first") tables"
