#!/usr/bin/env bash
# Bring the database server of a moment in the past up beside the live one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/restore-to-time.sh TIME|latest [--base ID]

  TIME       UTC, 'YYYY-MM-DD HH:MM:SS[.ffffff]': everything that was committed before it comes back, nothing after it
  latest     all that the WAL archive holds, when there is no server left to ask
  --base ID  start from that base backup instead of the newest one that ended before TIME

Makes the scratch server ($SCRATCH_DATABASE_URL, data in $SCRATCH_DATABASE_DIR) of a base backup of $BACKUP_DIR/base and the
WAL in $WAL_ARCHIVE_DIR, starts it, and waits until it has reached TIME and can be read. The live servers are not touched;
the primary, when it answers, is only asked to archive what it has written so far. The scratch server is then one of its own,
which archives nothing: compare with it, back it up (DATABASE_URL=$SCRATCH_DATABASE_URL deployment/scripts/backup.sh), copy
rows from it. End it with: supervisorctl stop postgres-scratch

Prints, last:
  recovered to <time of the last commit that came back> from base backup <id>
Environment: RECOVERY_S, how long the replay may take (default 3600).
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

target='' base=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --base)
      base="${2:-}"
      [[ $base ]] || { usage >&2 && exit 2; }
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *) target="$1" ;;
  esac
  shift
done
[[ $target ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given DATABASE_URL BACKUP_DIR WAL_ARCHIVE_DIR SCRATCH_DATABASE_URL SCRATCH_DATABASE_DIR
need psql pg_isready pg_verifybackup supervisorctl tar

# Times are compared as text below: one spelling, filled up to microseconds.
if [[ $target != latest ]]; then
  pattern='^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.([0-9]{1,6}))?( ?(Z|UTC|\+00(:?00)?))?$'
  [[ $target =~ $pattern ]] || fail "expected a time in UTC like '2026-11-26 03:12:45.5' or latest, and $target came" 2
  fraction="${BASH_REMATCH[4]}000000"
  target="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}.${fraction:0:6}"
fi

[[ $base && ! -f $BACKUP_DIR/base/$base/base.json ]] && fail "no base backup $base in $BACKUP_DIR/base"
if [[ ! $base ]]; then
  oldest='' usable=''
  while read -r id; do
    ended_at="$(base_fact "$id" ended_at)"
    oldest="${oldest:-$ended_at}"
    [[ $target != latest && $ended_at > $target ]] || usable="$id"
  done < <(base_backups)
  [[ $oldest ]] || fail "no base backup in $BACKUP_DIR/base; make one with deployment/scripts/base-backup.sh"
  [[ $usable ]] || fail "no base backup is old enough: the oldest ended at $oldest UTC, and $target lies before that"
  base="$usable"
elif [[ $target != latest && $(base_fact "$base" ended_at) > $target ]]; then
  fail "base backup $base ended at $(base_fact "$base" ended_at) UTC, and $target lies before that"
fi
copy="$BACKUP_DIR/base/$base/data"
pg_verifybackup --quiet --no-parse-wal "$copy" ||
  fail "base backup $base is damaged: it is not what its manifest says; nothing was changed. Take an older one with --base"
[[ $(program_state postgres-scratch) != RUNNING ]] ||
  fail 'the scratch server runs; when nobody needs it any more: supervisorctl stop postgres-scratch'

if [[ $target != latest ]] && primary="$(the_primary)"; then
  reached="$(ask "$(url_of "$primary")" "SELECT clock_timestamp() > '$target UTC'::timestamptz")"
  [[ $reached == t ]] || fail "$target UTC has not come yet"
fi
archive_now

# Every segment from the base backup's first one on, whatever its timeline, until one that was archived after TIME.
first="$(base_fact "$base" first_wal)"
archived="$(cd "$WAL_ARCHIVE_DIR" && find . -type f -name '????????????????????????' | cut -d / -f 2)"
[[ $archived ]] || fail "the archive $WAL_ARCHIVE_DIR is empty"
segment_bytes="$(wc -c <"$WAL_ARCHIVE_DIR/$(head -n 1 <<<"$archived")" | tr -d ' ')"
before_gap="$(printf '%s\n' "$first" "$archived" | cut -c 9- | sort -u | awk -v first="${first:8}" -v per=$((4294967296 / segment_bytes)) '
  function hex(text,   i, n) { for (i = 1; i <= length(text); i++) n = n * 16 + index("0123456789ABCDEF", substr(text, i, 1)) - 1; return n }
  $0 < first { next }
  { number = hex(substr($0, 1, 8)) * per + hex(substr($0, 9)) }
  last != "" && number != expected { print last; exit }
  { last = $0; expected = number + 1 }')"
if [[ $before_gap ]]; then
  reaches="$(find "$WAL_ARCHIVE_DIR" -name "????????$before_gap" -newermt "$target UTC" 2>/dev/null || true)"
  [[ $target != latest && $reaches ]] ||
    fail "the archive has a gap after ????????$before_gap: $target cannot be reached from base backup $base; nothing was changed"
fi

umask 077
mkdir -p "$SCRATCH_DATABASE_DIR"
find "$SCRATCH_DATABASE_DIR" -mindepth 1 -delete
tar -xzf "$copy/base.tar.gz" --no-same-owner -C "$SCRATCH_DATABASE_DIR"
tar -xzf "$copy/pg_wal.tar.gz" --no-same-owner -C "$SCRATCH_DATABASE_DIR/pg_wal"
{
  echo "# written by restore-to-time.sh"
  echo "archive_mode = off" # it must never write into the archive of the live ones
  echo "restore_command = 'cp \"$WAL_ARCHIVE_DIR/%f\" \"%p\"'"
  if [[ $target != latest ]]; then
    echo "recovery_target_time = '$target UTC'"
    echo "recovery_target_inclusive = off"
    # Not `pause`: what the transaction at TIME had locked by then would stay locked for every reader.
    echo "recovery_target_action = promote"
  fi
} >>"$SCRATCH_DATABASE_DIR/postgresql.auto.conf"
touch "$SCRATCH_DATABASE_DIR/recovery.signal"
rm -f "$SCRATCH_DATABASE_DIR/standby.signal"
chmod 700 "$SCRATCH_DATABASE_DIR"
give "$SCRATCH_DATABASE_DIR" "$WAL_ARCHIVE_DIR"

# recovered: it has replayed up to TIME (or, for latest, to the end of the archive), and ended that.
recovered() {
  [[ $(state_of "$SCRATCH_DATABASE_URL") == primary ]]
}

supervisorctl start postgres-scratch >/dev/null || true # one that ends at once is found below, with its reason
deadline=$((SECONDS + ${RECOVERY_S:-3600}))
until recovered; do
  state="$(program_state postgres-scratch)"
  if [[ $state != RUNNING && $state != STARTING ]] || ((SECONDS > deadline)); then
    log="$(supervisorctl tail -6000 postgres-scratch)"
    supervisorctl stop postgres-scratch >/dev/null || true # so that it is not started again and again
    case "$log" in
      *'recovery ended before configured recovery target was reached'*)
        last="$(sed -n 's/.*last completed transaction was at log time //p' <<<"$log" | tail -n 1)"
        fail "the archive ends before $target UTC${last:+; the last commit in it was at $last}. Ask for an earlier time, or for latest"
        ;;
    esac
    fail "the scratch server is $state and has not reached $target; its log ends:
$(tail -n 12 <<<"$log")"
  fi
  sleep 0.1
done
last="$(ask "$SCRATCH_DATABASE_URL" \
  "SELECT to_char(pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")"
echo "recovered to ${last:-$(base_fact "$base" ended_at)} from base backup $base"
