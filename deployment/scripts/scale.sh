#!/usr/bin/env bash
# Change how many replicas serve.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/scale.sh N

Brings the number of replicas to N, at least 1. Which replicas there may be say the variables SERVICE_A_URL, SERVICE_B_URL …

Out: a new replica is started on the deployed release; when it is healthy it gets its share of the requests and is scraped by
Prometheus. One that does not come up is taken away again. In: the last replica gets no new requests, finishes what it has,
is no longer scraped, and is stopped; nothing that was asked is lost. Those that stay share the requests evenly.

Environment: HEALTHY_S, how long a replica may take to become healthy (default 60); IDLE_S, how long one may take to finish
what it has before it is stopped anyway (default 30; it then drains as at every stop).
Prints, last:
  <n> replicas serve: <names>
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
need_variables TARGETS_DIR PROMETHEUS_URL

possible=()
for replica in a b c d e f g h; do
  name="SERVICE_$(tr '[:lower:]' '[:upper:]' <<<"$replica")_URL"
  [[ ! ${!name:-} ]] || possible+=("$replica")
done
[[ $1 =~ ^[1-9][0-9]?$ && $# == 1 ]] || say_and_exit 2 "expected a number of replicas, not '$*'"
(($1 <= ${#possible[@]})) || say_and_exit 2 "there are places for ${#possible[@]} replicas: ${possible[*]}"
wanted="$1"

# scraped REPLICA: whether Prometheus has it among its targets.
scraped() {
  local targets
  targets="$(curl -sf --max-time 5 "$PROMETHEUS_URL/api/v1/targets?state=active")" || return 1
  [[ $targets == *"\"instance\":\"$(address_of "$1")\""* ]]
}

# write_targets REPLICA…: what Prometheus scrapes from now on.
write_targets() {
  local replica separator='' targets='' new
  for replica in "$@"; do
    targets+="$separator {\"targets\": [\"$(address_of "$replica")\"], \"labels\": {\"replica\": \"$replica\"}}"
    separator=$',\n'
  done
  new="$(mktemp "$TARGETS_DIR/.service.XXXXXX")"
  printf '[\n%s\n]\n' "$targets" >"$new"
  chmod 644 "$new"
  mv "$new" "$TARGETS_DIR/service.json"
}

added=''
# Invoked through $undo.
# shellcheck disable=SC2317
take_away() {
  undo=''
  supervisorctl stop "service-$added" >/dev/null
  rm -rf "${REPLICAS_DIR:?}/${added:?}"
  # shellcheck disable=SC2046 # a word for each replica
  write_targets $(replicas) && share_evenly || return 1
  echo "service-$added: taken away again"
}

add() {
  local release
  release="$(cat "$REPLICAS_DIR/.deployed")"
  added="$1"
  undo=take_away
  mkdir -p "$REPLICAS_DIR/$1"
  ln -sfn "../../releases/$release" "$REPLICAS_DIR/$1/current"
  # Known to the load balancer, which looks after its health from now on, and without requests until it has it.
  # shellcheck disable=SC2046
  give_all_to $(replicas | grep -vxF "$1")
  echo "service-$1: starting on $release"
  begin "$1" "$release" || say_and_exit 1 "service-$1 does not come up"
  share_evenly
  # shellcheck disable=SC2046
  write_targets $(replicas)
  undo=''
}

remove() {
  local deadline=$((SECONDS + 30)) left
  left="$(replicas | grep -vxF "$1")"
  # shellcheck disable=SC2086 # a word for each replica
  give_all_to $left
  echo "service-$1: gets no new requests"
  # Prometheus looks away first: a target that it cannot reach is an alert.
  # shellcheck disable=SC2086
  write_targets $left
  wait_idle "$1"
  while scraped "$1"; do
    ((SECONDS < deadline)) || say_and_exit 1 "Prometheus still scrapes service-$1; does it read $TARGETS_DIR/service.json?"
    sleep 0.1
  done
  supervisorctl stop "service-$1" >/dev/null
  rm -r "${REPLICAS_DIR:?}/${1:?}"
  share_evenly
  echo "service-$1: stopped"
}

lock_replicas
while (($(count_replicas) < wanted)); do
  for replica in "${possible[@]}"; do
    [[ -d $REPLICAS_DIR/$replica ]] || break
  done
  add "$replica"
done
while (($(count_replicas) > wanted)); do
  remove "$(replicas | tail -n 1)"
done
echo "$wanted replicas serve: $(replicas | paste -sd ' ' -)"
