#!/usr/bin/env bash
# Bring the database to the schema that a release needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/migrate.sh RELEASE [--database NAME] [--check | OPTION …]

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on. Applies the migrations that the
database of $DATABASE_URL lacks; the replicas keep running on the release that they have. All or nothing, one migrator at a
time. Safe to run twice.

  --database NAME       another database on the same server
  --check               change nothing; exit 1 when something is pending, or was applied with another text
  --to NAME             apply nothing after this migration; its beginning will do, such as V002
  --wait SECONDS        how long to wait for another migrator (default 60)
  --table-wait SECONDS  how long to wait for a table that somebody else uses (default 5); everybody who comes after waits behind us
  --accept NAME         somebody has looked: what was applied with another text than this release carries is right

Prints, last:
  schema is current at <migration>
or, after --to, schema is at <migration>; pending: <migrations>
Exit status: 0 done, 1 failed or pending, 2 wrong usage or something missing.
TEXT
}

release='' database='' options=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --check) options+=("$1") ;;
    --database | --to | --wait | --table-wait | --accept)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      if [[ $1 == --database ]]; then database="$2"; else options+=("$1" "$2"); fi
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *)
      [[ ! $release ]] || { usage >&2 && exit 2; }
      release="$1"
      ;;
  esac
  shift
done
[[ $release ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_variables RELEASES_DIR DATABASE_URL
release="$(find_release "$release")"
[[ ! $database ]] || use_database "$database"
exec "$RELEASES_DIR/$release/bin/ia-service" migrate ${options[@]+"${options[@]}"}
