#!/usr/bin/env bash
# Say who was told of an alert, and when.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'END'
Usage: deployment/scripts/notified.sh [--status firing|resolved | --open] [--by webhook|mail] [--since SECONDS] ALERT [TEXT]
       deployment/scripts/notified.sh --json [OPTION …] [ALERT [TEXT]]

Prints what arrived at staging's receivers ($NOTIFICATIONS and $MAILBOX) about the alert ALERT, oldest first, a line each:
  <time> <firing|resolved> <ALERT> by <webhook|mail> to </path|address>
In production, look into the channel and the mailbox instead. Changes nothing.

  --status  only notifications that it fires, or that it is resolved
  --open    only the last one to each receiver, if it says that the alert fires: nobody has told yet that it is over
  --by      only those that came this way
  --since   only what arrived at that second or later (seconds since 1970, as `date +%s` prints)
  --json    a JSON object a line instead, of every alert when none is named: at, alert, status, runbook_url, receiver;
            exit status 0 even when nothing arrived
  TEXT      only notifications that hold this text, such as a label's value
Exit status: 0 something arrived, 1 nothing did, 2 wrong usage or something missing.
END
}

options=() words=() json=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --status | --by | --since)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      options+=("$1=$2") && shift
      ;;
    --json) options+=("$1") json=1 ;;
    --open) options+=("$1") ;;
    -* | '') usage >&2 && exit 2 ;;
    *) words+=("$1") ;;
  esac
  shift
done
((${#words[@]} <= 2 && (${#words[@]} > 0 || ${json:-0}))) || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/database.sh
source deployment/scripts/database.sh
given NOTIFICATIONS MAILBOX
need python3
exec python3 deployment/scripts/notified.py ${options[@]+"${options[@]}"} ${words[@]+"${words[@]}"}
