"""The command ``ia-service``: exit 0 done, 1 not as it should be, 2 a wrong command line or configuration."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from ia_service.fingerprint import fingerprint, shown
from ia_service.release import read_release
from ia_service.settings import ConfigurationError, read_settings

if TYPE_CHECKING:
    from ia_service.migrate import SchemaState


def run() -> None:
    """Run the command line and exit."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Carry out one command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "serve":
                return _serve(options.host, options.port)
            case "migrate":
                return _check() if options.check else _migrate(options)
            case "config":
                return _config()
            case _:
                print(json.dumps(asdict(read_release())))
                return 0
    except ConfigurationError as error:
        print(f"ia-service: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ia-service", description="Serve ia_modules pipelines over HTTP.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until SIGTERM; needs DATABASE_URL and REDIS_URL")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=_port, default=8000)
    migrate = commands.add_parser("migrate", help="bring the schema up to this release; needs DATABASE_URL")
    migrate.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 when something is pending or differs"
    )
    migrate.add_argument("--to", metavar="NAME", help="apply nothing after this migration, such as V002")
    migrate.add_argument("--accept", metavar="NAME", help="record this release's text of a migration that differs")
    migrate.add_argument("--wait", type=_seconds, default=60, metavar="SECONDS", help="for another migrator (60)")
    migrate.add_argument("--table-wait", type=_seconds, default=5, metavar="SECONDS", help="for a table in use (5)")
    commands.add_parser("config", help="print the effective settings without passwords, and their hash, as JSON")
    commands.add_parser("version", help="print the versions as JSON")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_536:  # noqa: PLR2004  # what TCP has
        raise ValueError
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:  # noqa: PLR2004  # an hour is for ever
        raise ValueError
    return seconds


def _serve(host: str, port: int) -> int:
    # Imported here: the other commands start four times as fast without the web framework.
    from ia_service.logs import configure_logging  # noqa: PLC0415
    from ia_service.replica import Replica  # noqa: PLC0415
    from ia_service.server import listen, serve  # noqa: PLC0415

    settings = read_settings(os.environ)
    release = read_release()
    try:
        listener = listen(host, port)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # create_server repeats the address
        print(f"ia-service: cannot listen on {host} port {port}: {reason}", file=sys.stderr)
        return 1
    configure_logging(settings.log_level, settings.name, release.release)
    serve(Replica(settings, release), listener)
    return 0


def _config() -> int:
    settings = read_settings(os.environ)
    print(json.dumps({"config": fingerprint(settings), "settings": shown(settings)}, indent=2))
    return 0


def _migrate(options: argparse.Namespace) -> int:
    from ia_service.migrate import MigrationError, UnknownMigrationError, find_migration, migrate  # noqa: PLC0415

    settings = read_settings(os.environ, redis_required=False)
    logging.getLogger("nexusql").setLevel(logging.CRITICAL)  # our one line says it all
    try:
        to, accept = (find_migration(name) if name else None for name in (options.to, options.accept))
        before, after = migrate(
            settings.database_url, to=to, accept=accept, turn_s=options.wait, table_s=options.table_wait
        )
    except UnknownMigrationError as error:
        print(f"ia-service: {error}", file=sys.stderr)
        return 2
    except MigrationError as error:
        print(f"ia-service: {error}", file=sys.stderr)
        return 1
    for name in before.pending:
        if name in after.applied:
            print(f"applied {name}")
    _notes(after)
    if after.pending:
        print(f"schema is at {after.current}; pending: {', '.join(after.pending)}")
    else:
        print(f"schema is current at {after.current}" + ("" if before.pending else "; nothing to do"))
    return 0


def _check() -> int:
    from ia_service.migrate import MigrationError, check  # noqa: PLC0415

    settings = read_settings(os.environ, redis_required=False)
    try:
        state = check(settings.database_url)
    except MigrationError as error:
        print(f"ia-service: {error}", file=sys.stderr)
        return 1
    print(f"current: {state.current}")
    print(f"pending: {', '.join(state.pending) or 'none'}")
    if state.differing:
        print(f"differing: {', '.join(state.differing)}")
    _notes(state)
    return 1 if state.pending or state.differing else 0


def _notes(state: SchemaState) -> None:
    for name in state.reworded:
        print(f"note: {name} was applied by a release that carries another text under this name")
    for name in state.ahead:
        print(f"note: {name} was applied by a newer release")


if __name__ == "__main__":
    run()
