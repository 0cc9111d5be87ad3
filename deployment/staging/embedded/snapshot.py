"""What a drill must leave as it was: what load does not change, and a repair that is only half done does."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import time
from typing import TYPE_CHECKING

from embedded import balancer, versions
from embedded.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from embedded.instance import Instance

# Tables that say how the service works; the others grow with every execution.
TABLES = ("ia_migrations", "pipeline_step_modules", "pipeline_templates", "pipelines")
_COUNTS = "\n".join(f"UNION ALL SELECT 'rows {table} ' || count(*) FROM {table}" for table in TABLES)  # noqa: S608
SQL = f"""
SELECT 'schema ' || md5(string_agg(concat_ws(' ', table_schema, table_name, column_name, data_type, is_nullable,
  column_default), ',' ORDER BY table_schema COLLATE "C", table_name COLLATE "C", column_name COLLATE "C"))
FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT 'indexes ' || md5(string_agg(indexdef, ',' ORDER BY indexdef COLLATE "C")) FROM pg_indexes
WHERE schemaname = 'public'
UNION ALL
SELECT 'settings ' || md5(string_agg(name || '=' || setting, ',' ORDER BY name COLLATE "C")) FROM pg_settings
WHERE source = 'configuration file' AND name NOT IN ('port', 'primary_conninfo')
{_COUNTS}
"""  # noqa: S608 - the names are ours
TIMEOUT_S = 10.0
SETTLE_S, POLL_S = 5.0, 0.2


def lines(instance: Instance) -> Iterator[str]:
    """Yield services with versions, programs with states, hashes of configuration files, and the database's shape.

    Raises StagingError when supervisor or database say nothing: what is not known cannot be told to be as before.
    """
    for name, version in versions.services(instance):
        yield f"service {name} {version}"
    yield from (f"program {name} {state}" for name, state in _programs(instance))
    conf = instance.path / "conf"
    for path in sorted(conf.rglob("*")):
        if path.is_file():
            yield f"file {path.relative_to(conf)} {_hash(_meaning(instance, path))}"
    answer = _said(instance, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", instance.service_database_url, "-c", SQL)
    yield from answer.splitlines()


def _programs(instance: Instance) -> list[tuple[str, str]]:
    """Return every program with its state, of which none is on its way to another, unless that takes it too long."""
    end = time.monotonic() + SETTLE_S
    while True:
        said = [line.split()[:2] for line in _said(instance, "supervisorctl", "status").splitlines()]
        if time.monotonic() > end or not any(state in {"STARTING", "STOPPING"} for _, state in said):
            return [(name, state) for name, state in said]
        time.sleep(POLL_S)


def _said(instance: Instance, program: str, *arguments: str) -> str:
    command = [str(instance.path / "bin" / program), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StagingError(f"{program} took longer than {TIMEOUT_S:g} s") from error
    if not done.stdout:
        raise StagingError(f"{program} said nothing: {done.stderr.strip()}")
    return done.stdout


def _meaning(instance: Instance, path: Path) -> bytes:
    """Return what a file says: what scripts write anew has other blanks, quotes and order, and means the same."""
    content = path.read_bytes()
    try:
        if path == instance.service_env:
            return "\n".join(sorted(shlex.split(content.decode(), comments=True))).encode()
        if path == balancer.endpoints_file(instance):
            read = json.loads(content)
            for endpoints in read["resources"][0]["endpoints"]:
                endpoints["lb_endpoints"].sort(key=lambda host: host["endpoint"]["hostname"])
            return json.dumps(read, sort_keys=True).encode()
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # damaged: then every byte counts
    return content


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
