#!/usr/bin/env bash
# Attack our own staging stack, within bounds, and say whether each guard has held.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/attack.sh COMMAND …

  race [COUNT]              COUNT (default 20) ask at once to be the first user; there must be no user yet
  accounts                  make the accounts ada, bob and eve; the first user if there is none, else with ada's session
  inject [--class NAME] [--payloads FILE]
                            send every payload of FILE (default deployment/security/payloads.toml) to every place that
                            takes a text; nothing may be executed, and no answer may tell about our insides
  forge                     change ada's session cookie in many ways; none may get in
  sign-ins [COUNT]          bob signs in COUNT times (default 24), eight at once, then signs out of one session COUNT times at once
  keys [COUNT]              bob makes COUNT API keys at once (default 100)
  delete-while-read         eight readers use a key of bob's while he deletes it
  others                    eve, with a session and with a key, and somebody unknown try to see what bob has started
  cross-site                requests with ada's session as another site would make a browser send them
  guess [COUNT]             COUNT (default 30) wrong passwords for eve, then the right one
  secrets [FOLDER …]        look for every secret that these commands made, and for those of $SERVICE_ENV, in $STACK_DIR/logs,
                            in the FOLDERs, and in the command lines of the stack's programs ($SUPERVISOR_CONF), else of all

Each prints what it did and found, in lines of a fixed form; what has not held is named on standard error. $API_URL must be
an address of this machine (127.0.0.0/8, ::1 or localhost): nothing else is ever attacked. Every command is bounded in
count, and a request takes 30 s at most. Names, passwords and keys are random, and kept in $STACK_DIR/attack for you alone.

Exit status: 0 every guard has held, 1 one has not, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
for name in API_URL STACK_DIR; do
  [[ ${!name:-} ]] && continue
  echo "attack.sh: $name is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
done
if ! command -v python3 >/dev/null; then
  echo 'attack.sh: python3 (3.11 or newer) is not on PATH; apt-get install python3' >&2
  exit 2
fi
PYTHONPATH=deployment/scripts PYTHONDONTWRITEBYTECODE=1 exec python3 -m attack "$@"
