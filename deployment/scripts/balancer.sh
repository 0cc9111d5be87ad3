# shellcheck shell=bash
# Sourced by rolling.sh: which replica gets which share of the requests, and what the load balancer has counted.

address_of() {
  local url
  url="$(url_of "$1")"
  url="${url#*://}"
  echo "${url%%/*}"
}

# balancer_says: one line per replica: name, share in per cent (0: it gets no new requests), state, requests sent to it
# since Envoy has started, those of them that failed, and those that are open now.
balancer_says() {
  local clusters
  clusters="$(curl -sf --max-time 5 "$LOAD_BALANCER_ADMIN_URL/clusters")" || return 1
  awk -F '::' '
    $1 != "service" || NF < 4 { next }
    $3 == "hostname" { name[$2] = $4; sub(/^service-/, "", name[$2]); order[++n] = $2 }
    { said[$2, $3] = $4 }
    END {
      for (i = 1; i <= n; i++) {
        at = order[i]
        state = said[at, "health_flags"]
        out = state ~ /eds_status_draining/
        if (state == "/eds_status_draining") state = "healthy"
        print name[at], out ? 0 : said[at, "weight"], state,
          said[at, "rq_total"], said[at, "rq_error"], said[at, "rq_active"]
      }
    }' <<<"$clusters"
}

# share_of REPLICA: its share now, nothing when the load balancer does not know it.
share_of() {
  balancer_says | awk -v name="$1" '$1 == name { print $2 }'
}

# parts TOTAL N: TOTAL as N whole numbers that are as even as can be.
parts() {
  local i
  for ((i = 0; i < $2; i++)); do
    echo $(($1 / $2 + (i < $1 % $2 ? 1 : 0)))
  done
}

# spread TOTAL REPLICA…: REPLICA=SHARE for each of them, TOTAL in all.
spread() {
  local total="$1"
  shift
  paste -d = <(printf '%s\n' "$@") <(parts "$total" $#)
}

# set_shares REPLICA=PERCENT…: one for every replica in service. Returns when the load balancer says that it is so.
set_shares() {
  local new pair name share host hosts='' wanted='' separator='' deadline
  for pair in "$@"; do
    name="${pair%%=*}" share="${pair#*=}" host="$(address_of "${pair%%=*}")" || return 2
    hosts+="$separator
      {
       \"endpoint\": {
        \"address\": {\"socket_address\": {\"address\": \"${host%:*}\", \"port_value\": ${host##*:}}},
        \"hostname\": \"service-$name\"
       },
       \"health_status\": \"$( ((share)) && echo HEALTHY || echo DRAINING)\",
       \"load_balancing_weight\": $((share ? share : 1))
      }"
    wanted+="$name $share"$'\n'
    separator=,
  done
  # Envoy takes the file when it is renamed into place.
  new="$(mktemp "$ENDPOINTS_FILE.XXXXXX")"
  cat >"$new" <<JSON
{
 "resources": [
  {
   "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
   "cluster_name": "service",
   "endpoints": [
    {
     "lb_endpoints": [$hosts
     ]
    }
   ]
  }
 ]
}
JSON
  chmod 644 "$new"
  mv "$new" "$ENDPOINTS_FILE"
  wanted="$(sort <<<"${wanted%$'\n'}")"
  deadline=$((SECONDS + 10))
  until [[ $(balancer_says | cut -d ' ' -f 1,2 | sort) == "$wanted" ]]; do
    if ((SECONDS >= deadline)); then
      echo "${0##*/}: the load balancer has not taken the shares within 10 s; does it watch $ENDPOINTS_FILE?" >&2
      return 1
    fi
    sleep 0.05
  done
}

# give_all_to REPLICA…: these share the requests evenly, the other replicas in service get none.
give_all_to() {
  local replica other=()
  while read -r replica; do
    [[ " $* " == *" $replica "* ]] || other+=("$replica=0")
  done < <(replicas)
  # shellcheck disable=SC2046 # a word for each replica
  set_shares $(spread 100 "$@") ${other[@]+"${other[@]}"}
}

# The shares that say "all alike" again.
share_evenly() {
  # shellcheck disable=SC2046 # a word for each replica
  give_all_to $(replicas)
}

# What take_out has changed and give_back has not yet put back: the shares from before, a REPLICA=PERCENT for each.
shares_before=''

# take_out REPLICA: before it is stopped, it gets no new requests, and the others share out what it got. That the replica
# says no at /ready when it is told to stop is not enough: on a busy machine the load balancer can learn it too late, and
# then sends a request into a connection that is being closed. Does nothing when there is nobody to take the requests, or
# when it gets none anyway.
take_out() {
  local said
  said="$(balancer_says)" || return 0
  awk -v name="$1" '
    $3 == "healthy" && $2 > 0 { if ($1 == name) serves = 1; else others = 1 }
    END { exit !(serves && others) }' <<<"$said" || return 0
  shares_before="$(awk '{ print $1 "=" $2 }' <<<"$said" | paste -sd ' ' -)"
  # shellcheck disable=SC2046 # a word for each replica
  set_shares $(without "$1" <<<"$said") || return 1
  wait_quiet "$1"
}

# without REPLICA: of balancer_says' lines the shares, a REPLICA=PERCENT for each, when this one gets none.
without() {
  awk -v name="$1" '
    { names[NR] = $1; shares[NR] = $1 == name ? 0 : $2; total += shares[NR] }
    END {
      for (i = 1; i <= NR; i++) {
        passed += shares[i]
        upto = int(passed * 100 / total + 0.5)
        print names[i] "=" upto - given
        given = upto
      }
    }'
}

# wait_quiet REPLICA: until it has answered what it was sent, which takes a moment; it drains when it is stopped anyway, and
# a WebSocket counts as a request as long as it is open.
wait_quiet() {
  local open tries
  for ((tries = 0; tries < 10; tries++)); do
    open="$(balancer_says | awk -v name="$1" '$1 == name { print $6 }')"
    [[ ${open:-0} != 0 ]] || return 0
    sleep 0.05
  done
}

# give_back: the shares from before take_out. Twice safe: only when it is done is it forgotten.
give_back() {
  [[ $shares_before ]] || return 0
  # shellcheck disable=SC2086 # a word for each replica
  set_shares $shares_before || return 1
  shares_before=''
}

# in_balancer REPLICA: it gets requests, or would if it had not been taken out on purpose.
in_balancer() {
  [[ $(balancer_says | awk -v name="$1" '$1 == name { print $3 }') == healthy ]]
}

# refuse_drained: stopping a replica is safe only while another one gets requests.
refuse_drained() {
  local drained
  drained="$(balancer_says | awk '$2 == 0 { print "service-" $1 }')"
  [[ ! $drained ]] || say_and_exit 1 "$(paste -sd ' ' - <<<"$drained") gets no requests; share them first:" \
    "deployment/scripts/weights.sh $(even_words)"
}

even_words() {
  # shellcheck disable=SC2046 # a word for each replica
  spread 100 $(replicas) | paste -sd ' ' -
}

# executions_in_flight REPLICA
executions_in_flight() {
  curl -sf --max-time 5 "$(url_of "$1")/metrics" | awk '$1 == "ia_service_executions_in_flight" { print int($2) }'
}

# wait_idle REPLICA: until it has neither requests nor executions; it has been taken out of the load balancer before.
wait_idle() {
  local deadline=$((SECONDS + IDLE_S)) open running
  while ((SECONDS < deadline)); do
    open="$(balancer_says | awk -v name="$1" '$1 == name { print $6 }')"
    running="$(executions_in_flight "$1")" || running=''
    [[ ${open:-0} == 0 && ${running:-0} == 0 ]] && return
    sleep 0.1
  done
  # A WebSocket counts as a request as long as it is open.
  echo "service-$1: still ${open:-0} requests and ${running:-0} executions after $IDLE_S s; it drains when it is stopped" >&2
}
