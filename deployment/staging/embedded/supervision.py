"""The programs of an instance as the supervisor knows them."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import database_user
from embedded.database import settings_file
from embedded.instance import DATABASE, REPLICAS, ROLE, SERVERS, SPARE_REPLICAS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox

HERE = Path(__file__).parent
QUERIES = HERE.parent.parent / "monitoring/postgres/queries.yml"


@dataclass(frozen=True, slots=True)
class Supervised:
    """A program that the supervisor keeps running; without a folder it runs in the instance's, as the caller."""

    name: str
    command: tuple[str, ...]
    folder: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    stop_s: int = 15
    starts: bool = True


def programs(instance: Instance, tools: Toolbox, *, with_service: bool) -> tuple[Supervised, ...]:
    """Return every program of the instance, those too that are not started with it."""
    stores = (*_databases(instance, tools), *_exporters(instance, tools), *_monitoring(instance, tools))
    stores = (*stores, _backup_schedule(instance), *_receivers(instance))
    if not with_service:
        return stores
    replicas = (_replica(instance, replica) for replica in REPLICAS + SPARE_REPLICAS)
    return (*stores, *replicas, _balancer(instance, tools))


def configuration(instance: Instance, supervised: Sequence[Supervised]) -> str:
    """Return the supervisor's configuration file, which supervisorctl reads too."""
    address = f"127.0.0.1:{instance.ports['supervisor']}"
    login = {"username": "stack", "password": instance.supervisor_password}
    supervisord = {
        "logfile": f"{instance.path}/logs/supervisord.log",
        "pidfile": f"{instance.path}/supervisord.pid",
        "childlogdir": f"{instance.path}/logs",
    }
    if os.geteuid() == 0:
        supervisord["user"] = "root"
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    sections = {
        "supervisord": supervisord,
        "inet_http_server": {"port": address, **login},
        "supervisorctl": {"serverurl": f"http://{address}", **login},
        "rpcinterface:supervisor": {"supervisor.rpcinterface_factory": factory},
    }
    sections |= {f"program:{program.name}": _options(instance, program) for program in supervised}
    return "\n".join(_section(name, options) for name, options in sections.items())


def _section(name: str, options: Mapping[str, str]) -> str:
    lines = (f"{key}={value.replace('%', '%%')}" for key, value in options.items())
    return "\n".join((f"[{name}]", *lines, ""))


def _options(instance: Instance, program: Supervised) -> dict[str, str]:
    options = {
        "command": shlex.join(program.command),
        "directory": str(program.folder or instance.path),
        "autostart": str(program.starts).lower(),
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "20",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_s),
        "redirect_stderr": "true",
        "stdout_logfile": f"{instance.path}/logs/{program.name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": "1",
    }
    if program.user:
        options["user"] = program.user
    if program.environment:
        options["environment"] = ",".join(f'{name}="{value}"' for name, value in program.environment.items())
    return options


def _databases(instance: Instance, tools: Toolbox) -> tuple[Supervised, ...]:
    return (
        *(_server(instance, tools, server) for server in SERVERS),
        Supervised("valkey", (_resolved(tools, "valkey-server"), f"{instance.path}/conf/valkey.conf")),
    )


def _server(instance: Instance, tools: Toolbox, server: str) -> Supervised:
    data, settings = instance.database_dir(server), settings_file(instance, server)
    return Supervised(
        server,
        (_resolved(tools, "postgres"), "-D", str(data), f"--config-file={settings}"),
        folder=data.parent,
        user=database_user(),
        stop_signal="INT",
        starts=server != "postgres-scratch",
    )


def _backup_schedule(instance: Instance) -> Supervised:
    known = instance.variables(os.environ)
    servers, folders = (
        ("DATABASE_URL", "REPLICA_DATABASE_URL"),
        ("BACKUP_DIR", "WAL_ARCHIVE_DIR", "METRICS_DIR", "STACK_DIR"),
    )
    return Supervised(
        "backup-schedule",
        (str(HERE.parent.parent / "scripts/backup-schedule.sh"),),
        environment={name: known[name] for name in (*servers, *folders, "PATH")},
    )


def _exporters(instance: Instance, tools: Toolbox) -> tuple[Supervised, ...]:
    ports = instance.ports
    listen = f"--web.listen-address=127.0.0.1:{ports['node-exporter']}"
    collectors = ("cpu", "filesystem", "loadavg", "meminfo", "textfile", "time", "timex")
    return (
        _postgres_exporter(instance, tools, "postgres"),
        _postgres_exporter(instance, tools, "postgres-replica"),
        Supervised(
            "valkey-exporter",
            (_resolved(tools, "redis_exporter"), f"-web.listen-address=127.0.0.1:{ports['valkey-exporter']}"),
            environment={
                "REDIS_ADDR": f"redis://127.0.0.1:{ports['valkey']}",
                "REDIS_PASSWORD": instance.redis_password,
            },
        ),
        Supervised(
            "node-exporter",
            (
                _resolved(tools, "node_exporter"),
                listen,
                "--collector.disable-defaults",
                *(f"--collector.{name}" for name in collectors),
                f"--collector.textfile.directory={instance.metrics}",
            ),
        ),
    )


def _postgres_exporter(instance: Instance, tools: Toolbox, server: str) -> Supervised:
    name = {"postgres": "postgres-exporter", "postgres-replica": "replica-exporter"}[server]
    return Supervised(
        name,
        (
            _resolved(tools, "postgres_exporter"),
            f"--web.listen-address=127.0.0.1:{instance.ports[name]}",
            *_outdated_collectors(tools),
        ),
        environment={
            "DATA_SOURCE_URI": f"127.0.0.1:{instance.ports[server]}/{DATABASE}?sslmode=disable",
            "DATA_SOURCE_USER": ROLE,
            "DATA_SOURCE_PASS": instance.database_password,
            # This release's own queries are older than PostgreSQL 17; ours are in a file.
            "PG_EXPORTER_DISABLE_DEFAULT_METRICS": "true",
            "PG_EXPORTER_DISABLE_SETTINGS_METRICS": "true",
            "PG_EXPORTER_EXTEND_QUERY_PATH": str(QUERIES),
        },
    )


def _outdated_collectors(tools: Toolbox) -> tuple[str, ...]:
    """Return what switches off the exporter's collector that asks PostgreSQL 17 and later for columns they lack."""
    told = subprocess.run(
        [_resolved(tools, "postgres_exporter"), "--help"], capture_output=True, text=True, check=False
    )
    return ("--no-collector.bgwriter",) if "--collector.bgwriter " in told.stdout + told.stderr else ()


def _monitoring(instance: Instance, tools: Toolbox) -> tuple[Supervised, ...]:
    ports, conf, kept = instance.ports, instance.path / "conf", instance.path / "data"
    return (
        Supervised(
            "notifications",
            (str(tools.python), str(HERE / "receiver.py"), str(ports["notifications"]), str(instance.notifications)),
        ),
        Supervised(
            "mailbox", (str(tools.python), str(HERE / "mailbox.py"), str(ports["mailbox"]), str(instance.mailbox))
        ),
        Supervised(
            "alertmanager",
            (
                _resolved(tools, "alertmanager"),
                f"--config.file={conf}/alertmanager.yml",
                f"--storage.path={kept}/alertmanager",
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                "--cluster.listen-address=",
            ),
            folder=tools.debian_root if tools.debian_root.exists() else None,
        ),
        Supervised(
            "prometheus",
            (
                _resolved(tools, "prometheus"),
                f"--config.file={conf}/prometheus.yml",
                f"--storage.tsdb.path={kept}/prometheus",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                "--web.enable-lifecycle",
                "--rules.alert.resend-delay=2s",
            ),
        ),
    )


def _receivers(instance: Instance) -> tuple[Supervised, ...]:
    """Return what takes metrics in place of the products of others; none is started with the stack."""
    ports = {"statsd": ("statsd", "statsd-admin"), "cloudwatch": ("cloudwatch",), "datadog": ("datadog",)}
    return tuple(
        Supervised(
            name,
            (str(HERE.parent / "receiver.sh"), "run", name, *(str(instance.ports[port]) for port in own)),
            environment={
                "RECEIVERS_DIR": str(instance.receivers),
                "STACK_DIR": instance.folder,
                "PATH": instance.variables(os.environ)["PATH"],
            },
            starts=False,
        )
        for name, own in ports.items()
    )


def _replica(instance: Instance, replica: str) -> Supervised:
    # The environment file is read at the start, as a service manager does: a change there needs a restart.
    start = 'set -a && . "$SERVICE_ENV" && exec "$0" serve --host 127.0.0.1 --port "$1"'
    program = instance.path / "replicas" / replica / "current/bin/ia-service"
    return Supervised(
        f"service-{replica}",
        ("/bin/sh", "-c", start, str(program), str(instance.ports[f"service-{replica}"])),
        environment={
            "SERVICE_ENV": str(instance.service_env),
            "SERVICE_NAME": f"service-{replica}",
            "OTLP_GRPC_LISTEN": f"127.0.0.1:{instance.ports[f'otlp-{replica}']}",
        },
        stop_s=40,
        starts=replica in REPLICAS,
    )


def _balancer(instance: Instance, tools: Toolbox) -> Supervised:
    options = ("--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", "--drain-time-s", "1")
    return Supervised("envoy", (_resolved(tools, "envoy"), "-c", f"{instance.path}/conf/envoy.json", *options))


def _resolved(tools: Toolbox, name: str) -> str:
    # Where it really is: PostgreSQL looks for its files from there.
    return str(tools.program(name).resolve())
