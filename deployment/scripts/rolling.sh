# shellcheck shell=bash
# Sourced by the scripts that change what the replicas run: how they are found, replaced one after the other, and put back.

HEALTHY_S="${HEALTHY_S:-60}"
IDLE_S="${IDLE_S:-30}"

# shellcheck source=deployment/scripts/balancer.sh
source deployment/scripts/balancer.sh

# say_and_exit STATUS TEXT…
say_and_exit() {
  local status="$1"
  shift
  echo "${0##*/}: $*" >&2
  exit "$status"
}

# need_variables NAME…
need_variables() {
  local name
  for name in "$@"; do
    [[ ${!name:-} ]] || say_and_exit 2 "$name is not set; take it from 'deployment/staging/stack env'"
  done
}

need_stack() {
  local program
  need_variables RELEASES_DIR REPLICAS_DIR LOAD_BALANCER_ADMIN_URL ENDPOINTS_FILE
  for program in curl supervisorctl; do
    command -v "$program" >/dev/null ||
      say_and_exit 2 "$program is not on PATH; take PATH from 'deployment/staging/stack env', or: apt-get install $program"
  done
}

# One at a time: two rolling deploys at once could take both replicas away.
lock_replicas() {
  local lock="$REPLICAS_DIR/.rolling" owner
  if ! (set -o noclobber && echo $$ >"$lock") 2>/dev/null; then
    owner="$(cat "$lock" 2>/dev/null || echo 0)"
    if [[ $owner != 0 ]] && kill -0 "$owner" 2>/dev/null; then
      say_and_exit 1 "another deploy or rollback is running, process $owner"
    fi
    echo $$ >"$lock"
  fi
  trap leave EXIT
  trap 'say_and_exit 1 interrupted' INT TERM HUP
}

# note_change: watch.sh compares with what was before this moment.
note_change() {
  date +%s >"$REPLICAS_DIR/.changed"
}

# What leaves things as they were when the script ends early, whatever the reason: the name of a function.
undo=''

# The replica that is stopped and not yet started again.
stopped=''

leave() {
  local status=$?
  # Putting back must not be interrupted half-way.
  trap '' INT TERM HUP
  if [[ $undo ]]; then
    "$undo" || echo "${0##*/}: not everything could be put back; see above" >&2
  fi
  # Half of the capacity must not stay away because of a Ctrl-C. The load balancer's health checks keep the replica out until
  # it serves, and for ever when it does not come up.
  if [[ $stopped ]]; then
    start_again "$stopped" || echo "${0##*/}: service-$stopped could not be started again; see: supervisorctl status" >&2
  fi
  give_back || echo "${0##*/}: the shares could not be put back; see above" >&2
  rm -f "$REPLICAS_DIR/.rolling"
  exit "$status"
}

# find_release NAME: the one release of RELEASES_DIR that is called so, or that was built on that version of ia-modules.
find_release() {
  local candidate
  for candidate in "$RELEASES_DIR/$1" "$RELEASES_DIR"/*+ia"$1"; do
    [[ -x $candidate/bin/ia-service ]] && basename "$candidate" && return
  done
  say_and_exit 2 "no release $1 in $RELEASES_DIR; build it with: deployment/scripts/build.sh $1 --into $RELEASES_DIR"
}

# use_database NAME: from here on DATABASE_URL is another database on the same server.
use_database() {
  [[ $1 =~ ^[A-Za-z0-9_-]+$ ]] || say_and_exit 2 "a database is named by letters, digits, - and _, not '$1'"
  local server="${DATABASE_URL%%\?*}"
  export DATABASE_URL="${server%/*}/$1${DATABASE_URL#"$server"}"
}

# refuse_unmigrated RELEASE NAME: the database must be ready for it; NAME is what the operator called it.
refuse_unmigrated() {
  local pending
  if ! pending="$("$RELEASES_DIR/$1/bin/ia-service" migrate --check 2>&1)"; then
    echo "$pending" >&2
    say_and_exit 1 "the database is not ready for $1; run first: deployment/scripts/migrate.sh $2"
  fi
}

# The replicas in service: those that have a folder.
replicas() {
  local folder
  for folder in "$REPLICAS_DIR"/*/; do
    basename "$folder"
  done
}

count_replicas() {
  replicas | wc -l | tr -d ' '
}

# refuse_unknown REPLICA…
refuse_unknown() {
  local replica
  for replica in "$@"; do
    [[ -d $REPLICAS_DIR/$replica && $replica != */* && $replica != .* && $replica ]] ||
      say_and_exit 2 "no replica '$replica' in service; there are: $(replicas | paste -sd ' ' -)"
  done
}

url_of() {
  local name
  name="SERVICE_$(tr '[:lower:]-' '[:upper:]_' <<<"$1")_URL"
  [[ ${!name:-} ]] || say_and_exit 2 "$name is not set; take it from 'deployment/staging/stack env'"
  echo "${!name}"
}

release_of() {
  basename "$(readlink "$REPLICAS_DIR/$1/current")"
}

# answers REPLICA RELEASE: it is healthy, says that it is that release, and the load balancer may send it requests.
answers() {
  local url
  url="$(url_of "$1")"
  curl -sf --max-time 5 "$url/health" >/dev/null &&
    curl -sf --max-time 5 "$url/version" | grep -qF "\"release\":\"$2\"" &&
    in_balancer "$1"
}

why_not() {
  local url body
  url="$(url_of "$1")"
  if body="$(curl -s --max-time 5 "$url/health")"; then
    echo "  $url/health says: $body"
  else
    echo "  $url does not answer"
  fi
  supervisorctl tail -2000 "service-$1" 2>/dev/null | tail -n 10 | sed 's/^/  /' || echo '  (it has no log)'
}

wait_for() {
  local deadline=$((SECONDS + HEALTHY_S))
  until answers "$1" "$2"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# halt REPLICA: stop it; it drains first.
halt() {
  stopped="$1"
  supervisorctl stop "service-$1" >/dev/null
}

# start_again REPLICA: the supervisor refuses to start what it is still stopping, as after a Ctrl-C in the middle of a stop.
start_again() {
  local deadline=$((SECONDS + HEALTHY_S)) state
  while true; do
    read -r _ state _ < <(supervisorctl status "service-$1")
    [[ $state == STOPPING ]] || break
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
  [[ $state == RUNNING || $state == STARTING || $state == BACKOFF ]] || supervisorctl start "service-$1" >/dev/null
}

# begin REPLICA RELEASE: start it and wait until it serves.
begin() {
  local begun=$SECONDS
  supervisorctl start "service-$1" >/dev/null || start_again "$1" ||
    echo "service-$1: the supervisor could not start it" >&2
  stopped=''
  if ! wait_for "$1" "$2"; then
    echo "service-$1: not healthy on $2 within $HEALTHY_S s; stopped here, those after it were not touched" >&2
    why_not "$1" >&2
    return 1
  fi
  echo "service-$1: healthy on $2 after $((SECONDS - begun)) s"
}

# switch REPLICA RELEASE: take it out of the load balancer, stop it (it drains), point it to the release, start it, wait
# until it can serve, and give its share back.
switch() {
  local before
  before="$(release_of "$1")"
  echo "service-$1: $before -> $2"
  take_out "$1" || return 1
  halt "$1"
  ln -sfn "../../releases/$2" "$REPLICAS_DIR/$1/current"
  begin "$1" "$2" && give_back
}

# restart_replica REPLICA: the same release in a new process.
restart_replica() {
  take_out "$1" || return 1
  restart_as_it_is "$1" && give_back
}

# restart_as_it_is REPLICA: whatever requests it gets.
restart_as_it_is() {
  echo "service-$1: restarting"
  halt "$1"
  begin "$1" "$(release_of "$1")"
}

# broken_first REPLICA…: those that serve nobody anyway come first.
broken_first() {
  local replica healthy=() broken=()
  for replica in "$@"; do
    if answers "$replica" "$(release_of "$replica")"; then
      healthy+=("$replica")
    else
      broken+=("$replica")
    fi
  done
  printf '%s\n' ${broken[@]+"${broken[@]}"} ${healthy[@]+"${healthy[@]}"}
}

# roll_to RELEASE: switch every replica that is not there yet, first those that serve nobody anyway.
roll_to() {
  local release="$1" replica left=()
  while read -r replica; do
    if answers "$replica" "$release"; then
      echo "service-$replica: runs $release already"
    else
      left+=("$replica")
    fi
  done < <(replicas)
  ((${#left[@]})) || return 0
  while read -r replica; do
    switch "$replica" "$release" || return 1
  done < <(broken_first "${left[@]}")
}

# put_back RELEASE: whatever the shares are, the replicas on RELEASE take all requests at once; then the others are
# switched to it while they get none, and at last all share evenly.
put_back() {
  local release="$1" replica good=() other=()
  while read -r replica; do
    if answers "$replica" "$release"; then
      good+=("$replica")
    else
      other+=("$replica")
    fi
  done < <(replicas)
  if ((${#good[@]} == 0)); then
    # Nobody runs it: the one that gets the fewest requests goes first.
    replica="$(balancer_says | sort -k 2n | awk 'NR == 1 { print $1 }')"
    switch "$replica" "$release" || return 1
    good=("$replica")
  fi
  give_all_to "${good[@]}" || return 1
  for replica in ${other[@]+"${other[@]}"}; do
    [[ $replica == "${good[0]}" ]] && continue
    wait_idle "$replica"
    switch "$replica" "$release" || return 1
  done
  share_evenly
}
