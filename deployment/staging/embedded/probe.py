"""Whether each service of an instance answers, asked the way its users ask."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

from embedded.instance import DATABASE, ROLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox

ANSWER_S = 5.0
# Prometheus takes up targets in fixed steps of 5 s, the first one 5 to 10 s after it started.
DISCOVERY_S = 12.0
# Which of the two servers is the primary changes with every failover; the other one follows it.
ROLE_SQL = """select case when not pg_is_in_recovery() then 'primary'
    when exists (select from pg_stat_wal_receiver where status = 'streaming') then 'standby' else 'lost' end"""
# A proxy of the caller's environment has nothing to do with the loopback interface.
_opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Finding:
    """A service that does not answer as it should, and what it did instead."""

    service: str
    problem: str


def look(instance: Instance, tools: Toolbox, *, with_service: bool) -> tuple[Finding, ...]:
    """Ask every service at once; return what is wrong, nothing when everything answers."""
    probes = _probes(instance, tools, with_service=with_service)
    with ThreadPoolExecutor(len(probes)) as pool:
        problems = pool.map(lambda probe: probe(), probes.values())
        return tuple(Finding(name, problem) for name, problem in zip(probes, problems, strict=True) if problem)


def wait(
    instance: Instance, tools: Toolbox, *, with_service: bool, deadline_s: float, alive: Callable[[], bool]
) -> tuple[Finding, ...]:
    """Ask until everything answers, the supervisor is gone, or the deadline passes; return what is still wrong."""
    end = time.monotonic() + deadline_s
    while (findings := look(instance, tools, with_service=with_service)) and alive() and time.monotonic() < end:
        time.sleep(0.05)
    return findings


def _probes(instance: Instance, tools: Toolbox, *, with_service: bool) -> dict[str, Callable[[], str]]:
    probes: dict[str, Callable[[], str]] = {
        "postgres": lambda: _postgres(instance, tools, "postgres"),
        "postgres-replica": lambda: _postgres(instance, tools, "postgres-replica"),
        "replication": lambda: _one_primary(instance, tools),
        "valkey": lambda: _valkey(instance),
        "notifications": lambda: _http(instance.url("notifications")),
        "mailbox": lambda: _greets(instance.ports["mailbox"]),
        "alertmanager": lambda: _http(f"{instance.url('alertmanager')}/-/ready"),
        "prometheus": lambda: _prometheus(instance),
        "postgres-exporter": lambda: _exporter(f"{instance.url('postgres-exporter')}/metrics", "pg_up 1"),
        "replica-exporter": lambda: _exporter(f"{instance.url('replica-exporter')}/metrics", "pg_up 1"),
        "node-exporter": lambda: _http(f"{instance.url('node-exporter')}/metrics"),
        "valkey-exporter": lambda: _exporter(f"{instance.url('valkey-exporter')}/metrics", "redis_up 1"),
    }
    if with_service:
        for replica in sorted(folder.name for folder in (instance.path / "replicas").glob("[a-z]")):
            url = f"{instance.url(f'service-{replica}')}/health"
            probes[f"service-{replica}"] = lambda url=url: _http(url)  # type: ignore[misc]
        probes["envoy"] = lambda: _envoy(instance)
    return probes


def _postgres(instance: Instance, tools: Toolbox, server: str) -> str:
    answer, problem = _role(instance, tools, server)
    return problem or ("it follows no primary" if answer == "lost" else "")


def _one_primary(instance: Instance, tools: Toolbox) -> str:
    roles = [_role(instance, tools, server)[0] for server in ("postgres", "postgres-replica")]
    return "" if roles.count("primary") == 1 else f"{roles.count('primary')} servers take writes"


def _role(instance: Instance, tools: Toolbox, server: str) -> tuple[str, str]:
    """Return ``primary``, ``standby``, or ``lost`` for a standby without a primary, and why there is no answer."""
    connection = ["-h", "127.0.0.1", "-p", str(instance.ports[server]), "-U", ROLE, "-d", DATABASE]
    done = subprocess.run(
        [str(tools.program("psql")), "-XqAt", *connection, "-c", ROLE_SQL],
        env=os.environ | {"PGPASSWORD": instance.database_password, "PGCONNECT_TIMEOUT": str(int(ANSWER_S))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip(), done.stderr.strip().partition("\n")[0] if done.returncode else ""


def _valkey(instance: Instance) -> str:
    try:
        with socket.create_connection(("127.0.0.1", instance.ports["valkey"]), timeout=ANSWER_S) as connection:
            connection.sendall(f"AUTH {instance.redis_password}\r\nPING\r\n".encode())
            with connection.makefile("rb") as answers:
                answer = answers.readline() + answers.readline()
    except OSError as error:
        return str(error)
    return "" if answer == b"+OK\r\n+PONG\r\n" else answer.decode(errors="replace").strip()


def _greets(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S) as connection:
            greeting = connection.recv(100).decode(errors="replace").strip()
    except OSError as error:
        return str(error)
    return "" if greeting.startswith("220 ") else f"it says {greeting!r}"


def _http(url: str) -> str:
    return _get(url)[1]


def _exporter(url: str, line: str) -> str:
    text, problem = _get(url)
    return problem or ("" if line in text.splitlines() else f"{url} does not say {line!r}")


def _prometheus(instance: Instance) -> str:
    text, problem = _get(f"{instance.url('prometheus')}/api/v1/targets?state=active")
    if problem:
        return problem
    targets = json.loads(text)["data"]["activeTargets"]
    # One that Prometheus has not asked yet is "unknown".
    labels = [target["labels"] for target in targets if target["health"] == "down"]
    down = [f"{label['job']} {label['instance']} is down" for label in labels]
    if targets:
        return "; ".join(down)
    text, problem = _get(f"{instance.url('prometheus')}/api/v1/status/runtimeinfo")
    if problem:
        return problem
    started_at = datetime.fromisoformat(json.loads(text)["data"]["startTime"])
    young = (datetime.now(UTC) - started_at).total_seconds() < DISCOVERY_S
    return "" if young else "it has found no targets"


def _envoy(instance: Instance) -> str:
    text, problem = _get(f"{instance.url('envoy-admin')}/clusters?format=json")
    if problem:
        return problem
    hosts = json.loads(text)["cluster_statuses"][0].get("host_statuses", [])
    out = [
        host["hostname"]
        for host in hosts
        if host["health_status"].get("eds_health_status") != "HEALTHY" or len(host["health_status"]) > 1
    ]
    if out or not hosts:
        return f"sends nothing to {', '.join(out) or 'any replica'}"
    return _http(f"{instance.url('envoy')}/health")


def _get(url: str) -> tuple[str, str]:
    """Return the body and no problem, or nothing and the problem."""
    try:
        with _opener.open(url, timeout=ANSWER_S) as answer:
            return answer.read().decode(), ""
    except HTTPError as error:
        return "", f"{url} answers {error.code}: {error.read(300).decode(errors='replace').strip()}"
    except URLError as error:
        return "", f"{url}: {error.reason}"
    except OSError as error:
        return "", f"{url}: {error}"
