#!/usr/bin/env bash
# Make a release with a bug that no health check sees.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
  cat <<'TEXT'
Usage: deployment/staging/faults/bad-release.sh NAME [--from RELEASE]

Makes the release NAME in $RELEASES_DIR, from RELEASE (default: the one that is deployed). It starts, is healthy, and says
NAME at /version. Every execution of the pipeline `transform` fails with a KeyError: a step was renamed what it reads, and
the step before it was not. Remove the folder when nothing runs from it any more.

Prints:
  release <name> is a copy of <release>, and its pipeline transform fails
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
made="$("$here/../copy-release.sh" "$@")"
for steps in "$RELEASES_DIR/$1"/lib/python*/site-packages/ia_service/steps.py; do
  good="$(cat "$steps")"
  bad="${good/'words = data["words"]'/'words = data["tokens"]'}"
  if [[ $bad == "$good" ]]; then
    rm -rf "${RELEASES_DIR:?}/$1"
    echo "bad-release.sh: $steps does not read data[\"words\"] any more; plant another bug" >&2
    exit 1
  fi
  # Not written in place: what has the same size and time as its compiled form would not be compiled again.
  rm -rf "${steps%/*}/__pycache__"
  printf '%s\n' "$bad" >"$steps"
done
echo "$made, and its pipeline transform fails"
