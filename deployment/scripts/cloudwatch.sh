#!/usr/bin/env bash
# What CloudWatch has added up.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/cloudwatch.sh NAMESPACE METRIC [--minutes N]

Prints the sum of a metric over the last N minutes (default 60) for each combination of its dimensions, as
`<name>=<value> … <sum>`. Credentials, region and, for another server than Amazon's, AWS_ENDPOINT_URL come from the environment,
as for the `aws` command.

Exit status: 0 it answered, 1 it did not, or refused, 2 wrong usage or something missing.
TEXT
}

minutes=60 given=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --minutes)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
      minutes="$2"
      shift
      ;;
    -*) usage >&2 && exit 2 ;;
    *) given+=("$1") ;;
  esac
  shift
done
((${#given[@]} == 2)) || { usage >&2 && exit 2; }
# A release has Amazon's library, which knows all the ways to give credentials.
for current in "${REPLICAS_DIR:-}"/*/current/bin/python; do
  if [[ -x $current ]]; then
    exec "$current" deployment/scripts/cloudwatch.py "${given[@]}" "$minutes"
  fi
done
echo "cloudwatch.sh: no release in REPLICAS_DIR; take it from 'deployment/staging/stack env'" >&2
exit 2
