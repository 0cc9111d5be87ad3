#!/usr/bin/env bash
# Remove old backups, and the WAL that only they needed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/prune.sh --keep N [--older-than DAYS]

Keeps the newest N dumps and the newest N base backups of $BACKUP_DIR and removes those before them, with what a killed
backup left behind. WAL in $WAL_ARCHIVE_DIR goes when the oldest base backup that is kept does not need it; without a base
backup none goes. The newest dump whose SHA-256 is right is never removed, even when N newer ones are damaged, and the
newest base backup neither.

  --older-than DAYS  remove only what is also older than that

Prints a line for each thing that it removed, and last:
  kept <n> backups and <n> base backups
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

keep='' days=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --keep) keep="${2:-}" ;;
    --older-than) days="${2:-}" ;;
    *) usage >&2 && exit 2 ;;
  esac
  (($# > 1)) || { usage >&2 && exit 2; }
  shift 2
done
[[ $keep =~ ^[1-9][0-9]*$ && ${days:-0} =~ ^[0-9]+$ ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given BACKUP_DIR
[[ -d $BACKUP_DIR ]] || fail "$BACKUP_DIR is not there"

is_old() {
  [[ ! $days ]] || [[ $(find "$1" -maxdepth 0 -mtime "+$((days - 1))") ]]
}

newest_first=()
while read -r id; do
  newest_first+=("$id")
done < <(dumps | sort -r)
kept=0 good=''
for id in ${newest_first[@]+"${newest_first[@]}"}; do
  first_good=no
  if [[ ! $good ]] && dump_is_good "$id"; then
    good="$id" first_good=yes
  fi
  if ((kept < keep)) || [[ $first_good == yes ]] || ! is_old "$BACKUP_DIR/$id"; then
    kept=$((kept + 1))
    continue
  fi
  rm -rf "${BACKUP_DIR:?}/$id"
  echo "removed backup $id"
done
((kept == 0)) || [[ $good ]] || say "none of the $kept backups left is good: their SHA-256 is not that of their manifest" >&2

bases=()
while read -r id; do
  bases+=("$id")
done < <(base_backups)
removable=$((${#bases[@]} - keep)) kept_bases=${#bases[@]} oldest=''
for id in ${bases[@]+"${bases[@]}"}; do
  if ((removable > 0)) && is_old "$BACKUP_DIR/base/$id"; then
    rm -rf "${BACKUP_DIR:?}/base/$id"
    echo "removed base backup $id"
    kept_bases=$((kept_bases - 1))
  else
    oldest="${oldest:-$id}"
  fi
  removable=$((removable - 1))
done

# A backup that runs has its folder for minutes, not for a day.
while read -r left; do
  rm -rf "$left"
  echo "removed ${left#"$BACKUP_DIR/"}, which a killed backup left"
done < <(find "$BACKUP_DIR" -maxdepth 2 -name '.partial-*' -mtime +0)

if [[ $oldest && ${WAL_ARCHIVE_DIR:-} ]]; then
  need pg_archivecleanup
  before="$(find "$WAL_ARCHIVE_DIR" -type f | wc -l)"
  pg_archivecleanup "$WAL_ARCHIVE_DIR" "$(base_fact "$oldest" first_wal)"
  removed=$((before - $(find "$WAL_ARCHIVE_DIR" -type f | wc -l)))
  ((removed <= 0)) || echo "removed $removed WAL segments"
fi
echo "kept $kept backups and $kept_bases base backups"
