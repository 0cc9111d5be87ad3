#!/usr/bin/env bash
# Return all replicas to the release that ran before the last deploy.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/rollback.sh

Returns to the release before the last deployment, finished or not, the same way as deploy.sh: one replica after the
other, those that are broken first. The database stays as it is: migrations are made so that the release before them still
works. A second rollback in a row is refused: there is nothing recorded to return to. Where a gradual rollout ended half-way
and the shares are not even, the replicas on the old release first take all requests, and in the end all share them evenly.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60).
Prints, last:
  rolled back to <release> on <n> replicas
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
[[ -s $REPLICAS_DIR/.previous ]] || say_and_exit 1 "no previous release is recorded: nothing was deployed since the last rollback"
release="$(find_release "$(cat "$REPLICAS_DIR/.previous")")"
lock_replicas
note_change
if [[ $(balancer_says | cut -d ' ' -f 1,2 | tr ' ' = | sort | paste -sd ' ' -) == "$(even_words)" ]]; then
  go_back=roll_to
else
  go_back=put_back
fi
"$go_back" "$release" || say_and_exit 1 "$release is not back on every replica"
echo "$release" >"$REPLICAS_DIR/.deployed"
rm "$REPLICAS_DIR/.previous"
echo "rolled back to $release on $(count_replicas) replicas"
