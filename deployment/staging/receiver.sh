#!/usr/bin/env bash
# Install or run a receiver of metrics: what staging has in place of the products that cannot run on any machine.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deployment/staging/receiver.sh install statsd|cloudwatch|datadog
       deployment/staging/receiver.sh run statsd PORT ADMIN_PORT | cloudwatch PORT | datadog PORT

  statsd      the StatsD of its inventors (npm), which keeps what it counts, and is asked for it at ADMIN_PORT; needs node and npm
  cloudwatch  moto, which speaks CloudWatch's API (PyPI)
  datadog     VictoriaMetrics, which takes Datadog's series, in memory of 60 MB (a package of Debian, or on PATH)

`install` puts it into $RECEIVERS_DIR, of $STACK_DIR/receivers when that is not set, without root; quick when it is there.
`run` becomes it, on the loopback interface. The supervisor of the stack runs it so: `supervisorctl start statsd`.

Prints after `install`:
  <name> is installed
Exit status: 0 done, 1 could not be installed, 2 wrong usage or something missing.
TEXT
}

fail() {
  echo "receiver.sh: $2" >&2
  exit "$1"
}

need() {
  command -v "$1" >/dev/null || fail 2 "$1 is not on PATH; $2"
}

declare -A versions=([statsd]=0.9.0 [cloudwatch]=5.2.5 [datadog]='')
case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  install) (($# == 2)) || { usage >&2 && exit 2; } ;;
  run) (($# >= 3)) || { usage >&2 && exit 2; } ;;
  *) usage >&2 && exit 2 ;;
esac
name="$2"
[[ -v versions[$name] ]] || { usage >&2 && exit 2; }
version="${versions[$name]}"
receivers="${RECEIVERS_DIR:-${STACK_DIR:+$STACK_DIR/receivers}}"
[[ $receivers ]] || fail 2 "neither RECEIVERS_DIR nor STACK_DIR is set; take them from 'deployment/staging/stack env'"
folder="$receivers/$name-${version:-debian}"

victoria() {
  local found
  for found in "$folder/usr/bin/victoria-metrics" "$(command -v victoria-metrics || command -v victoria-metrics-prod || :)"; do
    if [[ -x $found ]]; then
      echo "$found"
      return
    fi
  done
  return 1
}

# The machine's package lists are missing or old: fetch our own, which needs no root.
with_own_lists() {
  mkdir -p apt/lists/partial
  local own=(-o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt" -o Debug::NoLocking=1)
  apt-get --quiet "${own[@]}" update && apt-get --quiet "${own[@]}" download "$1" && rm -r apt
}

# In a folder of its own first: a killed installation must not look like a finished one.
install_into() {
  case "$name" in
    statsd)
      need npm 'apt-get install nodejs npm'
      npm install --silent --no-audit --no-fund --omit=optional --prefix "$1" "statsd@$version"
      ;;
    cloudwatch)
      need uv "take PATH from 'deployment/staging/stack env'"
      uv venv --quiet --relocatable "$1"
      uv pip install --quiet --python "$1/bin/python" "moto[server]==$version"
      ;;
    datadog)
      need apt-get 'install VictoriaMetrics, so that victoria-metrics is on PATH'
      (cd "$1" && { apt-get --quiet download victoria-metrics || with_own_lists victoria-metrics; })
      dpkg-deb --extract "$1"/victoria-metrics_*.deb "$1"
      rm "$1"/victoria-metrics_*.deb
      ;;
  esac >&2
}

if [[ $1 == install ]]; then
  mkdir -p "$receivers"
  exec 9>"$receivers/$name.lock"
  flock 9
  if [[ ! -d $folder ]] && ! { [[ $name == datadog ]] && victoria >/dev/null; }; then
    partial="$(mktemp -d "$receivers/.partial-$name.XXXXXX")"
    trap 'rm -rf "$partial"' EXIT
    install_into "$partial"
    mv "$partial" "$folder"
  fi
  echo "$name is installed"
  exit
fi

port="$3"
case "$name" in
  statsd)
    config="$folder/port-$port.js"
    # It forgets what it has counted when it passes it on; here nobody takes it, so it waits for a day.
    cat >"$config" <<JS
{
  address: "127.0.0.1", port: $port, mgmt_address: "127.0.0.1", mgmt_port: ${4:?ADMIN_PORT},
  backends: [], flushInterval: 86400000, deleteIdleStats: false
}
JS
    exec node "$folder/node_modules/statsd/stats.js" "$config"
    ;;
  cloudwatch)
    exec "$folder/bin/python" -m moto.server --host 127.0.0.1 --port "$port"
    ;;
  datadog)
    exec "$(victoria)" -httpListenAddr="127.0.0.1:$port" -storageDataPath="${STACK_DIR:?}/data/datadog" \
      -retentionPeriod=1d -search.latencyOffset=0s -memory.allowedBytes=60MB
    ;;
esac
