#!/usr/bin/env bash
# What the replicas have used: CPU, memory, database connections; and what a load between two looks has cost.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/usage.sh [--since TEXT]

Asks every replica in service for its counters, and the database for its size. It changes nothing. TEXT is what an earlier
call has printed: then it prints what has been used since.

  before=$(deployment/scripts/usage.sh)
  …
  deployment/scripts/usage.sh --since "$before"

Prints, without --since, a line for each replica and one for the database:
  service-<replica>: started <s>, <s> CPU s, <n> bytes, <n> executions, <n> of <n> connections, <n> waited in vain
  database: <n> bytes
With --since:
  service-<replica>: <n> executions, <s> CPU s, memory <MB> -> <MB> MB, <n> waited in vain
  <n> replicas, each execution: <ms> CPU ms, <kB> kB in the database
  memory of a replica: at most <MB> MB, grown by at most <percent> %
  database connections: <n> waited in vain
Waiting in vain is to get no database connection within POOL_TIMEOUT_SECONDS.
Exit status: 0 done, 1 a replica or the database does not answer, or the replicas are not those of before, 2 wrong usage or
something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  '') (($# == 0)) || { usage >&2 && exit 2; } ;;
  --since) (($# == 2)) || { usage >&2 && exit 2; } ;;
  *) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/rolling.sh
source deployment/scripts/rolling.sh
need_stack
[[ ${DATABASE_URL:-} ]] || say_and_exit 2 "DATABASE_URL is not set; take it from 'deployment/staging/stack env'"

look() {
  local replica url metrics bytes
  while read -r replica; do
    url="$(url_of "$replica")"
    metrics="$(curl -sf --max-time 10 "$url/metrics")" || say_and_exit 1 "service-$replica does not answer at $url/metrics"
    awk -v name="service-$replica" '
      /^#/ { next }
      { metric = $1; sub(/[{].*/, "", metric); sum[metric] += $NF }
      END {
        printf "%s: started %.2f, %.2f CPU s, %d bytes, %d executions, %d of %d connections, %d waited in vain\n", name,
          sum["process_start_time_seconds"], sum["process_cpu_seconds_total"], sum["process_resident_memory_bytes"],
          sum["ia_service_executions_total"], sum["ia_service_db_pool_used"] + sum["ia_service_db_pool_idle"],
          sum["ia_service_db_pool_size"], sum["ia_service_db_pool_exhausted"]
      }' <<<"$metrics"
  done < <(replicas)
  bytes="$(psql -X -v ON_ERROR_STOP=1 -Atc 'SELECT pg_database_size(current_database())' "$DATABASE_URL")" ||
    say_and_exit 1 "the database does not answer"
  echo "database: $bytes bytes"
}

# compare BEFORE NOW. A line's words, split at spaces and commas: 3 started, 4 CPU, 7 memory, 9 executions, 15 waited in vain.
compare() {
  awk -F '[ ,]+' '
    function refuse(text) { print $1, text >"/dev/stderr"; refused = 1; exit 1 }
    !NF { next }
    FNR == NR { for (i = 2; i <= NF; i++) was[$1, i] = $i; known[$1] = 1; next }
    !($1 in known) { refuse("was not there before") }
    { seen[$1] = 1 }
    $1 == "database:" { grown_bytes = $2 - was[$1, 2]; next }
    $3 != was[$1, 3] { refuse("has been restarted since; nothing can be compared") }
    {
      cpu = $4 - was[$1, 4]; memory = $7 - was[$1, 7]; executions = $9 - was[$1, 9]
      all_cpu += cpu; all_executions += executions; all_in_vain += $15 - was[$1, 15]
      percent = 100 * memory / was[$1, 7]
      if (!replicas++ || percent > most_percent) most_percent = percent
      if ($7 > most_bytes) most_bytes = $7
      printf "%s %d executions, %.2f CPU s, memory %.1f -> %.1f MB, %d waited in vain\n",
        $1, executions, cpu, was[$1, 7] / 1e6, $7 / 1e6, $15 - was[$1, 15]
    }
    END {
      if (refused) exit 1
      for (name in known) if (!(name in seen)) { $1 = name; refuse("is gone") }
      if (!all_executions) { print "no execution has ended since" >"/dev/stderr"; exit 1 }
      printf "%d replicas, each execution: %.1f CPU ms, %.1f kB in the database\n",
        replicas, 1000 * all_cpu / all_executions, grown_bytes / all_executions / 1000
      printf "memory of a replica: at most %.1f MB, grown by at most %.1f %%\n", most_bytes / 1e6, most_percent
      printf "database connections: %d waited in vain\n", all_in_vain
    }' <(printf '%s\n' "$1") <(printf '%s\n' "$2")
}

now="$(look)"
if (($#)); then
  compare "$2" "$now" || exit 1
else
  printf '%s\n' "$now"
fi
