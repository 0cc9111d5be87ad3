"""A MariaDB server for one test: unpacked into the cache, with data of its own that goes when the server does."""

from __future__ import annotations

import argparse
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import DONE, cache_dir, locked, make_cache
from embedded.errors import MissingProgramsError, StagingError
from embedded.toolbox import Toolbox, prepare_toolbox, run, unpack_debian

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("libaio1", "libnuma1", "liburing2", "mariadb-client-core", "mariadb-common", "mariadb-server-core")
DRIVER = "pymysql==1.2.4"
ANSWERS_S = 60.0
ENDS_S = 10.0


def main(arguments: Sequence[str]) -> int:
    """Serve until told to end; return 0, or 1 when the server cannot be had or does not come up."""
    options = _parser().parse_args(arguments)
    try:
        serve(cache_dir(os.environ), options.folder.absolute())
    except StagingError as error:
        print(f"mariadb: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deployment/staging/mariadb",
        description="Start a MariaDB server on a free loopback port, serve until TERM or Ctrl-C, and remove FOLDER. "
        "FOLDER/env, which is there as soon as it answers, has MARIADB_URL, the address of an empty database, and "
        "MARIADB_PYTHONPATH, where the driver is that the library needs for it. The first time it fetches both. "
        "Exit status: 0 ended as told, 1 not, 2 usage.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where its data goes; must not exist")
    return parser


def serve(cache: Path, folder: Path) -> None:
    """Prepare the programs, make a data directory and run the server in the foreground; raise StagingError."""
    if folder.exists():
        raise StagingError(f"{folder} is there already; is another server running? Else remove it")
    root = _prepare(cache)
    programs = root / "debian/usr"
    libraries = ":".join(str(path) for path in sorted((programs / "lib").glob("*-linux-gnu")))
    environ = os.environ | {"LD_LIBRARY_PATH": libraries}
    # MariaDB runs as root only when told to. It listens on loopback, with a password, for the length of a test.
    user = ["--user=root"] if os.geteuid() == 0 else []
    folder.mkdir(parents=True, mode=0o700)
    try:
        base = [f"--basedir={programs}", f"--datadir={folder / 'data'}", *user]
        run([str(programs / "bin/mariadb-install-db"), "--no-defaults", *base, "--skip-test-db"], environ=environ)
        _serve(folder, [str(programs / "sbin/mariadbd"), "--no-defaults", *base], environ, root / "python")
    finally:
        shutil.rmtree(folder)


def _serve(folder: Path, command: list[str], environ: dict[str, str], driver: Path) -> None:
    password = secrets.token_urlsafe(18)
    first = folder / "first.sql"
    first.touch(mode=0o600)
    # One statement per line is what the server reads here.
    statements = (
        "CREATE DATABASE ia_modules",
        f"CREATE USER ia@'127.0.0.1' IDENTIFIED BY '{password}'",
        "GRANT ALL ON ia_modules.* TO ia@'127.0.0.1'",
        "ALTER USER root@localhost ACCOUNT LOCK",
    )
    first.write_text("".join(f"{statement};\n" for statement in statements))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listen = [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", f"--socket={folder / 's'}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, *listen, f"--init-file={first}", f"--pid-file={folder / 'pid'}"],
            env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait(server, port, folder / "log")
        first.unlink()
        part = folder / "env.part"
        part.touch(mode=0o600)
        part.write_text(
            f"MARIADB_URL='mysql://ia:{password}@127.0.0.1:{port}/ia_modules'\nMARIADB_PYTHONPATH='{driver}'\n"
        )
        part.rename(folder / "env")
        print(f"MariaDB answers on port {port}", flush=True)
        server.wait()
        raise StagingError(f"the server has ended:\n{_end(folder / 'log')}")
    finally:
        server.terminate()
        try:
            server.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + ANSWERS_S
    while True:
        # The port is open before the first statements are read: a greeting is what counts.
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as probe:
            if probe.recv(1):
                return
        if server.poll() is not None or time.monotonic() > deadline:
            raise StagingError(f"the server does not come up:\n{_end(log)}")
        time.sleep(0.1)


def _end(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _prepare(cache: Path) -> Path:
    """Return the folder of the unpacked server and the driver; fill it when it is not there yet."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingProgramsError({"mariadbd": "this test unpacks Debian's packages; run it on Debian or Ubuntu"})
    make_cache(cache)
    key = hashlib.sha256(f"{PACKAGES} {DRIVER}".encode()).hexdigest()[:12]
    root = cache / f"mariadb-{key}"
    with locked(cache / "mariadb.lock", "waiting for another test to fetch MariaDB"):
        if not (root / DONE).exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            unpack_debian(Toolbox(root), list(PACKAGES))
            uv = str(prepare_toolbox(cache).program("uv"))
            run([uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(root / "python"), DRIVER])
            (root / DONE).touch()
    return root
