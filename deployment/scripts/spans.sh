#!/usr/bin/env bash
# Send spans over OTLP, and read what was stored.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/spans.sh send [--clients N] [--spans N] [--same] [--bytes N] [--malformed N] [--grpc HOST:PORT]
       deployment/scripts/spans.sh find NAME=VALUE [--attribute NAME]
       deployment/scripts/spans.sh trace TRACE
       deployment/scripts/spans.sh page TRACE [--limit N]

Talks to $API_URL with the API key in $API_KEY_FILE (default: $STACK_DIR/api-key).

send    N clients (default 1), at the same moment, each with N spans (default 1) in one request, all of one new trace.
          --same          every client sends the same spans
          --bytes N       each span has an attribute of N bytes, which is random: nothing can compress it
          --malformed N   N more spans in each request that cannot be stored
          --grpc          over gRPC to that address, instead of HTTP
        As OTLP asks, a request that was told to come back is sent again, ten times at most. Prints:
          trace <id>: <n> spans from <n> clients in <s> s: <n> taken, <n> rejected, <n> refused, <n> sent again
find    the spans with an attribute, as `<trace>: <name> [<value of --attribute>]`, at most 1000, and last `<n> found`
trace   one trace, all pages: the names of its spans below each other, as they were begun, when there are 20 at most; and last:
          <n> spans, <n> twice, read in <ms> ms
page    all stored spans in pages of N (default 100) from the first of a trace on. Prints:
          <n> spans of the trace in <n> pages, <n> twice, median <ms> ms, p95 <ms> ms a page

Exit status: 0 done, 1 refused or not answered (the reason is on standard error), 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  send | find | trace | page) ;;
  *) usage >&2 && exit 2 ;;
esac
missing() {
  echo "spans.sh: $1" >&2
  exit 2
}
[[ ${API_URL:-} ]] || missing "API_URL is not set; take it from 'deployment/staging/stack env'"
export API_KEY_FILE="${API_KEY_FILE:-${STACK_DIR:+$STACK_DIR/api-key}}"
[[ $API_KEY_FILE && -r $API_KEY_FILE ]] || missing "no API key in API_KEY_FILE; make one with deployment/scripts/api-key.sh"
# A release has the libraries of OTLP, so it is its interpreter that runs this.
python=''
for current in "${REPLICAS_DIR:-}"/*/current/bin/python; do
  if [[ -x $current ]]; then
    python="$current"
    break
  fi
done
[[ $python ]] || missing "no release in REPLICAS_DIR; take it from 'deployment/staging/stack env'"
PYTHONPATH=deployment/scripts PYTHONDONTWRITEBYTECODE=1 exec "$python" -m spans "$@"
