#!/usr/bin/env bash
# Copy the whole database server, so that it can be restored to a point in time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  cat <<'TEXT'
Usage: deployment/scripts/base-backup.sh

Copies the files of the server that is the primary now, of $DATABASE_URL and $REPLICA_DATABASE_URL, into
$BACKUP_DIR/base/<id>/: data/ (pg_basebackup's compressed tar files with the WAL that makes them consistent, and its
manifest, which they are held against) and base.json (id, times, size, first WAL file needed). The server keeps running.
With the WAL in $WAL_ARCHIVE_DIR, restore-to-time.sh makes of it the server of any later moment. A copy that did not
finish leaves nothing behind.

Prints, last:
  base backup <id>, <bytes> bytes
Exit status: 0 done, 1 failed, 2 wrong usage or something missing.
TEXT
}

case "${1:-}" in
  -h | --help) usage && exit 0 ;;
  ?*) usage >&2 && exit 2 ;;
esac
# shellcheck source=deployment/scripts/servers.sh
source deployment/scripts/servers.sh
given DATABASE_URL BACKUP_DIR
need psql pg_isready pg_basebackup pg_verifybackup tar
server="$(the_primary)" || fail 'there is no primary, or there are two: nothing to copy; see deployment/scripts/promote.sh --help'
url="$(url_of "$server")"

umask 077
mkdir -p "$BACKUP_DIR/base"
partial="$(mktemp -d "$BACKUP_DIR/base/.partial-XXXXXX")"
trap 'rm -rf "$partial"' EXIT

now="to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
begun_at="$(ask "$url" "SELECT $now")"
(
  connect_to "$url"
  export PGAPPNAME=pg_basebackup # monitoring tells it by that name from a standby
  pg_basebackup --pgdata="$partial/data" --format=tar --compress=client-gzip:1 --wal-method=stream --checkpoint=fast \
    --manifest-checksums=SHA256 --label="base-backup.sh"
)
# The server's clock, after the end: from here on every moment can be reached.
ended_at="$(ask "$url" "SELECT $now")"
pg_verifybackup --quiet --no-parse-wal "$partial/data" || fail 'the copy is not what its manifest says; nothing was kept'

label="$(tar -xzOf "$partial/data/base.tar.gz" backup_label)"
first_wal="$(sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\))$/\1/p' <<<"$label")"
[[ $first_wal ]] || fail 'the copy has no backup_label that names its first WAL file; nothing was kept'
id="$(tr -d ' :-' <<<"${begun_at%.*}" | sed 's/^\(........\)/\1T/')Z"
size="$(find "$partial/data" -type f -exec wc -c {} + | awk '$2 != "total" { bytes += $1 } END { print bytes + 0 }')"
cat >"$partial/base.json" <<JSON
{
  "id": "$id",
  "begun_at": "$begun_at",
  "ended_at": "$ended_at",
  "server": "$server",
  "server_version": "$(ask "$url" 'SHOW server_version')",
  "first_wal": "$first_wal",
  "size_bytes": $size
}
JSON
[[ ! -e $BACKUP_DIR/base/$id ]] || fail "there is a base backup $id already; they cannot be made within one second"
mv "$partial" "$BACKUP_DIR/base/$id"
echo "base backup $id, $size bytes"
