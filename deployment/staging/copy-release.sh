#!/usr/bin/env bash
# Make another release out of one that is there, in no time: what staging has to deploy when nothing new was built.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/copy-release.sh NAME [--from RELEASE]

Makes the release NAME in $RELEASES_DIR: it says NAME at /version and has its own copy of the service; the libraries it
shares with RELEASE, a folder of $RELEASES_DIR (default: the one that is deployed). Remove the folder when nothing runs from
it any more.

Prints:
  release <name> is a copy of <release>
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

fail() {
  echo "${0##*/}: $2" >&2
  exit "$1"
}

name='' from=''
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --from)
      from="${2:-}"
      [[ $from ]] || fail 2 '--from needs a release'
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *)
      [[ ! $name ]] || { usage >&2 && exit 2; }
      name="$1"
      ;;
  esac
  shift
done
[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9.+_-]*$ ]] || { usage >&2 && exit 2; }
for variable in RELEASES_DIR REPLICAS_DIR; do
  [[ ${!variable:-} ]] || fail 2 "$variable is not set; take it from 'deployment/staging/stack env'"
done
from="${from:-$(cat "$REPLICAS_DIR/.deployed")}"
source="$RELEASES_DIR/$from"
[[ -x $source/bin/ia-service ]] || fail 2 "no release $from in $RELEASES_DIR"
target="$RELEASES_DIR/$name"
[[ ! -e $target ]] || fail 1 "$target is there already; remove it when nothing runs from it"

source="$(cd "$source" && pwd -P)"
partial="$(mktemp -d "$RELEASES_DIR/.partial-$name.XXXXXX")"
trap 'rm -rf "$partial"' EXIT
mkdir "$partial/bin"
cp -a "$source"/bin/python* "$partial/bin/"
cp "$source/pyvenv.cfg" "$partial/"
for packages in "$source"/lib/python*/site-packages; do
  own="$partial/${packages#"$source"/}"
  mkdir -p "$own"
  # Links to all but the service itself, which whoever wants another release changes.
  find "$packages" -mindepth 1 -maxdepth 1 -not -name ia_service -exec ln -s {} "$own/" \;
  cp -R "$packages/ia_service" "$own/"
done
sed "s|^\( *\"release\": \"\).*\(\",\)$|\1$name\2|" "$source/release.json" >"$partial/release.json"
cat >"$partial/bin/ia-service" <<TEXT
#!/bin/sh
exec "$RELEASES_DIR/$name/bin/python" -m ia_service "\$@"
TEXT
chmod 755 "$partial" "$partial/bin/ia-service"
mv "$partial" "$target"
said="$("$target/bin/ia-service" version)"
[[ $said == *"\"release\": \"$name\""* ]] || fail 1 "the copy does not say its name: $said"
echo "release $name is a copy of $from"
