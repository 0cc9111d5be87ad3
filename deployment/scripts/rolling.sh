# shellcheck shell=bash
# Sourced by deploy.sh and rollback.sh: how all replicas come to run one release, one after the other.

HEALTHY_S="${HEALTHY_S:-60}"

say_and_exit() {
  echo "${0##*/}: $2" >&2
  exit "$1"
}

need_stack() {
  local name program
  for name in RELEASES_DIR REPLICAS_DIR LOAD_BALANCER_ADMIN_URL; do
    [[ ${!name:-} ]] || say_and_exit 2 "$name is not set; take it from 'deployment/staging/stack env'"
  done
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
  trap 'rm -f "$REPLICAS_DIR/.rolling"' EXIT
}

# find_release NAME: the one release of RELEASES_DIR that is called so, or that was built on that version of ia-modules.
find_release() {
  local candidate
  for candidate in "$RELEASES_DIR/$1" "$RELEASES_DIR"/*+ia"$1"; do
    [[ -x $candidate/bin/ia-service ]] && basename "$candidate" && return
  done
  say_and_exit 2 "no release $1 in $RELEASES_DIR; build it with: deployment/scripts/build.sh $1 --into $RELEASES_DIR"
}

replicas() {
  local folder
  for folder in "$REPLICAS_DIR"/*/; do
    basename "$folder"
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

# answers REPLICA RELEASE: it is healthy, says that it is that release, and the load balancer sends it requests.
answers() {
  local url
  url="$(url_of "$1")"
  curl -sf --max-time 5 "$url/health" >/dev/null &&
    curl -sf --max-time 5 "$url/version" | grep -qF "\"release\":\"$2\"" &&
    curl -sf --max-time 5 "$LOAD_BALANCER_ADMIN_URL/clusters" | grep -qxF "service::${url#http://}::health_flags::healthy"
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

# switch REPLICA RELEASE: stop it (it drains first), point it to the release, start it, wait until it serves.
switch() {
  local replica="$1" release="$2" before begun=$SECONDS
  before="$(release_of "$replica")"
  echo "service-$replica: $before -> $release"
  supervisorctl stop "service-$replica" >/dev/null
  ln -sfn "../../releases/$release" "$REPLICAS_DIR/$replica/current"
  supervisorctl start "service-$replica" >/dev/null || echo "service-$replica: the supervisor could not start it" >&2
  if ! wait_for "$replica" "$release"; then
    echo "service-$replica: not healthy on $release within $HEALTHY_S s; stopped here, those after it were not touched" >&2
    why_not "$replica" >&2
    return 1
  fi
  echo "service-$replica: healthy on $release after $((SECONDS - begun)) s"
}

# roll_to RELEASE: switch every replica that is not there yet, first those that serve nobody anyway.
roll_to() {
  local release="$1" replica healthy=() broken=() left=()
  while read -r replica; do
    if answers "$replica" "$release"; then
      echo "service-$replica: runs $release already"
    elif answers "$replica" "$(release_of "$replica")"; then
      healthy+=("$replica")
    else
      broken+=("$replica")
    fi
  done < <(replicas)
  left=(${broken[@]+"${broken[@]}"} ${healthy[@]+"${healthy[@]}"})
  for replica in ${left[@]+"${left[@]}"}; do
    switch "$replica" "$release" || return 1
  done
}
