# shellcheck shell=bash
# Sourced by backup.sh, restore.sh and fingerprint.sh: how they reach a database without a password on any command line.

need() {
  local program
  for program in "$@"; do
    command -v "$program" >/dev/null && continue
    echo "${0##*/}: $program is not on PATH; take PATH from 'deployment/staging/stack env', or: apt-get install postgresql-client" >&2
    exit 2
  done
}

given() {
  local name
  for name in "$@"; do
    [[ ${!name:-} ]] && continue
    echo "${0##*/}: $name is not set; take it from 'deployment/staging/stack env'" >&2
    exit 2
  done
}

decoded() {
  printf '%b' "${1//%/\\x}"
}

# connect_to URL: let libpq's programs reach the database of postgresql://user:password@host:port/name.
connect_to() {
  local pattern='^postgres(ql)?://(([^:@/]*)(:([^@/]*))?@)?(\[[^]]*\]|[^:/?]*)(:([0-9]+))?/([^?]+)(\?.*)?$'
  if [[ ! $1 =~ $pattern ]]; then
    # The value itself is not repeated: it may hold a password.
    echo "${0##*/}: expected an address like postgresql://user:password@host:port/name" >&2
    exit 2
  fi
  local match=("${BASH_REMATCH[@]}") host="${BASH_REMATCH[6]}"
  host="${host#[}"
  PGHOST="${host%]}" PGPORT="${match[8]:-5432}"
  PGUSER="$(decoded "${match[3]}")" PGPASSWORD="$(decoded "${match[5]}")" PGDATABASE="$(decoded "${match[9]}")"
  export PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGCONNECT_TIMEOUT=10 PGAPPNAME="${0##*/}"
}

# query DATABASE [ARGUMENT…]: psql without anybody's start-up file, stopping at the first error, bare values out.
query() {
  local database="$1"
  shift
  psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$database" "$@"
}

# One line of JSON per table of the service: "schema.table": {"rows": n, "md5": "…"}, whatever order its rows are in.
# shellcheck disable=SC2034 # used by the scripts that source this file
TABLES_SQL=$(
  cat <<'SQL'
SET TimeZone = 'UTC';
SET extra_float_digits = 1;
SELECT format(
  'SELECT to_json(%L::text) || '': {"rows": '' || count(*) || '', "md5": "'' '
  '|| md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text)), '''')) || ''"}'' FROM %I.%I t',
  n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C" \gexec
SQL
)

# total_rows FILE: the sum of the rows in lines made by TABLES_SQL.
total_rows() {
  sed -n 's/.*"rows": \([0-9][0-9]*\),.*/\1/p' "$1" | awk '{ total += $1 } END { print total + 0 }'
}

# tables_of MANIFEST: the lines that TABLES_SQL printed when the backup was made.
tables_of() {
  sed -n '/^  "tables": {$/,/^  }$/ { s/^    //; s/,$//; /^"/p; }' "$1"
}

sha256_of() {
  if command -v sha256sum >/dev/null; then
    sha256sum "$1" | cut -d ' ' -f 1
  else
    shasum -a 256 "$1" | cut -d ' ' -f 1
  fi
}
