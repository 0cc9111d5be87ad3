#!/usr/bin/env bash
# Rebuild a database server as the standby of the other one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/rejoin.sh primary|replica

Makes the server of $DATABASE_URL (primary) or of $REPLICA_DATABASE_URL (replica) a standby of the other one, which must be
the primary now: copies that one's files, puts them in place of its own, starts it, and waits until it streams. What it held
before stays beside its data directory, as <directory>.before-rejoin, until the next time: it may hold what was never
replicated. Nothing is touched before the copy is whole. Its settings, primary_conninfo among them, are its own: they are not
in the data directory, and not replaced. A server that streams already is left alone, and a writable one is
refused.

Prints, last:
  <program> streams from <program>, <bytes> bytes behind
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  primary | replica) (($# == 1)) || { usage >&2 && exit 2; } ;;
  *) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
need_servers pg_basebackup
server="$1" source="$(other_of "$1")"
program="$(program_of "$server")" directory="$(directory_of "$server")"
source_state="$(state_of "$(url_of "$source")")"
[[ $source_state == primary ]] || fail "$(program_of "$source") is $source_state, no primary that $program could follow"

# streams: bytes that it is behind, as the primary sees it.
streams() {
  local answer
  answer="$(ask "$(url_of "$source")" "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), coalesce(replay_lsn, sent_lsn))
    FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> 'pg_basebackup'")"
  [[ $answer ]] && behind="$answer"
}
done_with() {
  echo "$program streams from $(program_of "$source"), ${behind%.*} bytes behind"
}

behind=''
state="$(state_of "$(url_of "$server")")"
case "$state" in
  primary) fail "$program is writable, and so is $(program_of "$source"): two primaries. Find out which one the service used, and stop the other" ;;
  refuses) fail "$program answers, but not to us; look at it before its files are replaced" ;;
  standby)
    if streams; then
      done_with
      exit
    fi
    ;;
esac

copy="$directory.rejoining"
rm -rf "$copy"
trap 'rm -rf "$copy"' EXIT
(
  connect_to "$(url_of "$source")"
  export PGAPPNAME=pg_basebackup # monitoring tells it by that name from a standby
  pg_basebackup --pgdata="$copy" --wal-method=stream --checkpoint=fast
)
touch "$copy/standby.signal"
give "$copy" "$(directory_of "$source")"
stop_program "$program"
if [[ -d $directory ]]; then
  rm -rf "$directory.before-rejoin"
  mv "$directory" "$directory.before-rejoin"
fi
mv "$copy" "$directory"
start_program "$program"
wait_until 60 streams || fail "$program does not stream after 60 s; its log ends:
$(supervisorctl tail -2000 "$program" | tail -n 10)"
done_with
