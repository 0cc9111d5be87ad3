#!/usr/bin/env bash
# Keep the record of an incident, and make from it what others need to read.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/incident.sh COMMAND …

  open SEVERITY TITLE --impact TEXT [--id ID] [--commander NAME] [--operations NAME] [--communications NAME]
       [--scribe NAME]         declare an incident of severity 1 to 4; keeps which alerts fire
  began ID TIME TEXT           say when it began, and how you know
  acknowledged ID TIME TEXT    say when somebody took the page; without it the declaration counts
  note ID TEXT [--at TIME]     write down what was seen, decided or done
  severity ID SEVERITY TEXT    change the severity, with the reason
  status ID STATUS TEXT        investigating, identified, mitigated or resolved
  message ID KIND [--text TEXT]  KIND is first, update or resolved: print the text for the status page, and keep it
  handover ID --to NAME [--text TEXT]  make NAME the commander, and print what NAME must know
  close ID TEXT                only when it is resolved and no alert fires
  list                         the incidents that are not closed
  timeline ID                  all that happened, in order, as Markdown
  times ID                     time to detect, to acknowledge, to mitigate, to resolve
  post-mortem ID               all of this as a page to be completed

Every command takes --by NAME (default: your login name). TIME is UTC, 2026-11-26T03:12:00Z, or seconds since the epoch.

The record is $INCIDENTS_DIR/ID/timeline.jsonl (default $STACK_DIR/incidents): one JSON document a line, with its time,
only ever added to. Timelines also hold the alerts, as they were delivered ($NOTIFICATIONS) or else as Prometheus saw them
($PROMETHEUS_URL), and which release ran when. What cannot be asked is named as missing. Declaring silences nothing.

Prints, last:  incident <id> is open, severity <n>   or what the command is called for
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
if [[ ! ${INCIDENTS_DIR:-} ]]; then
  if [[ ! ${STACK_DIR:-} ]]; then
    echo "incident.sh: neither INCIDENTS_DIR nor STACK_DIR is set; take STACK_DIR from 'deployment/staging/stack env'" >&2
    exit 2
  fi
  export INCIDENTS_DIR="$STACK_DIR/incidents"
fi
if ! command -v python3 >/dev/null; then
  echo 'incident.sh: python3 (3.11 or newer) is not on PATH; apt-get install python3' >&2
  exit 2
fi
PYTHONPATH=deployment/scripts PYTHONDONTWRITEBYTECODE=1 exec python3 -m incident "$@"
