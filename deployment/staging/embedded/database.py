"""PostgreSQL's files: a template made once per version, copied for the primary and the standby of each instance."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import database_user, locked
from embedded.errors import StagingError
from embedded.instance import DATABASE, ROLE, SERVERS

if TYPE_CHECKING:
    from embedded.instance import Instance
    from embedded.releases import Release
    from embedded.toolbox import Toolbox

SETTINGS = """\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 32MB
max_connections = 100
max_wal_senders = 5
wal_keep_size = 256MB
max_wal_size = 256MB
log_line_prefix = '%m [%p] %q%u@%d '
log_min_duration_statement = 1s
"""
UNUSED_S = 86400.0


def database_password(cache: Path) -> str:
    """Return the password of the service's role in every instance of this cache."""
    kept = cache / "database-password"
    with locked(cache / "password.lock", "waiting for another prepare"):
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(secrets.token_urlsafe(18))
        return kept.read_text()


def template(cache: Path, tools: Toolbox, release: Release | None) -> Path:
    """Return a data directory with the service's role and database, migrated by ``release``; make it when needed."""
    password = database_password(cache)
    made_by = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    key = hashlib.sha256(f"{tools.root.name} {password} {release and release.key} {made_by} {os.geteuid()}".encode())
    finished = cache / "templates" / key.hexdigest()[:12]
    if finished.exists():
        os.utime(finished)
        return finished
    with locked(cache / "template.lock", "waiting for another prepare to make the database template"):
        if finished.exists():
            return finished
        print("making the database template", flush=True)
        finished.parent.mkdir(exist_ok=True)
        for old in finished.parent.iterdir():
            if time.time() - old.stat().st_mtime > UNUSED_S:
                shutil.rmtree(old)
        with tempfile.TemporaryDirectory(dir=finished.parent, prefix="making-") as making:
            Path(making).chmod(0o755)
            data = Path(making) / "data"
            data.mkdir(mode=0o700)
            give(data)
            _initialise(tools, data, password)
            if release:
                _migrate(tools, data, password, release)
            data.rename(finished)
    return finished


def copy_template(source: Path, instance: Instance) -> None:
    """Copy the template for the primary and its standby, unless they are there, and write the servers' settings."""
    folder = Path(instance.database_folder)
    folder.mkdir(parents=True, exist_ok=True)
    for server in ("postgres", "postgres-replica"):
        data = instance.database_dir(server)
        if not data.exists():
            # cp keeps the owner when we are root, and is several times faster than copying file by file from here.
            _run(["cp", "-Rp", str(source), str(folder / "copying")])
            if server != "postgres":
                # Two copies of one cluster that was shut down in good order: the second follows the first from there.
                (folder / "copying/standby.signal").touch()
                give(folder / "copying/standby.signal")
            (folder / "copying").rename(data)
    instance.wal_archive.mkdir(mode=0o700, exist_ok=True)
    give(instance.wal_archive)
    for server in SERVERS:
        _write_settings(instance, server)


def settings_file(instance: Instance, server: str) -> Path:
    """Return a server's own settings, outside its data directory: a copy of that carries none of them along."""
    return Path(instance.database_folder) / f"{server}.conf"


def _write_settings(instance: Instance, server: str) -> None:
    lines = [f"include_if_exists '{instance.database_dir(server)}/postgresql.conf'", SETTINGS.strip()]
    lines.append(f"port = {instance.ports[server]}")
    if server != "postgres-scratch":
        archived = f'"{instance.wal_archive}/%f"'
        part = f'"{instance.wal_archive}/.%f.part"'
        # Never over a segment that is there: a second server with the same name for other data must not destroy it.
        # One that is the same already was archived just before a crash, and counts.
        command = f"if test -f {archived}; then cmp -s %p {archived}; else cp %p {part} && mv {part} {archived}; fi"
        upstream = next(other for other in ("postgres", "postgres-replica") if other != server)
        connection = f"host=127.0.0.1 port={instance.ports[upstream]} user={ROLE} password={instance.database_password}"
        lines += [
            "archive_mode = on",
            f"archive_command = '{command}'",
            f"primary_conninfo = '{connection} application_name={server.removeprefix('postgres-')}'",
            "recovery_target_timeline = 'latest'",
            "wal_retrieve_retry_interval = 500ms",
        ]
    path = settings_file(instance, server)
    path.touch(mode=0o600)
    path.write_text("\n".join((*lines, "")))
    give(path)


def give(path: Path) -> None:
    """Make ``path`` the database user's own when we are root."""
    if user := database_user():
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def as_database_user(command: list[str]) -> list[str]:
    """Return the command line that runs ``command`` as the user PostgreSQL may run as."""
    user = database_user()
    if user is None:
        return command
    if runuser := shutil.which("runuser") or shutil.which("runuser", path="/usr/sbin:/sbin"):
        return [runuser, "-u", user, "--", *command]
    if sudo := shutil.which("sudo"):
        return [sudo, "--non-interactive", "--user", user, *command]
    raise StagingError(
        "PostgreSQL refuses to run as root, and neither runuser nor sudo is here: apt-get install util-linux"
    )


def _initialise(tools: Toolbox, data: Path, password: str) -> None:
    initdb = [str(tools.program("initdb").resolve()), "--pgdata", str(data), "--username", "postgres", "--no-sync"]
    initdb += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums"]
    # Small segments: less to copy for each instance, and an archive that is soon up to date.
    initdb += ["--wal-segsize", "4"]
    # A file that only the database user may read: a command line would show the password to everybody.
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as secret:
        secret.write(secrets.token_urlsafe(24))
        secret.flush()
        give(Path(secret.name))
        _run(as_database_user([*initdb, "--pwfile", secret.name]))
    statements = (
        f"CREATE ROLE {ROLE} LOGIN CREATEDB REPLICATION PASSWORD '{password}'\n"
        f"GRANT pg_monitor, pg_checkpoint, pg_signal_backend TO {ROLE}\n"
        # In the maintenance database: a grant in the service's own would be part of its dumps.
        f"GRANT EXECUTE ON FUNCTION pg_switch_wal(), pg_promote(boolean, integer) TO {ROLE}\n"
        f"GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() TO {ROLE}\n"
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
    )
    single = [str(tools.program("postgres").resolve()), "--single", "-D", str(data), "postgres"]
    _run(as_database_user(single), statements)
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("include_if_exists = 'stack.conf'\n")


def _migrate(tools: Toolbox, data: Path, password: str, release: Release) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (data / "stack.conf").write_text(f"{SETTINGS}port = {port}\n")
    give(data / "stack.conf")
    pg_ctl = [str(tools.program("pg_ctl").resolve()), "--pgdata", str(data), "--silent", "--wait"]
    _run(as_database_user([*pg_ctl, "--log", str(data / "template.log"), "start"]))
    try:
        url = f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{DATABASE}"
        release.migrate(url)
    finally:
        _run(as_database_user([*pg_ctl, "--mode", "fast", "stop"]))


def _run(command: list[str], given: str = "") -> None:
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        # A file, not a pipe: the server that pg_ctl starts keeps the descriptor for its whole life.
        done = subprocess.run(
            command, input=given, stdout=output, stderr=subprocess.STDOUT, text=True, cwd="/", check=False
        )
        output.seek(0)
        text = output.read()
    # Single-user mode ends with status 0 after an error, and says so only in its output.
    if done.returncode or "ERROR:" in text or "FATAL:" in text:
        raise StagingError(f"{command[0]} failed after {time.monotonic() - begun:.1f} s:\n{text[-2000:]}")
