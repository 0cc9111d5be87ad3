# shellcheck shell=bash
# shellcheck disable=SC2034 # `undo` is for rolling.sh
# Sourced by scripts that change the replicas' environment, after rolling.sh: the file, its check, and the rolling restart.

# quoted VALUE: as a shell reads it back.
quoted() {
  local mark="'" escaped="'\\''"
  printf "'%s'" "${1//$mark/$escaped}"
}

# configured NAME: its value in the replicas' environment, nothing when it is not set there.
configured() {
  # shellcheck source=/dev/null # whatever file the environment names
  (unset "$1" && source "$SERVICE_ENV" && printf '%s' "${!1:-}")
}

# changed TEXT NAME VALUE: the environment TEXT with NAME set to VALUE, or without it when VALUE is empty.
changed() {
  local line found=''
  while IFS= read -r line; do
    if [[ $line != "$2="* ]]; then
      printf '%s\n' "$line"
    elif [[ ! $found ]]; then
      found=yes
      [[ ! $3 ]] || printf '%s=%s\n' "$2" "$(quoted "$3")"
    fi
  done <<<"$1"
  [[ $found || ! $3 ]] || printf '%s=%s\n' "$2" "$(quoted "$3")"
}

# replace_file FILE TEXT: whole or not at all, with the mode that it has.
replace_file() {
  local new
  new="$(mktemp "$1.XXXXXX")"
  cp -p "$1" "$new"
  printf '%s\n' "$2" >"$new"
  mv "$new" "$1"
}

# check_environment TEXT: every release that runs must accept it.
check_environment() {
  local release file said status=0
  file="$(mktemp "$SERVICE_ENV.XXXXXX")"
  printf '%s\n' "$1" >"$file"
  while read -r release; do
    # Only what the file says, and nothing of the shell that runs this.
    # shellcheck disable=SC2016 # expanded by the shell that reads the file
    said="$(env -i PATH="$PATH" sh -c 'set -a && . "$1" && exec "$2" config' sh "$file" \
      "$RELEASES_DIR/$release/bin/ia-service" 2>&1 >/dev/null)" || status=1
    # A release that is older than the command cannot be asked; its replica then has to come up with it.
    [[ $said != *"invalid choice: 'config'"* ]] || status=0
    ((status == 0)) || break
  done < <(replicas | while read -r replica; do release_of "$replica"; done | sort -u)
  rm -f "$file"
  ((status == 0)) || echo "$said" >&2
  return "$status"
}

# apply_environment TEXT: make it the replicas' environment and restart them one after the other. When one does not come up
# with it, the environment from before is put back, and with it every replica that was restarted.
environment_before='' restarted=()
apply_environment() {
  local replica
  environment_before="$(cat "$SERVICE_ENV")"
  undo=put_environment_back
  note_change
  replace_file "$SERVICE_ENV" "$1"
  # shellcheck disable=SC2046 # a word for each replica
  while read -r replica; do
    restarted+=("$replica")
    restart_replica "$replica" || say_and_exit 1 "service-$replica does not come up with the new configuration"
  done < <(broken_first $(replicas))
  undo=''
}

# Invoked through $undo.
# shellcheck disable=SC2317
put_environment_back() {
  local replica status=0
  undo=''
  replace_file "$SERVICE_ENV" "$environment_before"
  while read -r replica; do
    restart_replica "$replica" || status=1
  done < <(broken_first ${restarted[@]+"${restarted[@]}"})
  ((status)) || echo "put back the configuration from before"
  return "$status"
}
