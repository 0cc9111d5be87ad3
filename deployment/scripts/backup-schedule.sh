#!/usr/bin/env bash
# Back the database up again and again, and remove old backups.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/backup-schedule.sh

Runs for ever, under a supervisor: every BACKUP_EVERY seconds (default 3600) backup.sh, then prune.sh --keep BACKUP_KEEP
(default 24). Both are read from $STACK_DIR/conf/backup-schedule.env, NAME=value lines, when that file is there, before every
round; SIGHUP begins a new round of waiting with what it says now. The first backup comes one interval after the start. A
backup that fails is logged, and tried again in the next round. When $METRICS_DIR is set, backup-schedule.prom there says the
interval to the node exporter. What is backed up is the primary, $DATABASE_URL or, after a
failover, $REPLICA_DATABASE_URL. Where cron is at hand, a line of cron does the same.
Exit status: 0 stopped, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given DATABASE_URL BACKUP_DIR
need psql pg_dump pg_isready

now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

# setting NAME DEFAULT: a whole number above zero from the file, which is read as data, not run.
setting() {
  local value=''
  if [[ -f ${STACK_DIR:-}/conf/backup-schedule.env ]]; then
    value="$(sed -n "s/^$1=['\"]\{0,1\}\([0-9]*\)['\"]\{0,1\}$/\1/p" "$STACK_DIR/conf/backup-schedule.env" | tail -n 1)"
  fi
  [[ $value =~ ^[1-9][0-9]*$ ]] && echo "$value" || echo "$2"
}

# publish SECONDS: renamed into place, so that the exporter never reads half of it; it may run as another user than we do.
publish() {
  local new="$METRICS_DIR/.backup-schedule.prom.$$"
  printf '%s\n' '# TYPE ia_backup_schedule_interval_seconds gauge' "ia_backup_schedule_interval_seconds $1" >"$new"
  chmod 644 "$new"
  mv "$new" "$METRICS_DIR/backup-schedule.prom"
}

waiting=''
trap '[[ ! $waiting ]] || kill "$waiting" 2>/dev/null; echo "$(now) stopped"; exit 0' TERM INT
trap '[[ ! $waiting ]] || kill "$waiting" 2>/dev/null; again=yes' HUP
while :; do
  again=no
  every="$(setting BACKUP_EVERY 3600)" keep="$(setting BACKUP_KEEP 24)"
  echo "$(now) the next backup is in $every s; $keep are kept"
  [[ ! ${METRICS_DIR:-} ]] || publish "$every"
  sleep "$every" &
  waiting=$!
  wait "$waiting" || true # a signal ends the wait; which one it was, its trap has noted
  waiting=''
  [[ $again == no ]] || continue
  if server="$(the_primary)"; then
    url="$(url_of "$server")"
    if DATABASE_URL="$url" deployment/scripts/backup.sh && deployment/scripts/prune.sh --keep "$keep"; then
      continue
    fi
  else
    echo "$(now) there is no primary, or there are two" >&2
  fi
  echo "$(now) the backup failed, see above; the next round tries again" >&2
done
