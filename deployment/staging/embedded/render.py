"""The configuration files of an instance, from its ports and the files of deployment/monitoring."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from embedded import balancer, monitoring, supervision
from embedded.instance import REPLICAS

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox


def write_configuration(instance: Instance, tools: Toolbox, data: Path, *, with_service: bool) -> None:
    """Write every configuration file of the instance into its ``conf`` folder."""
    conf = instance.path / "conf"
    (conf / "targets").mkdir(parents=True, exist_ok=True)
    for name, targets in _targets(instance, with_service=with_service).items():
        write_json(conf / "targets" / f"{name}.json", targets)
    # No mail server listens yet.
    files = monitoring.configuration(instance.url("notifications"), "127.0.0.1:9")
    for name, text in files.items():
        (conf / name).write_text(text)
    _write_secret(conf / "valkey.conf", _valkey(instance))
    if with_service:
        write_json(conf / "envoy.json", balancer.configuration(instance))
        write_json(balancer.endpoints_file(instance), balancer.endpoints(instance, dict.fromkeys(REPLICAS, 50)))
    programs = supervision.programs(instance, tools, data, with_service=with_service)
    _write_secret(instance.supervisor_conf, supervision.configuration(instance, programs))


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all: Envoy and Prometheus watch theirs."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.rename(path)


def program_names(*, with_service: bool) -> tuple[str, ...]:
    """Return the names of the instance's processes, as the supervisor and the logs call them."""
    base = ("postgres", "valkey", "postgres-exporter", "valkey-exporter", "notifications", "alertmanager", "prometheus")
    return (*base, *(f"service-{replica}" for replica in REPLICAS), "envoy") if with_service else base


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


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
        "postgres": [target("postgres-exporter", server="primary")],
        "node": [],
        "valkey": [target("valkey-exporter")],
        "prometheus": [target("prometheus")],
        "alertmanager": [target("alertmanager")],
    }
