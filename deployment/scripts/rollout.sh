#!/usr/bin/env bash
# Roll a release out gradually, and take it back by itself when it fails more than it may.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/rollout.sh RELEASE [--stages 5,25,50,100]

RELEASE is a folder of $RELEASES_DIR, or the version of ia-modules that it was built on. The database must have been
migrated for it (deployment/scripts/migrate.sh RELEASE). The last replica is taken out of the load balancer, switched to
the release, and then gets the share of the requests that each stage says. After the last stage the other replicas follow,
and all share the requests evenly. Every stage lasts until enough requests and executions were answered in it to judge it,
all of them while every replica was in the load balancer.

The release is taken back at once when too many of its executions fail or are lost, or of its requests (5xx); when its
replica ends, hangs or is not healthy any more; when a stage does not get enough requests in time; or when you press Ctrl-C:
the other replicas take all requests, and that one returns to the release before.

  --stages  the shares in per cent, rising, the last one 100

Environment
  REQUESTS    how many requests a stage needs, all replicas together (default 2000)
  EXECUTIONS  how many executions the release must have ended in a stage (default 3)
  STAGE_S     how long a stage may take to get them (default 600)
  MAX_ERRORS  the ratio of failures that is too much, from 3 failures on (default 0.05)
  HEALTHY_S   how long a replica may take to become healthy (default 60)
Prints for each stage, and last:
  stage <share> %: <n> requests, <percent> % to service-<replica>, <percent> % of <n> executions failed
  rolled out <release> on <n> replicas
or, when it was taken back:
  returned to <release>
Exit status: 0 done, 1 taken back, failed or refused, 2 wrong usage or something missing.
TEXT
}

wanted='' stages=5,25,50,100
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --stages)
      stages="${2:-}"
      shift
      ;;
    -* | '') usage >&2 && exit 2 ;;
    *)
      [[ ! $wanted ]] || { usage >&2 && exit 2; }
      wanted="$1"
      ;;
  esac
  shift || break
done
[[ $wanted ]] || { usage >&2 && exit 2; }
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
REQUESTS="${REQUESTS:-2000}" EXECUTIONS="${EXECUTIONS:-3}" STAGE_S="${STAGE_S:-600}" MAX_ERRORS="${MAX_ERRORS:-0.05}"
SILENT_S=5
export LC_ALL=C

last=0
[[ $stages =~ ^[0-9]+(,[0-9]+)*$ ]] || say_and_exit 2 "expected --stages like 5,25,50,100, not '$stages'"
for share in ${stages//,/ }; do
  ((10#$share > last && 10#$share <= 100)) || say_and_exit 2 "the stages must rise, up to 100: $stages"
  last=$((10#$share))
done
((last == 100)) || say_and_exit 2 "the last stage must be 100: $stages"
for name in REQUESTS EXECUTIONS STAGE_S; do
  [[ ${!name} =~ ^[1-9][0-9]*$ ]] || say_and_exit 2 "$name is '${!name}'; expected a whole number from 1"
done
[[ $MAX_ERRORS =~ ^(0|0?\.[0-9]+|1)$ ]] || say_and_exit 2 "MAX_ERRORS is '$MAX_ERRORS'; expected a ratio from 0 to 1"

release="$(find_release "$wanted")"
lock_replicas
refuse_unmigrated "$release" "$wanted"
before="$(cat "$REPLICAS_DIR/.deployed")"
[[ $before != "$release" ]] || say_and_exit 1 "$release is deployed already"
replicas="$(replicas | paste -sd ' ' -)"
new="${replicas##* }" others="${replicas% *}"
[[ $new != "$others" ]] || say_and_exit 1 "one replica alone cannot be replaced gradually; see deployment/scripts/scale.sh"
for replica in $replicas; do
  answers "$replica" "$before" ||
    say_and_exit 1 "service-$replica is not healthy on $before; a rollout begins with every replica well"
done

recorded="$(cat "$REPLICAS_DIR/.previous" 2>/dev/null)" || recorded=''
# Invoked through $undo.
# shellcheck disable=SC2317
take_back() {
  # Twice safe: a second failure in here must not start it again.
  undo=''
  put_back "$before" || return 1
  if [[ $recorded ]]; then
    echo "$recorded" >"$REPLICAS_DIR/.previous"
  else
    rm -f "$REPLICAS_DIR/.previous"
  fi
  echo "returned to $before"
}
note_change
undo=take_back
echo "$before" >"$REPLICAS_DIR/.previous"

# shellcheck disable=SC2086 # a word for each replica
give_all_to $others
echo "service-$new: gets no requests"
wait_idle "$new"
switch "$new" "$release" || say_and_exit 1 "$release does not come up"

# look: what has been counted so far: requests to all replicas, to the new one, its failed ones, its executions, its failed
# executions, and its state.
look() {
  local page
  page="$(curl -sf --max-time 2 "$(url_of "$new")/metrics")" || page=''
  balancer_says | awk -v new="$new" -v executions="$(awk '
      /^ia_service_executions_total[{]/ { all += $NF; if ($0 ~ /outcome="(failed|lost)"/) failed += $NF }
      END { print all + 0, failed + 0 }' <<<"$page")" -v answered="${page:+yes}" '
    { all += $4 }
    $1 == new { own = $4; failed = $5; state = $3 }
    END { print all, own, failed, executions, answered == "yes" ? state : "silent" }'
}

percent() {
  awk -v part="$1" -v of="$2" 'BEGIN { printf "%.1f", of ? part * 100 / of : 0 }'
}

too_many() {
  awk -v failed="$1" -v of="$2" -v most="$MAX_ERRORS" 'BEGIN { exit !(failed >= 3 && failed > most * of) }'
}

# ejections: how often a replica has failed a health check of the load balancer, which then leaves it out.
ejections() {
  curl -sf --max-time 5 "$LOAD_BALANCER_ADMIN_URL/stats?filter=^cluster.service.health_check.failure$" | awk '{ print $2 }'
}

# stage SHARE
stage() {
  local share="$1" begun=$SECONDS well=$SECONDS words ejected
  local all0 own0 bad0 ran0 failed0 all own bad ran failed state
  # shellcheck disable=SC2086 # a word for each replica
  words="$(spread $((100 - share)) $others)"
  # shellcheck disable=SC2086
  set_shares $words "$new=$share" || say_and_exit 1 "the shares could not be set"
  ejected="$(ejections)"
  read -r all0 own0 bad0 ran0 failed0 state < <(look)
  while true; do
    read -r all own bad ran failed state < <(look)
    if [[ $state == healthy ]]; then
      well=$SECONDS
      ((ran >= ran0)) || say_and_exit 1 "stopped: service-$new has ended by itself on $release and was started again"
      all=$((all - all0)) own=$((own - own0)) bad=$((bad - bad0)) ran=$((ran - ran0)) failed=$((failed - failed0))
      if too_many "$failed" "$ran"; then
        say_and_exit 1 "stopped at $share %: $(percent "$failed" "$ran") % of $ran executions on service-$new failed"
      fi
      if too_many "$bad" "$own"; then
        say_and_exit 1 "stopped at $share %: $(percent "$bad" "$own") % of $own requests to service-$new failed"
      fi
      if ((all >= REQUESTS && ran >= EXECUTIONS)); then
        [[ $(ejections) != "$ejected" ]] || break
        # While one was left out, the others had its share: the figures say nothing of this stage.
        echo "rollout.sh: a replica failed a health check meanwhile; stage $share % begins anew" >&2
        ejected="$(ejections)"
        read -r all0 own0 bad0 ran0 failed0 state < <(look)
      fi
    elif ((SECONDS - well >= SILENT_S)); then
      why_not "$new" >&2
      say_and_exit 1 "stopped at $share %: service-$new is not healthy on $release"
    fi
    ((SECONDS - begun < STAGE_S)) ||
      say_and_exit 1 "stopped at $share %: too little to judge in $STAGE_S s, $all requests of $REQUESTS," \
        "$ran executions on service-$new of $EXECUTIONS"
    sleep 0.2
  done
  echo "stage $share %: $all requests, $(percent "$own" "$all") % to service-$new," \
    "$(percent "$failed" "$ran") % of $ran executions failed"
}

for share in ${stages//,/ }; do
  stage $((10#$share))
done
for replica in $others; do
  wait_idle "$replica"
  switch "$replica" "$release" || say_and_exit 1 "$release does not come up on service-$replica"
done
share_evenly
undo=''
echo "$release" >"$REPLICAS_DIR/.deployed"
echo "rolled out $release on $(count_replicas) replicas"
