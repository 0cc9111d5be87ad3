#!/usr/bin/env bash
# Say whether a release consists of what its lock says, unaltered, and of nothing that does not fit together.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/dependencies.sh RELEASE [--left-out NAME]…

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on. Compares, offline, what is installed there
  with the lock in deployment/releases: each package in the pinned version, and no other;
  with the hashes that came with the packages: every file as it was installed;
  with what the packages say that they need. --left-out: what the lock leaves out on purpose.
Prints:
  lock: <n> packages, <n> differ
  files: <n> unaltered, <n> altered or missing
  requirements: <n> met, <n> not met, <n> left out
It asks no database of known vulnerabilities: pip-audit does. Changes nothing.
Exit status: 0 all is as it should be, 1 something differs (it is named), 2 wrong usage or something missing.
TEXT
}

release='' left_out=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --left-out)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      left_out+=("$2") && shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *)
      [[ ! $release ]] || { usage >&2 && exit 2; }
      release="$1"
      ;;
  esac
  shift
done
[[ $release ]] || { usage >&2 && exit 2; }
if [[ ! ${RELEASES_DIR:-} ]]; then
  echo "dependencies.sh: RELEASES_DIR is not set; take it from 'deployment/staging/stack env'" >&2
  exit 2
fi
found=("$RELEASES_DIR/$release"/bin/python "$RELEASES_DIR"/*+ia"$release"/bin/python)
for python in "${found[@]}"; do
  [[ -x $python ]] && break
done
if [[ ! -x $python ]]; then
  echo "dependencies.sh: $RELEASES_DIR has no release $release" >&2
  exit 2
fi
folder="$(dirname "$(dirname "$python")")"
lock="deployment/releases/ia-modules-${folder##*+ia}.txt"
if [[ ! -f $lock ]]; then
  echo "dependencies.sh: there is no lock $lock" >&2
  exit 2
fi
# -I: nothing of this folder or of the environment may stand in for what is installed.
exec "$python" -I deployment/scripts/dependencies.py "$lock" ${left_out[@]+"${left_out[@]}"}
