"""The commands of the stack, as ``stack --help`` names them."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from embedded import database, releases, render, volume
from embedded.cache import cache_dir, locked, make_cache
from embedded.errors import StagingError
from embedded.instance import (
    REPLICAS,
    Instance,
    create_instance,
    instance_id,
    link_programs,
    read_instance,
    remove_instance,
    stack_folder,
)
from embedded.toolbox import Toolbox, prepare_toolbox, toolbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

STACK = Path(__file__).parent.parent / "stack"
UP_S = 45.0
# Stands in the folder of an instance that was stopped in good order, for its data to be found again.
KEPT = "kept"


def main(arguments: Sequence[str]) -> int:
    """Run one command; return 0, 1 when the stack does not answer or cannot start, 2 for a usage error."""
    options = _parser().parse_args(arguments)
    cache, folder = cache_dir(os.environ), stack_folder(os.environ)
    try:
        command: Callable[[argparse.Namespace, Path, Path], int] = options.run
        return command(options, cache, folder)
    except StagingError as error:
        print(f"stack {options.command}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stack",
        description="The embedded staging stack: real processes, no container engine and no root needed.",
        epilog="RUNBOOK_STACK_DIR names the instance's folder (default .runbook-checks/stack/manual); several live "
        "side by side. RUNBOOK_STAGING_CACHE overrides where programs, releases and database files are. "
        "Exit status: 0 done or healthy, 1 not, 2 usage.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, run, text in (
        ("prepare", _prepare, "install programs, build the release and the database template into the cache"),
        ("up", _up, "start the stack and return when everything answers; quick when it already does"),
        ("health", _health, "say what does not answer"),
        ("status", _status, "show processes, ports and what does not answer"),
        ("env", _env, "print the variables that procedures and scripts need, NAME=value"),
        ("services", _services, "print what the stack is made of, name and version"),
        ("snapshot", _snapshot, "print what a drill must leave as it was, a line each"),
        ("logs", _logs, "print the end of the logs, of all services or of one"),
        ("down", _down, "end every process and remove the data"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if name == "logs":
            sub.add_argument("service", nargs="?", help="only this one")
            sub.add_argument("--lines", type=int, default=40, help="how many lines of each (default 40)")
        if name == "down":
            sub.add_argument("--keep-data", action="store_true", help="stop in good order; the next up finds it again")
    return parser


def _prepare(_: argparse.Namespace, cache: Path, __: Path) -> int:
    begun = time.monotonic()
    _prepare_all(cache)
    print(f"prepared in {time.monotonic() - begun:.1f} s; the cache is {cache}")
    return 0


def _prepare_all(cache: Path) -> tuple[Toolbox, releases.Release | None, Path]:
    make_cache(cache)
    tools = prepare_toolbox(cache)
    release = releases.prepare_release(cache, releases.FIRST)
    return tools, release, database.template(cache, tools, release)


def _up(_: argparse.Namespace, cache: Path, folder: Path) -> int:
    begun = time.monotonic()
    # Before anything is prepared: what runs goes on running, whatever has changed in the sources.
    if _answers(folder):
        print(f"already up: {folder}")
        return 0
    tools, release, template = _prepare_all(cache)
    _continue_in(tools)
    from embedded import probe, processes  # noqa: PLC0415 - psutil is there only in the toolbox

    with _instance_lock(cache, folder):
        # Somebody else may have brought it up while we waited.
        if _answers(folder):
            print(f"already up: {folder}")
            return 0
        with_service = release is not None
        if _clear(cache, folder):
            print("it was up, but not well: starting anew", flush=True)
        if not (folder / KEPT).exists():
            remove_instance(cache, folder)
        folder.mkdir(parents=True, exist_ok=True)
        instance = create_instance(
            cache, folder, tools, database.database_password(cache), release.name if release else ""
        )
        volume.mount(folder / "backups")
        database.copy_template(template, instance)
        link_programs(instance)
        if release:
            _link_release(instance, release)
        render.write_configuration(instance, tools, with_service=with_service)
        processes.start(instance, tools)
        (folder / KEPT).unlink(missing_ok=True)
        findings = probe.wait(
            instance,
            tools,
            with_service=with_service,
            deadline_s=UP_S,
            alive=lambda: processes.supervisor_pid(instance) is not None,
        )
        if findings:
            for finding in findings:
                print(f"{finding.service}: {finding.problem}", file=sys.stderr)
                print(_tail(instance, finding.service, 15), file=sys.stderr)
            processes.end(instance.id)
            raise StagingError(f"not everything answered; all was stopped, logs are in {folder}/logs")
    names = ", ".join(render.program_names(with_service=with_service))
    print(f"up in {time.monotonic() - begun:.1f} s: {names}")
    places = {"API": "envoy", "Prometheus": "prometheus", "Alertmanager": "alertmanager"}
    print("  " + "  ".join(f"{title} {instance.url(service)}" for title, service in places.items()))
    print(f"  folder {folder}")
    return 0


def _answers(folder: Path) -> bool:
    """Whether the instance runs and everything of it answers."""
    instance = read_instance(folder)
    if instance is None or not instance.tools.ready:
        return False
    _continue_in(instance.tools)
    from embedded import probe, processes  # noqa: PLC0415 - psutil is there only in the toolbox

    supervised = processes.supervisor_pid(instance) is not None
    return supervised and not probe.look(instance, instance.tools, with_service=bool(instance.release))


def _health(_: argparse.Namespace, __: Path, folder: Path) -> int:
    from embedded import probe  # noqa: PLC0415 - with the others that only a running stack needs

    instance = _running(folder)
    findings = probe.look(instance, instance.tools, with_service=bool(instance.release))
    for finding in findings:
        print(f"{finding.service}: {finding.problem}")
    if not findings:
        print("everything answers")
    return 1 if findings else 0


def _status(options: argparse.Namespace, cache: Path, folder: Path) -> int:
    instance = _running(folder)
    print(f"folder {folder}")
    for name, port in instance.ports.items():
        print(f"  {name:<18} 127.0.0.1:{port}")
    subprocess.run([str(instance.path / "bin/supervisorctl"), "status"], check=False)
    sys.stdout.flush()
    return _health(options, cache, folder)


def _env(_: argparse.Namespace, __: Path, folder: Path) -> int:
    for name, value in _running(folder).variables(os.environ).items():
        print(f"{name}={value}")
    return 0


def _services(_: argparse.Namespace, __: Path, folder: Path) -> int:
    from embedded import versions  # noqa: PLC0415 - with the others that only a running stack needs

    for name, version in versions.services(_running(folder)):
        print(f"{name} {version}")
    return 0


def _snapshot(_: argparse.Namespace, __: Path, folder: Path) -> int:
    from embedded import snapshot  # noqa: PLC0415 - with the others that only a running stack needs

    for line in snapshot.lines(_running(folder)):
        print(line)
    return 0


def _logs(options: argparse.Namespace, _: Path, folder: Path) -> int:
    instance = _running(folder)
    names = (options.service,) if options.service else render.program_names(with_service=bool(instance.release))
    known = {path.stem for path in (instance.path / "logs").glob("*.log")}
    if options.service and options.service not in known:
        raise StagingError(f"no service {options.service}; there are {', '.join(sorted(known))}")
    for name in names:
        print(f"==> {name} <==\n{_tail(instance, name, options.lines)}")
    return 0


def _down(options: argparse.Namespace, cache: Path, folder: Path) -> int:
    begun = time.monotonic()
    try:
        instance = read_instance(folder)
    except StagingError:
        # Written by another version of this program: its processes are found all the same.
        instance = None
    tools = instance.tools if instance and instance.tools.ready else toolbox(cache)
    if not tools.ready:
        remove_instance(cache, folder)
        print("nothing runs: no stack was ever started from this cache")
        return 0
    _continue_in(tools)
    from embedded import processes  # noqa: PLC0415 - psutil is there only in the toolbox

    with _instance_lock(cache, folder):
        there = folder.exists()
        if options.keep_data and instance:
            processes.stop_gently(instance)
        ended = _clear(cache, folder)
        if options.keep_data and instance:
            (folder / KEPT).touch()
        else:
            remove_instance(cache, folder)
    if not there and not ended:
        print(f"nothing runs in {folder}")
    else:
        kept = "data kept" if options.keep_data else "data removed"
        print(f"down in {time.monotonic() - begun:.1f} s, {kept}: {folder}")
    return 0


def _clear(cache: Path, folder: Path) -> int:
    """End what is left of the instance; return how many processes there were."""
    from embedded import processes  # noqa: PLC0415 - psutil is there only in the toolbox

    ended = processes.end(instance_id(folder))
    processes.free_shared_memory(cache / "instances" / instance_id(folder))
    return ended


def _instance_lock(cache: Path, folder: Path) -> AbstractContextManager[None]:
    # One lock file for 256 instances or so: a lock file of its own could never be removed safely.
    name = instance_id(folder)[:2]
    return locked(cache / "locks" / name, f"waiting for another command on {folder}")


def _running(folder: Path) -> Instance:
    instance = read_instance(folder)
    if instance is None:
        raise StagingError(f"no stack in {folder}; start one with: RUNBOOK_STACK_DIR={folder} {STACK} up")
    return instance


def _link_release(instance: Instance, release: releases.Release) -> None:
    here = instance.path / "releases" / release.name
    if not here.exists():
        here.symlink_to(release.folder)
    for replica in REPLICAS:
        current = instance.path / "replicas" / replica / "current"
        current.parent.mkdir(parents=True, exist_ok=True)
        if not current.is_symlink():
            current.symlink_to(Path("../../releases") / release.name)
    deployed = instance.path / "replicas/.deployed"
    if not deployed.exists():
        deployed.write_text(f"{release.name}\n")


def _tail(instance: Instance, service: str, lines: int) -> str:
    try:
        text = (instance.path / "logs" / f"{service}.log").read_text(errors="replace")
    except FileNotFoundError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


def _continue_in(tools: Toolbox) -> None:
    """Go on in the toolbox's interpreter when this one has no psutil; the process stays the same."""
    if find_spec("psutil") is None:
        sys.stdout.flush()
        os.execv(tools.python, [str(tools.python), str(STACK), *sys.argv[1:]])  # noqa: S606 - no shell wanted
