#!/usr/bin/env bash
# Say which transactions deleted most rows, and when: to find the moment of a mistake.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/large-transactions.sh [--since TIME] [--segments N]

Reads the newest N WAL segments (default 64) of $WAL_ARCHIVE_DIR, after asking the primary, when it answers, to archive what it
has written so far. Prints the five transactions that deleted most rows, those first; a truncated table counts as one row. Pass
the time to restore-to-time.sh: what was committed before it comes back. Changes nothing.

  --since TIME  only those that were committed then or later; UTC, 'YYYY-MM-DD HH:MM[:SS]'

Prints a line each:
  <rows> rows deleted, committed <time> UTC, transaction <id>
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

segments=64 since=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --segments) segments="${2:-}" ;;
    --since) since="${2:-}" ;;
    *) usage >&2 && exit 2 ;;
  esac
  (($# > 1)) || { usage >&2 && exit 2; }
  shift 2
done
[[ $segments =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
[[ ! $since || $since =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}\ [0-9]{2}:[0-9]{2}(:[0-9]{2})?$ ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given DATABASE_URL WAL_ARCHIVE_DIR
need psql pg_isready pg_waldump
archive_now

# Sorted by position: a name is timeline, then position. pg_waldump fails at the end of WAL, which says nothing.
export TZ=UTC
(cd "$WAL_ARCHIVE_DIR" && find . -type f -name '????????????????????????' | cut -d / -f 2 | sort -k 1.9 | tail -n "$segments") |
  while read -r segment; do
    pg_waldump --rmgr=Heap --rmgr=Transaction "$WAL_ARCHIVE_DIR/$segment" 2>/dev/null || true
  done |
  awk -v since="$since" '
    match($0, /tx: *[0-9]+/) { tx = substr($0, RSTART + 3, RLENGTH - 3) + 0 }
    / desc: DELETE / || / desc: TRUNCATE / { deleted[tx]++ }
    / desc: COMMIT / && deleted[tx] {
      match($0, /COMMIT [0-9-]+ [0-9:.]+/)
      at = substr($0, RSTART + 7, RLENGTH - 7)
      if (at >= since) print deleted[tx] " rows deleted, committed " at " UTC, transaction " tx
      delete deleted[tx]
    }' | sort -rn | awk 'NR <= 5'
