#!/usr/bin/env bash
# Keep the record of a recovery while it happens: who, when, what was lost and how long it took.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/recovery-record.sh begin FILE WHAT
       deployment/scripts/recovery-record.sh note FILE TEXT
       deployment/scripts/recovery-record.sh end FILE (--backup ID | --recovered-to TIME)

  begin  start the record in FILE (Markdown), which must not be there yet. The outage began when the oldest critical alert that
         fires now began to, or now when none does.
  note   add a line to its timeline.
  end    close it: the critical alerts since then with their times, from Prometheus, how long it took (RTO), and what was
         written since the data that was recovered, the backup ID or the moment TIME in UTC, and is lost (RPO). Refuses while
         a critical alert fires or $API_URL/health is not healthy: then it is not over.

Times are UTC; who is the user that runs it.
Prints, after begin and after end:
  declared at <time> by <who>: the outage began at <time>
  recovered: RTO <n> s, RPO <n> s
Exit status: 0 done, 1 failed or refused, 2 wrong usage or something missing.
TEXT
}

fail() {
  echo "recovery-record.sh: $1" >&2
  exit "${2:-1}"
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  begin | note) (($# == 3)) || { usage >&2 && exit 2; } ;;
  end) (($# == 4)) && [[ $3 == --backup || $3 == --recovered-to ]] || { usage >&2 && exit 2; } ;;
  *) usage >&2 && exit 2 ;;
esac
for name in PROMETHEUS_URL API_URL; do
  [[ ${!name:-} ]] || fail "$name is not set; take it from 'deployment/staging/stack env'" 2
done
for program in promtool curl psql; do
  command -v "$program" >/dev/null || fail "$program is not on PATH; take PATH from 'deployment/staging/stack env'" 2
done
verb="$1" file="$2"
who="$(id -un)@$(uname -n)"
critical='ALERTS{alertstate="firing", severity="critical"}'

# Seconds since 1970 as a time, and back: date(1) differs between systems.
as_time() { date -u -d "@$1" '+%Y-%m-%d %H:%M:%S' 2>/dev/null || date -u -r "$1" '+%Y-%m-%d %H:%M:%S'; }
export TZ=UTC
now="$(date -u '+%Y-%m-%d %H:%M:%S')"
fact() { sed -n "s/^- $1: *//p" "$file"; }

# alerts SINCE: "first last name" of each critical alert since then, in seconds since 1970, the oldest first.
alerts() {
  promtool query range --start="$1" --end="$(as_seconds "$now")" --step=1s "$PROMETHEUS_URL" "$critical" | awk '
    / => *$/ { match($0, /alertname="[^"]*"/); name = substr($0, RSTART + 11, RLENGTH - 12); next }
    match($0, /@\[[0-9]+/) { at = substr($0, RSTART + 2, RLENGTH - 2); if (!(name in first)) first[name] = at; last[name] = at }
    END { for (name in first) print first[name], last[name], name }' | sort -n
}
as_seconds() {
  date -d "$1 UTC" +%s 2>/dev/null || date -j -f '%Y-%m-%d %H:%M:%S' "${1%%.*}" +%s
}

case "$verb" in
  begin)
    [[ ! -e $file ]] || fail "$file is there already; add to it with: recovery-record.sh note"
    began="$(promtool query instant "$PROMETHEUS_URL" "min(ALERTS_FOR_STATE and ignoring(alertstate) $critical)" |
      sed -n 's/.*=> *\([0-9.e+]*\) @.*/\1/p')"
    began="$(as_time "$(printf '%.0f' "${began:-$(as_seconds "$now")}")")"
    cat >"$file" <<TEXT
# Recovery of ${began%% *}: $3

- Outage began: $began
- Declared: $now by $who

## Timeline (UTC)

- $now $who: declared: $3
TEXT
    echo "declared at $now by $who: the outage began at $began"
    ;;
  note)
    [[ -f $file ]] || fail "no record $file; start one with: recovery-record.sh begin"
    echo "- $now $who: $3" >>"$file"
    ;;
  end)
    [[ -f $file ]] || fail "no record $file; start one with: recovery-record.sh begin"
    firing="$(promtool query instant "$PROMETHEUS_URL" "$critical" | sed -n 's/.*alertname="\([^"]*\)".*/\1/p' | sort -u)"
    [[ ! $firing ]] || fail "not over yet, still firing: ${firing//$'\n'/, }"
    curl -sf --max-time 10 -o /dev/null "$API_URL/health" || fail "not over yet: $API_URL/health is not healthy"
    began="$(fact 'Outage began')"
    if [[ $3 == --backup ]]; then
      manifest="${BACKUP_DIR:?take it from deployment/staging/stack env}/$4/manifest.json"
      [[ -f $manifest ]] || fail "no backup $4 in $BACKUP_DIR"
      reached="$(sed -n 's/^  "created_at": "\(.*\)T\(.*\)Z".*/\1 \2/p' "$manifest")"
      source="backup $4 of $reached, $(sed -n 's/^  "rows": \([0-9]*\),$/\1/p' "$manifest") rows"
    else
      reached="${4%%.*}"
      source="the server as of $4"
    fi
    seen="$(alerts "$(as_seconds "$began")")"
    ended="$(awk '$2 > last { last = $2 } END { print last }' <<<"$seen")"
    ended="${ended:-$(as_seconds "$now")}"
    rto=$((ended - $(as_seconds "$began"))) rpo=$(($(as_seconds "$began") - $(as_seconds "$reached")))
    ((rpo >= 0)) || rpo=0
    {
      echo "- $now $who: closed, everything is healthy"
      printf '\n## Alerts (UTC)\n\n| alert | from | to |\n|---|---|---|\n'
      while read -r first last name; do
        [[ ! $name ]] || echo "| $name | $(as_time "$first") | $(as_time "$last") |"
      done <<<"$seen"
      printf '\n## Result\n\n'
      echo "- Recovered from: $source"
      echo "- RTO: $rto s, from the beginning of the outage to the end of the last critical alert"
      echo "- RPO: $rpo s, from the recovered data to the beginning of the outage"
    } >>"$file"
    echo "recovered: RTO $rto s, RPO $rpo s"
    ;;
esac
