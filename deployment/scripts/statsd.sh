#!/usr/bin/env bash
# What a StatsD has counted since it last passed its counts on.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/statsd.sh [TEXT]

Asks the StatsD at $STATSD_ADMIN_ADDRESS, its management port, for its counters, and prints those whose names hold TEXT, or all,
as `<name> <value>`. `statsd.bad_lines_seen` is how many it could not read.

Exit status: 0 it answered, 1 it did not, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -*) usage >&2 && exit 2 ;;
esac
if [[ ! ${STATSD_ADMIN_ADDRESS:-} ]]; then
  echo "statsd.sh: STATSD_ADMIN_ADDRESS is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
fi
if ! { exec 3<>"/dev/tcp/${STATSD_ADMIN_ADDRESS%:*}/${STATSD_ADMIN_ADDRESS##*:}"; } 2>/dev/null; then
  echo "statsd.sh: nobody answers at $STATSD_ADMIN_ADDRESS" >&2
  exit 1
fi
echo counters >&3
answer=()
while IFS= read -r -t 5 line <&3; do
  if [[ $line == END* ]]; then
    for each in ${answer[@]+"${answer[@]}"}; do
      if [[ $each =~ ^\ *\'?([^\':]+)\'?:\ ([0-9.e+-]+),?$ && ${BASH_REMATCH[1]} == *"${1:-}"* ]]; then
        echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
      fi
    done
    exit 0
  fi
  answer+=("$line")
done
echo "statsd.sh: what answers at $STATSD_ADMIN_ADDRESS is no StatsD" >&2
exit 1
