#!/usr/bin/env bash
# Bring the database to the schema that a release needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/migrate.sh RELEASE [--check]

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on. Applies the migrations that the
database of $DATABASE_URL lacks; the replicas keep running on the release that they have. Safe to run twice.

  --check  change nothing; exit 1 when something is pending

Prints, last:
  schema is current at <migration>
Exit status: 0 done, 1 failed or pending, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
case "${2:-}" in
  '' | --check) ;;
  *) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
for name in RELEASES_DIR DATABASE_URL; do
  [[ ${!name:-} ]] || say_and_exit 2 "$name is not set; take it from 'deployment/staging/stack env'"
done
release="$(find_release "$1")"
exec "$RELEASES_DIR/$release/bin/ia-service" migrate ${2:+"$2"}
