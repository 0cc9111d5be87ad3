"""The configuration files of an instance, from its ports and the files of deployment/monitoring."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import database_user
from embedded.instance import DATABASE, REPLICAS, ROLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox

MONITORING = Path(__file__).parent.parent.parent / "monitoring"
RECEIVER = Path(__file__).parent / "receiver.py"
DRAIN_S = 1
POOL_SIZE = 10


def write_configuration(instance: Instance, tools: Toolbox, data: Path, *, with_service: bool) -> None:
    """Write every configuration file of the instance into its ``conf`` folder."""
    conf = instance.path / "conf"
    (conf / "targets").mkdir(parents=True, exist_ok=True)
    for name, targets in _targets(instance, with_service=with_service).items():
        write_json(conf / "targets" / f"{name}.json", targets)
    for name in ("prometheus.yml", "rules.yml"):
        (conf / name).write_text((MONITORING / name).read_text())
    alertmanager = (MONITORING / "alertmanager.yml").read_text()
    (conf / "alertmanager.yml").write_text(
        alertmanager.replace("http://127.0.0.1:9095/", instance.url("notifications") + "/"),
    )
    _write_secret(conf / "valkey.conf", _valkey(instance))
    if with_service:
        write_json(conf / "envoy.json", _envoy(instance))
        write_endpoints(instance, dict.fromkeys(REPLICAS, 50))
    _write_secret(instance.supervisor_conf, _supervisor(instance, tools, data, with_service=with_service))


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole or not at all: Envoy and Prometheus watch theirs."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.rename(path)


def write_endpoints(instance: Instance, weights: Mapping[str, int]) -> None:
    """Give each replica its share of the requests, in per cent; one with 0 gets no new ones. Takes effect at once."""
    endpoints = [
        {
            "endpoint": {
                "address": _address(instance.ports[f"service-{replica}"]),
                "hostname": f"service-{replica}",
            },
            "health_status": "HEALTHY" if weight else "DRAINING",
            "load_balancing_weight": max(weight, 1),
        }
        for replica, weight in weights.items()
    ]
    kind = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
    assignment = {"@type": kind, "cluster_name": "service", "endpoints": [{"lb_endpoints": endpoints}]}
    write_json(instance.path / "conf/endpoints.json", {"resources": [assignment]})


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
        "postgres": [target("postgres-exporter")],
        "valkey": [target("valkey-exporter")],
        "prometheus": [target("prometheus")],
        "alertmanager": [target("alertmanager")],
    }


def _supervisor(instance: Instance, tools: Toolbox, data: Path, *, with_service: bool) -> str:
    root = "user=root\n" if os.geteuid() == 0 else ""
    port, password = instance.ports["supervisor"], instance.supervisor_password
    sections = [
        f"[supervisord]\n{root}logfile={instance.path}/logs/supervisord.log\npidfile={instance.path}/supervisord.pid\n"
        f"childlogdir={instance.path}/logs\nminfds=1024\nloglevel=info\n",
        f"[inet_http_server]\nport=127.0.0.1:{port}\nusername=stack\npassword={password}\n",
        f"[supervisorctl]\nserverurl=http://127.0.0.1:{port}\nusername=stack\npassword={password}\n",
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    sections += _programs(instance, tools, data, with_service=with_service)
    return "\n".join(sections)


def _programs(instance: Instance, tools: Toolbox, data: Path, *, with_service: bool) -> list[str]:
    ports, conf, folder = instance.ports, instance.path / "conf", instance.path
    # Resolved: PostgreSQL and Alertmanager look for their files relative to where they really are.
    run = {name: tools.program(name).resolve() for name in ("postgres", "valkey-server", "prometheus", "alertmanager")}
    database = f"127.0.0.1:{ports['postgres']}/{DATABASE}?sslmode=disable"
    dropped = database_user()
    programs = [
        _program(
            folder,
            "postgres",
            f'"{run["postgres"]}" -D "{data}"',
            stopsignal="INT",
            directory=str(data.parent),
            **({"user": dropped} if dropped else {}),
        ),
        _program(folder, "valkey", f'"{run["valkey-server"]}" "{conf}/valkey.conf"'),
        _program(
            folder,
            "postgres-exporter",
            f'"{tools.program("postgres_exporter").resolve()}" --web.listen-address=127.0.0.1:{ports["postgres-exporter"]}',
            environment={
                "DATA_SOURCE_URI": database,
                "DATA_SOURCE_USER": ROLE,
                "DATA_SOURCE_PASS": instance.database_password,
            },
        ),
        _program(
            folder,
            "valkey-exporter",
            f'"{tools.program("redis_exporter").resolve()}" -web.listen-address=127.0.0.1:{ports["valkey-exporter"]}',
            environment={
                "REDIS_ADDR": f"redis://127.0.0.1:{ports['valkey']}",
                "REDIS_PASSWORD": instance.redis_password,
            },
        ),
        _program(
            folder,
            "notifications",
            f'"{tools.python}" "{RECEIVER}" {ports["notifications"]} "{instance.notifications}"',
        ),
        _program(
            folder,
            "alertmanager",
            f'"{run["alertmanager"]}" "--config.file={conf}/alertmanager.yml" "--storage.path={folder}/data/alertmanager"'
            f" --web.listen-address=127.0.0.1:{ports['alertmanager']} --cluster.listen-address=",
            directory=str(tools.debian_root if tools.debian_root.exists() else folder),
        ),
        _program(
            folder,
            "prometheus",
            f'"{run["prometheus"]}" "--config.file={conf}/prometheus.yml" "--storage.tsdb.path={folder}/data/prometheus"'
            f" --web.listen-address=127.0.0.1:{ports['prometheus']} --web.enable-lifecycle --rules.alert.resend-delay=2s",
        ),
    ]
    if with_service:
        programs += [_replica(instance, replica) for replica in REPLICAS]
        programs.append(
            _program(
                folder,
                "envoy",
                f'"{tools.program("envoy").resolve()}" -c "{conf}/envoy.json" --disable-hot-restart --concurrency 2'
                " --log-level warning --drain-time-s 1 --parent-shutdown-time-s 2",
            ),
        )
    return programs


def _replica(instance: Instance, replica: str) -> str:
    return _program(
        instance.path,
        f"service-{replica}",
        f'"{instance.path}/replicas/{replica}/current/bin/ia-service" serve --host 127.0.0.1'
        f" --port {instance.ports[f'service-{replica}']}",
        directory=f"{instance.path}/replicas/{replica}",
        stopwaitsecs="40",
        environment={
            "DATABASE_URL": instance.database_url,
            "REDIS_URL": instance.redis_url,
            "POOL_SIZE": str(POOL_SIZE),
            "SERVICE_NAME": f"service-{replica}",
            "DRAIN_SECONDS": str(DRAIN_S),
        },
    )


def _program(folder: Path, name: str, command: str, environment: Mapping[str, str] | None = None, **more: str) -> str:
    options = {
        "command": command.replace("%", "%%"),
        "directory": str(folder),
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "20",
        "stopwaitsecs": "15",
        "redirect_stderr": "true",
        "stdout_logfile": f"{folder}/logs/{name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    } | more
    if environment:
        options["environment"] = ",".join(f'{key}="{value}"' for key, value in environment.items()).replace("%", "%%")
    return "\n".join((f"[program:{name}]", *(f"{key}={value}" for key, value in options.items()), ""))


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy(instance: Instance) -> dict[str, object]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }
    # Switched off at 0 %; POST /runtime_modify?fault.http.abort.abort_percent=10 on the admin port turns it on.
    fault = {
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"fixed_delay": "1s", "percentage": {"numerator": 0}},
            "abort": {"http_status": 503, "percentage": {"numerator": 0}},
        },
    }
    # Retried only where the replica cannot have seen the request: a pipeline must never run twice.
    retry = {
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.02s", "max_interval": "0.2s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
                },
            },
        ],
        "host_selection_retry_max_attempts": 3,
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "120s", "retry_policy": retry}}
    connections = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "service",
        "generate_request_id": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "service", "domains": ["*"], "routes": [route]}]},
        "http_filters": [fault, router],
    }
    listener = {
        "name": "service",
        "address": _address(instance.ports["envoy"]),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]},
        ],
    }
    conf = instance.path / "conf"
    cluster = {
        "name": "service",
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {
            "eds_config": {
                "path_config_source": {"path": f"{conf}/endpoints.json", "watched_directory": {"path": str(conf)}},
            },
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "0.2s",
                "no_traffic_interval": "0.2s",
                "unhealthy_interval": "0.2s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/ready"},
            },
        ],
    }
    return {
        "node": {"id": instance.id, "cluster": "staging"},
        "admin": {"address": _address(instance.ports["envoy-admin"])},
        "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
