#!/usr/bin/env bash
# Make a user of the service behind its back, for tests that need one and may not be the first to ask.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/user.sh NAME

Makes the user NAME, or gives an existing one a new password: the first line of standard input. It writes into $DATABASE_URL
with the deployed release's own way to keep passwords. Nobody has to be admin for it, which is why it is for tests only:
everywhere else an admin asks the service, POST /api/users.

Prints:
  <name> can sign in
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  -* | '') usage >&2 && exit 2 ;;
esac
for variable in DATABASE_URL REPLICAS_DIR; do
  if [[ ! ${!variable:-} ]]; then
    echo "user.sh: $variable is not set; take it from 'deployment/staging/stack env'" >&2
    exit 2
  fi
done
hash="$("$REPLICAS_DIR/a/current/bin/python" -c 'import sys, argon2
print(argon2.PasswordHasher().hash(sys.stdin.readline().rstrip("\n")))')"
# On its standard input: what stands in a command line everybody can read.
psql -XqAt -v ON_ERROR_STOP=1 -v name="$1" "$DATABASE_URL" <<SQL
INSERT INTO users (name, password_hash, role) VALUES (:'name', '$hash', 'member')
ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash;
SQL
echo "$1 can sign in"
