#!/usr/bin/env bash
# Make an API key for a program.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/api-key.sh USER NAME [--into FILE] [--lifetime SECONDS]

Signs in as USER at $API_URL with the password from the first line of standard input, makes an API key called NAME, writes it
into FILE (default $STACK_DIR/api-key), which only its owner can read, and signs out. Neither password nor key is printed or
stands in a command line. FILE is replaced when it is there; the key that was in it stays valid until it is deleted.

Prints:
  <prefix> of <user> is in <file>
Exit status: 0 done, 1 refused or not answered, 2 wrong usage or something missing.
TEXT
}

file="${STACK_DIR:+$STACK_DIR/api-key}" lifetime='' given=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --into | --lifetime)
      [[ ${2:-} ]] || { usage >&2 && exit 2; }
      if [[ $1 == --into ]]; then file="$2"; else lifetime="$2"; fi
      shift
      ;;
    -*) usage >&2 && exit 2 ;;
    *) given+=("$1") ;;
  esac
  shift
done
((${#given[@]} == 2)) && [[ ! $lifetime || $lifetime =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
missing() {
  echo "api-key.sh: $1" >&2
  exit 2
}
[[ ${API_URL:-} ]] || missing "API_URL is not set; take it from 'deployment/staging/stack env'"
[[ $file ]] || missing 'neither --into nor STACK_DIR says where the key goes'
command -v python3 >/dev/null || missing 'python3 (3.11 or newer) is not on PATH; apt-get install python3'
exec python3 deployment/scripts/api_key.py "${given[@]}" "$file" "$lifetime"
