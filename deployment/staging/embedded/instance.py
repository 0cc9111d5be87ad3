"""One stack: its folder, its ports, its secrets, and the variables that others need to talk to it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded import volume
from embedded.cache import locked
from embedded.errors import StagingError
from embedded.toolbox import Toolbox

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "STAGING_STACK_ID"
DATABASE = "ia_modules"
ROLE = "ia"
REPLICAS = ("a", "b")
# Replicas that the stack can be scaled out to; scale.sh starts them.
SPARE_REPLICAS = ("c", "d")
# The PostgreSQL servers and their data directories: the primary, its streaming standby, one for restores beside them.
SERVERS = {"postgres": "data", "postgres-replica": "replica", "postgres-scratch": "scratch"}
PORTS = (
    *SERVERS,
    "valkey",
    *(f"service-{replica}" for replica in REPLICAS + SPARE_REPLICAS),
    *(f"otlp-{replica}" for replica in REPLICAS + SPARE_REPLICAS),
    "envoy",
    "envoy-admin",
    "prometheus",
    "alertmanager",
    "notifications",
    "mailbox",
    "supervisor",
    "postgres-exporter",
    "replica-exporter",
    "valkey-exporter",
    "node-exporter",
    # Receivers of metrics, which nobody starts but a procedure that is about them.
    "statsd",
    "statsd-admin",
    "cloudwatch",
    "datadog",
)
DATABASE_PROGRAMS = (
    *(
        "psql",
        "pg_dump",
        "pg_restore",
        "createdb",
        "dropdb",
        "pg_isready",
        "pg_basebackup",
        "pg_verifybackup",
        "pgbench",
    ),
    *("pg_amcheck", "pg_archivecleanup", "pg_checksums", "pg_controldata", "pg_ctl", "pg_rewind", "pg_waldump"),
)
# Below the ports that kernels hand to outgoing connections, so that none of those takes ours.
FIRST_PORT, LAST_PORT, SLOT = 15000, 30000, 32


@dataclass(frozen=True, slots=True)
class Instance:
    """What an instance is, as ``state.json`` in its folder keeps it."""

    folder: str
    database_folder: str
    ports: Mapping[str, int]
    database_password: str
    redis_password: str
    supervisor_password: str
    release: str
    toolbox: str
    session_secret: str

    @property
    def tools(self) -> Toolbox:
        """The programs that the instance was started with."""
        return Toolbox(Path(self.toolbox))

    @property
    def id(self) -> str:
        """The name that every process of the instance carries in its environment."""
        return instance_id(Path(self.folder))

    @property
    def path(self) -> Path:
        """The instance's folder."""
        return Path(self.folder)

    @property
    def supervisor_conf(self) -> Path:
        """The configuration of the supervisor, which supervisorctl reads too."""
        return self.path / "conf/supervisord.conf"

    @property
    def notifications(self) -> Path:
        """The file that the local alert receiver appends to, one JSON document a line."""
        return self.path / "notifications.jsonl"

    def url(self, service: str) -> str:
        """Return the HTTP address of a service on the loopback interface."""
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def mailbox(self) -> Path:
        """The file that the local mail server appends to, one JSON document a line."""
        return self.path / "mailbox.jsonl"

    @property
    def metrics(self) -> Path:
        """The folder whose ``*.prom`` files the node exporter publishes."""
        return self.path / "metrics"

    @property
    def service_env(self) -> Path:
        """The file with the environment of every replica, read when one starts."""
        return self.path / "conf/service.env"

    @property
    def receivers(self) -> Path:
        """The folder in the cache where receivers of metrics are installed, once for all instances."""
        return Path(self.database_folder).parent.parent / "receivers"

    def database_dir(self, server: str) -> Path:
        """Return the data directory of one of the PostgreSQL servers."""
        return Path(self.database_folder) / SERVERS[server]

    @property
    def wal_archive(self) -> Path:
        """The folder that the primary copies its finished WAL segments to."""
        return Path(self.database_folder) / "wal_archive"

    def database_url(self, server: str = "postgres") -> str:
        """Return the address of the service's database on one of the PostgreSQL servers."""
        return f"postgresql://{ROLE}:{self.database_password}@127.0.0.1:{self.ports[server]}/{DATABASE}"

    @property
    def service_database_url(self) -> str:
        """The address as the service knows it: whichever of the two servers takes writes."""
        servers = ",".join(f"127.0.0.1:{self.ports[server]}" for server in ("postgres", "postgres-replica"))
        login = f"{ROLE}:{self.database_password}"
        return f"postgresql://{login}@{servers}/{DATABASE}?target_session_attrs=read-write"

    @property
    def redis_url(self) -> str:
        """The address of Valkey."""
        return f"redis://:{self.redis_password}@127.0.0.1:{self.ports['valkey']}/0"

    def variables(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return what procedures and scripts need to work on this instance."""
        return {
            "DATABASE_URL": self.database_url(),
            "REPLICA_DATABASE_URL": self.database_url("postgres-replica"),
            "SCRATCH_DATABASE_URL": self.database_url("postgres-scratch"),
            "DATABASE_DIR": str(self.database_dir("postgres")),
            "REPLICA_DATABASE_DIR": str(self.database_dir("postgres-replica")),
            "SCRATCH_DATABASE_DIR": str(self.database_dir("postgres-scratch")),
            "WAL_ARCHIVE_DIR": str(self.wal_archive),
            "REDIS_URL": self.redis_url,
            "API_URL": self.url("envoy"),
            **{f"SERVICE_{name.upper()}_URL": self.url(f"service-{name}") for name in REPLICAS + SPARE_REPLICAS},
            **{f"SERVICE_{name.upper()}_OTLP": f"127.0.0.1:{self.ports[f'otlp-{name}']}" for name in REPLICAS},
            "STATSD_ADDRESS": f"127.0.0.1:{self.ports['statsd']}",
            "STATSD_ADMIN_ADDRESS": f"127.0.0.1:{self.ports['statsd-admin']}",
            "CLOUDWATCH_URL": self.url("cloudwatch"),
            "DATADOG_URL": self.url("datadog"),
            "RECEIVERS_DIR": str(self.receivers),
            "LOAD_BALANCER_ADMIN_URL": self.url("envoy-admin"),
            "PROMETHEUS_URL": self.url("prometheus"),
            "ALERTMANAGER_URL": self.url("alertmanager"),
            "NOTIFICATIONS": str(self.notifications),
            "MAILBOX": str(self.mailbox),
            "STACK_DIR": self.folder,
            "BACKUP_DIR": str(self.path / "backups"),
            "RELEASES_DIR": str(self.path / "releases"),
            "REPLICAS_DIR": str(self.path / "replicas"),
            "SERVICE_ENV": str(self.service_env),
            "ENDPOINTS_FILE": str(self.path / "conf/endpoints.json"),
            "TARGETS_DIR": str(self.path / "conf/targets"),
            "METRICS_DIR": str(self.metrics),
            "PROMETHEUS_CONF": str(self.path / "conf/prometheus.yml"),
            "ALERTMANAGER_CONF": str(self.path / "conf/alertmanager.yml"),
            "SUPERVISOR_CONF": str(self.supervisor_conf),
            "PATH": f"{self.path / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}",
        }


def instance_id(folder: Path) -> str:
    """Return the short name of the instance that lives in ``folder``."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def stack_folder(environ: Mapping[str, str]) -> Path:
    """Return the absolute folder of the instance that this command is about."""
    return Path(environ.get("RUNBOOK_STACK_DIR") or ".runbook-checks/stack/manual").absolute()


def read_instance(folder: Path) -> Instance | None:
    """Return what ``folder`` says about its instance, or None when there is none."""
    try:
        return Instance(**json.loads((folder / "state.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StagingError(f"{folder / 'state.json'} cannot be read: {error}; run `stack down` to clear it") from error


def create_instance(cache: Path, folder: Path, tools: Toolbox, database_password: str, release: str) -> Instance:
    """Make the folders, ports and secrets of a new instance, keeping those of a stopped one that kept its data."""
    kept = read_instance(folder)
    instance = Instance(
        folder=str(folder),
        database_folder=str(cache / "instances" / instance_id(folder)),
        ports=claim_ports(cache, folder, kept.ports if kept else {}),
        database_password=database_password,
        redis_password=kept.redis_password if kept else secrets.token_urlsafe(18),
        supervisor_password=kept.supervisor_password if kept else secrets.token_urlsafe(18),
        release=kept.release if kept else release,
        toolbox=str(tools.root),
        session_secret=kept.session_secret if kept else secrets.token_urlsafe(32),
    )
    for name in ("bin", "conf", "logs", "backups", "releases", "replicas", "data", "metrics"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    state = folder / "state.json"
    state.touch(mode=0o600)
    state.write_text(json.dumps(asdict(instance), indent=1) + "\n")
    return instance


def remove_instance(cache: Path, folder: Path) -> None:
    """Remove the folder of an instance, its database files and its claim on ports."""
    volume.unmount(folder / "backups")
    shutil.rmtree(cache / "instances" / instance_id(folder), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    release_ports(cache, folder)


def link_programs(instance: Instance) -> None:
    """Put the programs that procedures use into the instance's ``bin``, and supervisorctl with its configuration."""
    for name in (*DATABASE_PROGRAMS, "promtool", "amtool", "k6", "uv"):
        link = instance.path / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(instance.tools.program(name))
    wrapper = instance.path / "bin/supervisorctl"
    tools = instance.tools
    command = (str(tools.python), str(tools.program("supervisorctl").resolve()), "-c", str(instance.supervisor_conf))
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    wrapper.chmod(0o755)


def claim_ports(cache: Path, folder: Path, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return free ports that no other instance of this cache has claimed, the wanted ones when they are still free."""
    claims = cache / "ports"
    claims.mkdir(exist_ok=True)
    with locked(cache / "ports.lock", "waiting for another stack to take its ports"):
        taken = {int(claim.name) for claim in claims.iterdir() if _is_live(claim, folder)}
        if wanted and min(wanted.values()) not in taken and all(map(_is_free, wanted.values())):
            (claims / str(min(wanted.values()))).write_text(str(folder))
            return dict(wanted)
        for first in range(FIRST_PORT, LAST_PORT, SLOT):
            ports = {name: first + offset for offset, name in enumerate(PORTS)}
            if first not in taken and all(map(_is_free, ports.values())):
                (claims / str(first)).write_text(str(folder))
                return ports
    raise StagingError(f"no {len(PORTS)} free ports in a row between {FIRST_PORT} and {LAST_PORT}; stop another stack")


def release_ports(cache: Path, folder: Path) -> None:
    """Give back the ports that the instance had claimed."""
    with locked(cache / "ports.lock", "waiting for another stack to take its ports"):
        for claim in (cache / "ports").glob("*"):
            if claim.read_text() == str(folder):
                claim.unlink()


def _is_live(claim: Path, folder: Path) -> bool:
    """Whether a claim stands; one of ``folder`` itself is removed, one of a removed instance with its database."""
    owner = Path(claim.read_text())
    if owner != folder and owner.exists():
        return True
    if owner != folder:
        shutil.rmtree(claim.parent.parent / "instances" / instance_id(owner), ignore_errors=True)
    claim.unlink()
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
