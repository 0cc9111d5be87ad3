#!/usr/bin/env bash
# Deploy a release to all replicas, one after the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/deploy.sh RELEASE

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on. The database must have been
migrated for it (deployment/scripts/migrate.sh RELEASE). Each replica in turn drains, stops, is pointed to the release and
started; the next one follows only when this one is healthy, says that it runs the release, and gets requests from the load
balancer. Stops at the first that does not get there, leaving the others as they were. Running it again goes on from there.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60).
Prints, last:
  deployed <release> on <n> replicas
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
release="$(find_release "$1")"
lock_replicas
refuse_unmigrated "$release" "$1"
refuse_drained
note_change
deployed="$(cat "$REPLICAS_DIR/.deployed")"
if [[ $deployed != "$release" ]]; then
  echo "$deployed" >"$REPLICAS_DIR/.previous"
fi
roll_to "$release" || say_and_exit 1 "$release is not deployed; go back with: deployment/scripts/rollback.sh"
echo "$release" >"$REPLICAS_DIR/.deployed"
echo "deployed $release on $(count_replicas) replicas"
