# shellcheck shell=bash
# Sourced by the scripts that work on whole database servers: which of the two is the primary, how one is stopped and started.
# `primary` and `replica` name servers by place ($DATABASE_URL, $REPLICA_DATABASE_URL); who is primary now is asked, not assumed.

# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
export LC_ALL=C # names and times are compared and sorted as bytes, whoever calls

fail() {
  echo "${0##*/}: $1" >&2
  exit "${2:-1}"
}

say() {
  echo "${0##*/}: $1"
}

need_servers() {
  given DATABASE_URL REPLICA_DATABASE_URL DATABASE_DIR REPLICA_DATABASE_DIR
  need psql pg_isready supervisorctl "$@"
}

other_of() { [[ $1 == primary ]] && echo replica || echo primary; }
url_of() { [[ $1 == primary ]] && echo "$DATABASE_URL" || echo "$REPLICA_DATABASE_URL"; }
directory_of() { [[ $1 == primary ]] && echo "$DATABASE_DIR" || echo "$REPLICA_DATABASE_DIR"; }
program_of() { [[ $1 == primary ]] && echo postgres || echo postgres-replica; }

# ask URL SQL: one answer of the server, whichever database of it exists; a server that is silent for 3 s has not answered.
ask() {
  (
    connect_to "$1"
    export PGCONNECT_TIMEOUT=3
    query postgres -c "$2"
  )
}

# state_of URL: primary (writable), standby, starting (or stopping), down, or refuses (it answers, but not to us).
state_of() {
  local answer status=0
  (connect_to "$1" && pg_isready --quiet --timeout=3) || status=$?
  case "$status" in
    0) ;;
    1) echo starting && return ;;
    *) echo down && return ;;
  esac
  answer="$(ask "$1" 'SELECT pg_is_in_recovery()' 2>/dev/null)" || answer=refuses
  case "$answer" in
    t) echo standby ;;
    f) echo primary ;;
    *) echo refuses ;;
  esac
}

# the_primary: the server that is writable now; fails when there is none, or two.
the_primary() {
  local first second
  first="$(state_of "$DATABASE_URL")"
  second="$([[ ${REPLICA_DATABASE_URL:-} ]] && state_of "$REPLICA_DATABASE_URL" || echo missing)"
  case "$first $second" in
    'primary primary') return 1 ;;
    'primary '*) echo primary ;;
    *' primary') echo replica ;;
    *) return 1 ;;
  esac
}

# archive_now: bring what the primary has written so far into the archive: a WAL segment goes there only when it is full or
# closed. Nothing to do when no primary answers.
archive_now() {
  local primary url segment
  if ! primary="$(the_primary)"; then
    say 'no primary answers: what it had not archived yet is not in the archive' >&2
    return
  fi
  url="$(url_of "$primary")"
  # A transaction of its own: replay knows that it has reached a time only by a commit after it.
  ask "$url" 'SELECT pg_current_xact_id()' >/dev/null
  segment="$(ask "$url" 'SELECT pg_walfile_name(pg_switch_wal())')"
  wait_until 60 test -f "$WAL_ARCHIVE_DIR/$segment" ||
    fail "the primary does not archive: $segment is not in $WAL_ARCHIVE_DIR after 60 s; see pg_stat_archiver"
}

# wait_until SECONDS COMMAND…: poll until the command succeeds; fails after that time.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# program_state NAME: what the supervisor says: RUNNING, STOPPED, FATAL …
program_state() {
  # Its exit status is 3 for a program that does not run, which is an answer too.
  supervisorctl status "$1" | awk '{ print $2 }' || [[ $? == 3 ]]
}

# stop_program NAME: it does not run, and the supervisor does not start it again.
stop_program() {
  local state
  supervisorctl stop "$1" >/dev/null || true # "not running" is an error to it; what counts is the state
  state="$(program_state "$1")"
  [[ $state == STOPPED || $state == FATAL ]] || fail "the supervisor could not stop $1: it is $state"
}

# start_program NAME: asked to; whether the server answers is the caller's to see.
start_program() {
  supervisorctl start "$1" >/dev/null || fail "the supervisor could not start $1:
$(supervisorctl tail -2000 "$1" | tail -n 10)"
}

# give PATH DIRECTORY: PATH gets the owner of DIRECTORY, the user that the server runs as; nothing to do unless we are root.
give() {
  ((EUID == 0)) || return 0
  chown -R "$(owner_of "$2")" "$1"
}

owner_of() {
  # shellcheck disable=SC2012 # stat differs between systems, and the name is not parsed
  ls -ldn "$1" | awk '{ print $3 ":" $4 }'
}

# base_backups: the ids in $BACKUP_DIR/base, the oldest first; ids begin with their time.
base_backups() {
  [[ -d $BACKUP_DIR/base ]] || return 0
  (cd "$BACKUP_DIR/base" && find . -mindepth 2 -maxdepth 2 -name base.json -not -path './.partial-*' | cut -d / -f 2 | sort)
}

# base_fact ID NAME: a value of base.json.
base_fact() {
  sed -n "s/^  \"$2\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$BACKUP_DIR/base/$1/base.json"
}

# dumps: the ids in $BACKUP_DIR, the oldest first.
dumps() {
  (cd "$BACKUP_DIR" && find . -mindepth 2 -maxdepth 2 -name manifest.json -not -path './.partial-*' | cut -d / -f 2 | sort)
}

# dump_is_good ID: it is, byte for byte, what was written.
dump_is_good() {
  local wanted
  wanted="$(sed -n 's/^  "sha256": "\([0-9a-f]*\)".*/\1/p' "$BACKUP_DIR/$1/manifest.json")"
  [[ $wanted && -f $BACKUP_DIR/$1/database.dump && $(sha256_of "$BACKUP_DIR/$1/database.dump") == "$wanted" ]]
}
