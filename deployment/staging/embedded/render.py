"""The configuration files of an instance, from its ports and the files of deployment/monitoring."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from embedded import balancer, monitoring, supervision
from embedded.instance import REPLICAS
from embedded.volume import mount_point

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox


def write_configuration(instance: Instance, tools: Toolbox, *, with_service: bool) -> None:
    """Write every configuration file of the instance into its ``conf`` folder."""
    conf = instance.path / "conf"
    (conf / "targets").mkdir(parents=True, exist_ok=True)
    for name, targets in _targets(instance, with_service=with_service).items():
        write_json(conf / "targets" / f"{name}.json", targets)
    smtp = f"127.0.0.1:{instance.ports['mailbox']}"
    for name, text in monitoring.configuration(instance.url("notifications"), smtp).items():
        (conf / name).write_text(text)
    _write_secret(conf / "valkey.conf", _valkey(instance))
    if with_service:
        write_json(conf / "envoy.json", balancer.configuration(instance))
        write_json(balancer.endpoints_file(instance), balancer.endpoints(instance, dict.fromkeys(REPLICAS, 50)))
    _write_secret(instance.service_env, _service_env(instance))
    # Which of the machine's file systems are ours to watch: an alert looks at these alone.
    watched = f'ia_volume_info{{volume="backups",mountpoint="{mount_point(instance.path / "backups")}"}} 1'
    (instance.metrics / "volumes.prom").write_text(f"# TYPE ia_volume_info gauge\n{watched}\n")
    programs = supervision.programs(instance, tools, with_service=with_service)
    _write_secret(instance.supervisor_conf, supervision.configuration(instance, programs))


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all: Envoy and Prometheus watch theirs."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.rename(path)


def program_names(*, with_service: bool) -> tuple[str, ...]:
    """Return the names of the instance's processes, as the supervisor and the logs call them."""
    exporters = ("postgres-exporter", "replica-exporter", "valkey-exporter", "node-exporter")
    alerting = ("notifications", "mailbox", "alertmanager", "prometheus")
    base = ("postgres", "postgres-replica", "valkey", *exporters, *alerting, "backup-schedule")
    return (*base, *(f"service-{replica}" for replica in REPLICAS), "envoy") if with_service else base


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def _service_env(instance: Instance) -> str:
    values = {
        "DATABASE_URL": instance.service_database_url,
        "REDIS_URL": instance.redis_url,
        "POOL_SIZE": "10",
        "DRAIN_SECONDS": "1",
        "STUCK_AFTER_SECONDS": "10",
        "SESSION_SECRET": instance.session_secret,
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _valkey(instance: Instance) -> str:
    return "\n".join(
        (
            "bind 127.0.0.1",
            f"port {instance.ports['valkey']}",
            f"requirepass {instance.redis_password}",
            f'dir "{instance.path / "data"}"',
            "appendonly yes",
            # Its title would overwrite the environment that `stack down` recognises its processes by.
            "set-proc-title no",
            "daemonize no",
            "",
        ),
    )


def _targets(instance: Instance, *, with_service: bool) -> dict[str, list[dict[str, object]]]:
    def target(port: str, **labels: str) -> dict[str, object]:
        return {"targets": [f"127.0.0.1:{instance.ports[port]}"], "labels": labels}

    return {
        "service": [target(f"service-{replica}", replica=replica) for replica in REPLICAS] if with_service else [],
        "load-balancer": [target("envoy-admin")] if with_service else [],
        "postgres": [target("postgres-exporter", server="primary"), target("replica-exporter", server="replica")],
        "valkey": [target("valkey-exporter")],
        "node": [target("node-exporter")],
        "prometheus": [target("prometheus")],
        "alertmanager": [target("alertmanager")],
    }
