#!/usr/bin/env bash
# Make the standby the primary, and see to it that there is only one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/promote.sh [--planned]

Of the two servers, $DATABASE_URL (program postgres) and $REPLICA_DATABASE_URL (program postgres-replica), the standby becomes
the primary. Which is which is asked, so that it works in both directions.

Without --planned the old primary must be down, and the script refuses while it answers. It is then fenced: stopped in the
supervisor, and marked so that it would come up as a standby if somebody started it.
  --planned  the old primary is well: stop it in good order, wait until the standby has all of it, then promote; nothing is
             lost. When the standby does not get everything within 60 s, the old primary is started again.

Afterwards: deployment/scripts/rejoin.sh primary|replica makes the fenced server a standby.

Prints, last (unknown when the old primary's files are gone or cannot be read; its WAL says what the standby never got):
  promoted <program>, <bytes> bytes behind
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

planned=no
case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  --planned) planned=yes ;;
  ?*) usage >&2 && exit 2 ;;
esac
(($# < 2)) || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
need_servers pg_controldata pg_waldump

first="$(state_of "$DATABASE_URL")" second="$(state_of "$REPLICA_DATABASE_URL")"
states="primary's place: $first, replica's place: $second"
case "$first $second" in
  'primary primary') fail "two primaries ($states): stop the one that the service does not use, then rejoin.sh it" ;;
  'standby standby') fail "two standbys ($states) and no primary: start the one that was primary last" ;;
  'standby '*) standby=primary ;;
  *' standby') standby=replica ;;
  *) fail "there is no standby to promote ($states)" ;;
esac
old="$(other_of "$standby")"
old_state="$(state_of "$(url_of "$old")")"
program="$(program_of "$old")" directory="$(directory_of "$old")"
case "$planned $old_state" in
  'no down' | 'yes primary') ;;
  'no primary') fail "$program still answers and is writable; to switch over without loss say --planned" ;;
  'no starting') fail "$program is starting or stopping; wait for it, or stop it: supervisorctl stop $program" ;;
  'yes '*) fail "$program is no primary that could be stopped in good order ($states); without --planned when it is lost" ;;
  *) fail "$program answers, but not to us ($states): it may be writable; look at it before anything else" ;;
esac

on_standby() { ask "$(url_of "$standby")" "$1"; }
control() { pg_controldata "$directory" | sed -n "s/^$1: *//p"; }

# has_all LSN: the standby has replayed the record that begins there.
has_all() {
  local answer
  answer="$(on_standby "SELECT pg_last_wal_replay_lsn() > '$1'")" && [[ $answer == t ]]
}

# missing: bytes of WAL in the old primary's files beyond what the standby got.
missing() {
  local got timeline redo from last
  if [[ ! -d $directory/pg_wal ]] || ! timeline="$(control "Latest checkpoint's TimeLineID")" || [[ ! $timeline ]]; then
    echo unknown && return
  fi
  got="$(on_standby 'SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())')"
  redo="$(control "Latest checkpoint's REDO location")"
  from="$(on_standby "SELECT least('$redo'::pg_lsn, '$got'::pg_lsn)")"
  # It ends with an error at the end of the WAL, always. From there on the checkpoint's own record is there: nothing printed
  # means that the files cannot be read, not that nothing is missing.
  last="$(pg_waldump --path="$directory/pg_wal" --timeline="$timeline" --start="$from" 2>/dev/null | tail -n 1 |
    sed -n 's/.*len (rec\/tot): *[0-9]*\/ *\([0-9]*\),.* lsn: \([0-9A-F/]*\),.*/\2 \1/p')" || true
  [[ $last ]] || { echo unknown && return; }
  on_standby "SELECT ceil(greatest(pg_wal_lsn_diff('${last% *}', '$got') + ${last#* }, 0))"
}

if [[ $planned == yes ]]; then
  streaming="$(ask "$(url_of "$old")" \
    "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> 'pg_basebackup'")"
  ((streaming)) || fail "the standby does not stream from $program; mend that first: deployment/scripts/rejoin.sh $standby"
  ask "$(url_of "$old")" CHECKPOINT >/dev/null # so that the stop is short
fi
stop_program "$program"
[[ $(state_of "$(url_of "$old")") == down ]] || fail "$program was stopped, and something still answers there; not promoted"
if [[ $planned == yes ]]; then
  end="$(control 'Latest checkpoint location')"
  if [[ $(control 'Database cluster state') != 'shut down' ]] || ! wait_until 60 has_all "$end"; then
    start_program "$program"
    fail "the standby did not get everything up to $end; $program was started again, nothing has changed"
  fi
fi
behind="$(missing)" # measured in the files of the old one, also when nothing may be missing
if [[ -d $directory ]]; then
  touch "$directory/standby.signal"
  give "$directory/standby.signal" "$directory"
fi
echo "fenced $program"

answer="$(on_standby 'SELECT pg_promote(true, 60)')"
[[ $answer == t && $(state_of "$(url_of "$standby")") == primary ]] ||
  fail "$(program_of "$standby") is not writable after 60 s; look at: supervisorctl tail $(program_of "$standby")"
echo "promoted $(program_of "$standby"), $behind bytes behind"
