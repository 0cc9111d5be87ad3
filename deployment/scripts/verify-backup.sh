#!/usr/bin/env bash
# Say which backups are what they were when they were made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/verify-backup.sh [ID…]

Reads the dumps and base backups of $BACKUP_DIR, all of them or those named, the newest first: a dump is held against the
SHA-256 of its manifest and must be readable, the files of a base backup against the checksums of theirs. Changes nothing.
Whether a good dump restores, only a restore tells: deployment/scripts/restore.sh ID --into NAME

Prints a line for each, and last:
  <n> good, <n> damaged
Exit status: 0 all good, 1 some damaged or none there, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given BACKUP_DIR
need pg_restore pg_verifybackup
[[ -d $BACKUP_DIR ]] || fail "$BACKUP_DIR is not there"

found() {
  dumps | sort -r
  base_backups | sort -r | sed 's|^|base/|'
}

ids=()
if (($#)); then
  for id in "$@"; do
    if [[ -f $BACKUP_DIR/$id/manifest.json ]]; then
      ids+=("$id")
    elif [[ -f $BACKUP_DIR/base/${id#base/}/base.json ]]; then
      ids+=("base/${id#base/}")
    else
      fail "no backup $id in $BACKUP_DIR"
    fi
  done
else
  while read -r id; do
    ids+=("$id")
  done < <(found)
fi

good=0 damaged=0
for id in ${ids[@]+"${ids[@]}"}; do
  case "$id" in
    base/*)
      name="base backup ${id#base/}"
      pg_verifybackup --quiet --no-parse-wal "$BACKUP_DIR/$id/data" >&2 && verdict=good || verdict=damaged
      ;;
    *)
      name="backup $id"
      dump_is_good "$id" && pg_restore --list "$BACKUP_DIR/$id/database.dump" >/dev/null && verdict=good || verdict=damaged
      ;;
  esac
  echo "$name: $verdict"
  if [[ $verdict == good ]]; then good=$((good + 1)); else damaged=$((damaged + 1)); fi
done
echo "$good good, $damaged damaged"
((damaged == 0 && good > 0))
