#!/usr/bin/env bash
# Replace a secret without downtime.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/rotate.sh redis

Gives Redis (or Valkey) a new password, in this order, so that nobody is locked out at any moment:
  1. the new password is valid beside the old one;
  2. the replicas get it (REDIS_URL in $SERVICE_ENV) and are restarted one after the other; a replica that does not come up
     ends it here: everything is put back, and the new password is forgotten;
  3. Redis' exporter gets it (REDIS_PASSWORD in $SUPERVISOR_CONF) and is restarted;
  4. the new one is written into the server's own configuration file, so that it survives a restart;
  5. the old one is removed, and connections that were opened before the rotation are closed;
  6. the server refuses the old one, and every replica is healthy.
The secret is never on a command line or in the output. Afterwards it is in those three files only: keep your secret store in
step.

Environment: NEW_PASSWORD, the password to use, at least 16 of A-Z a-z 0-9 _ - (default: one made up); HEALTHY_S, how long a
replica may take to become healthy (default 60).
Prints, last:
  rotated the password of redis: <n> replicas use the new one, the old one is refused
Exit status: 0 done, 1 failed or put back, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  redis) ;;
  *) usage >&2 && exit 2 ;;
esac
(($# == 1)) || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
# shellcheck source=deployment/scripts/configuration.sh
source deployment/scripts/configuration.sh
need_stack
need_variables SERVICE_ENV SUPERVISOR_CONF
for file in "$SERVICE_ENV" "$SUPERVISOR_CONF"; do
  [[ -w $file ]] || say_and_exit 2 "$file cannot be written"
done

url="$(configured REDIS_URL)"
[[ $url =~ ^redis://([^:@/]*):([^@/]+)@([^:/]+)(:([0-9]+))?(/.*)?$ ]] ||
  say_and_exit 2 "REDIS_URL in $SERVICE_ENV is not like redis://:password@host:port/0"
user="${BASH_REMATCH[1]:-default}" old="${BASH_REMATCH[2]}" host="${BASH_REMATCH[3]}" port="${BASH_REMATCH[5]:-6379}"
path="${BASH_REMATCH[6]}"
[[ $user == default ]] || say_and_exit 2 "REDIS_URL names the user $user; this script knows the default user only"
[[ $old != *%* ]] || old="$(printf '%b' "${old//%/\\x}")"
new="${NEW_PASSWORD:-$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')}"
[[ $new =~ ^[A-Za-z0-9_-]{16,}$ ]] || say_and_exit 2 "NEW_PASSWORD must have at least 16 of A-Z a-z 0-9 _ -"
[[ $new != "$old" ]] || say_and_exit 2 "NEW_PASSWORD is the password that is in use"

# ask WORD…: one command to the server on descriptor 9, and its answer. Built into the shell: a client program would have
# the password among its arguments.
ask() {
  local LC_ALL=C word
  printf '*%d\r\n' $# >&9
  for word in "$@"; do
    printf '$%d\r\n%s\r\n' "${#word}" "$word" >&9
  done
  answer
}

answer() {
  local LC_ALL=C line count text
  IFS= read -r -t 10 line <&9 || { echo "Redis does not answer" >&2 && return 1; }
  line="${line%$'\r'}"
  case "$line" in
    [+:]*) echo "${line:1}" ;;
    -*) echo "Redis: ${line:1}" >&2 && return 1 ;;
    '$-1' | '*-1') ;;
    '$'*)
      IFS= read -r -t 10 -N $((${line:1} + 2)) text <&9
      printf '%s\n' "${text%$'\r\n'}"
      ;;
    '*'*)
      for ((count = ${line:1}; count > 0; count--)); do
        answer || return 1
      done
      ;;
    *) echo "Redis says something else than expected" >&2 && return 1 ;;
  esac
}

# lets_in PASSWORD: on a connection of its own.
lets_in() (
  exec 9<>"/dev/tcp/$host/$port" || exit 1
  ask AUTH "$1" >/dev/null 2>&1
)

lock_replicas
refuse_drained
{ exec 9<>"/dev/tcp/$host/$port"; } 2>/dev/null || say_and_exit 1 "Redis does not answer at $host:$port"
ask AUTH "$old" >/dev/null || say_and_exit 1 "Redis refuses the password of $SERVICE_ENV; nothing was changed"
file="$(ask INFO server | sed -n 's/^config_file://p' | tr -d '\r')"
if [[ ! -w $file ]] || ! grep -q '^requirepass ' "$file"; then
  say_and_exit 2 "the server's configuration file, with its requirepass, must be here to be changed; it is '$file'"
fi

# Invoked through $undo.
# shellcheck disable=SC2317
forget_new() {
  undo=''
  if [[ $environment_before ]]; then
    put_environment_back || return 1
  fi
  # Sets the one password that is valid: the old one alone again.
  ask CONFIG SET requirepass "$old" >/dev/null && echo "redis: the new password is forgotten"
}

begun=$SECONDS
ask ACL SETUSER default ">$new" >/dev/null
undo=forget_new
lets_in "$new" || say_and_exit 1 "Redis does not accept the new password"
echo "redis: a new password is valid beside the old one"

environment="$(changed "$(cat "$SERVICE_ENV")" REDIS_URL "redis://:$new@$host:$port$path")"
check_environment "$environment" || say_and_exit 1 "the service does not accept the new REDIS_URL"
apply_environment "$environment"
# From here on only forwards: the replicas use the new one, and both are valid until the end.
undo=''

supervised="$(cat "$SUPERVISOR_CONF")"
if [[ $supervised == *"REDIS_PASSWORD=\"$old\""* ]]; then
  replace_file "$SUPERVISOR_CONF" "${supervised//"REDIS_PASSWORD=\"$old\""/"REDIS_PASSWORD=\"$new\""}"
  supervisorctl reread >/dev/null
  supervisorctl update valkey-exporter >/dev/null
  echo "valkey-exporter: restarted with the new password"
else
  echo "rotate.sh: no exporter with the old password in $SUPERVISOR_CONF; nothing was changed there" >&2
fi

settings=''
while IFS= read -r line; do
  [[ $line != 'requirepass '* ]] || line="requirepass $new"
  settings+="$line"$'\n'
done <"$file"
replace_file "$file" "${settings%$'\n'}"

ask CONFIG SET requirepass "$new" >/dev/null
age=$((SECONDS - begun))
closed=0
# One question after the other: two at once on the one connection would take each other's answers.
own="$(ask CLIENT ID)"
clients="$(ask CLIENT LIST)"
before="$(tr ' ' '\n' <<<"$clients" | awk -F = -v age="$age" -v own="$own" '
  $1 == "id" { id = $2 } $1 == "age" && $2 > age && id != own { print id }')"
for id in $before; do # a word for each
  # 0 when it has gone by itself meanwhile.
  killed="$(ask CLIENT KILL ID "$id")"
  closed=$((closed + killed))
done
echo "redis: the old password is removed, $closed connections from before are closed"

if lets_in "$old"; then
  say_and_exit 1 "Redis still accepts the old password"
fi
lets_in "$new" || say_and_exit 1 "Redis does not accept the new password any more"
while read -r replica; do
  wait_for "$replica" "$(release_of "$replica")" || say_and_exit 1 "service-$replica is not healthy with the new password"
done < <(replicas)
echo "rotated the password of redis: $(count_replicas) replicas use the new one, the old one is refused"
