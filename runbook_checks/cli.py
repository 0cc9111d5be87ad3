"""The command line, a thin face on the library and on pytest.

Exit codes: 0 all verified, 1 a procedure failed, 2 usage or source error, 3 the stack is unavailable, 130 interrupted,
143 terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks import documents
from runbook_checks.arguments import parser_of_commands
from runbook_checks.documents import SCHEMA_VERSION
from runbook_checks.errors import RunbookError, StackError, UsageError
from runbook_checks.exits import Exit, Termination, exit_code
from runbook_checks.streams import give_up_unwritten, open_missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment
    from runbook_checks.console import PlainConsole
    from runbook_checks.model import Procedure
    from runbook_checks.progress import Progress


_NOTHING_COLLECTED = 5  # pytest.ExitCode.NO_TESTS_COLLECTED


def main(arguments: Sequence[str]) -> int:
    """Carry out a command line and return its exit code; no traceback reaches the user for an error of theirs."""
    closed = open_missing()
    termination = Termination()
    options = argparse.Namespace()
    try:
        try:
            if arguments and arguments[0] in {"http", "promql"}:  # a block's command: it must start fast
                code = _client(arguments[0], arguments[1:])
            else:
                parser_of_commands().parse_args(arguments, options)
                code = _carry_out(options, termination)
        finally:
            sys.stdout.flush()
    except RunbookError as error:
        code = _refuse(error, error.exit_code, options)
    except BrokenPipeError:  # `runbook-checks list | head`
        code = Exit.BROKEN_PIPE
    except OSError as error:
        unheard = closed and error.errno == errno.EBADF
        code = _refuse(UsageError("standard output is closed") if unheard else error, Exit.USAGE, options)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    give_up_unwritten()
    return termination.code(code)


def _carry_out(options: argparse.Namespace, termination: Termination) -> int:
    """Carry out a command; those that start something end it when they are terminated."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no `→` is no reason to end
    if options.command in {"verify", "mutate", "stack"} or vars(options).get("offline"):
        termination.take()
    return int(_COMMANDS[options.command](options))


def _refuse(error: Exception, code: int, options: argparse.Namespace) -> int:
    """Say what kept us from the command, on standard error, and as the document that ``--json`` asks for."""
    from runbook_checks.errors import Problem, SourceError  # noqa: PLC0415

    print(error, file=sys.stderr)  # noqa: T201 - this is the command line
    if getattr(options, "json", False):
        problems = error.problems if isinstance(error, SourceError) else ()
        errors = [asdict(problem) for problem in problems] or [asdict(Problem("", 0, str(error)))]
        with contextlib.suppress(OSError):  # it may be standard output itself that cannot be written
            _print({"schema_version": SCHEMA_VERSION, "errors": errors})
            sys.stdout.flush()
    return code


def _client(name: str, arguments: Sequence[str]) -> int:
    if name == "http":
        from runbook_checks.http_request import main as run  # noqa: PLC0415 - only what the command needs
    else:
        from runbook_checks.promql import main as run  # noqa: PLC0415
    return run(arguments, sys.stdin, sys.stdout, sys.stderr, os.environ)


def _load(options: argparse.Namespace, *, condensed: bool = False) -> tuple[Config, Catalog]:
    from runbook_checks.report import load_catalog  # noqa: PLC0415 - only what the command needs

    config = _config(options)
    return config, load_catalog(config, condensed=condensed)


def _chosen(
    catalog: Catalog, options: argparse.Namespace, environment: Environment | None = None
) -> tuple[Procedure, ...]:
    """Return what was selected, everything for no words; in an environment, only what is meant to run there."""
    from runbook_checks.scopes import chosen  # noqa: PLC0415 - only what the command needs

    return chosen(catalog, options.selection, environment)


def _config(options: argparse.Namespace) -> Config:
    from runbook_checks.config import find_config, load_config  # noqa: PLC0415 - only what the command needs

    return load_config(options.config or find_config(Path.cwd()))


def _console(*, stderr: bool = False) -> PlainConsole:
    from runbook_checks.console import PlainConsole  # noqa: PLC0415 - only what the command needs

    return PlainConsole(sys.stderr if stderr else sys.stdout)


def _print(document: object) -> None:
    print(json.dumps(document, indent=2))  # noqa: T201 - this is the command line


def _list(options: argparse.Namespace) -> int:
    from runbook_checks import listing  # noqa: PLC0415 - only what the command needs

    config = _config(options)
    if options.selection or sys.stdout.isatty():  # which has a width, and colours
        listing.write(config, options.selection, sys.stdout, as_json=options.json)
    else:
        sys.stdout.write(listing.kept(config, os.environ, as_json=options.json))
    return Exit.VERIFIED


def _lint(options: argparse.Namespace) -> int:
    from runbook_checks.bash import find_bash  # noqa: PLC0415 - only what the command needs
    from runbook_checks.errors import SourceError  # noqa: PLC0415
    from runbook_checks.lint import lint  # noqa: PLC0415

    config, catalog = _load(options)
    procedures = _chosen(catalog, options)
    if not procedures:
        raise UsageError("there is no procedure to lint")
    if problems := lint(procedures, config.root, find_bash(os.environ), os.environ):
        raise SourceError(problems)
    if options.json:
        _print({"schema_version": SCHEMA_VERSION, "errors": []})
    else:
        print(f"{len(procedures)} procedure{'' if len(procedures) == 1 else 's'}, nothing to mend")  # noqa: T201 - this is the command line
    return Exit.VERIFIED


def _status(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415 - only what the command needs

    from runbook_checks import tables  # noqa: PLC0415
    from runbook_checks.report import load_report  # noqa: PLC0415
    from runbook_checks.scopes import refuse_idle  # noqa: PLC0415
    from runbook_checks.status import Status  # noqa: PLC0415
    from runbook_checks.tags import marks_of, matcher  # noqa: PLC0415

    now = datetime.now(UTC)
    config = _config(options)
    report = load_report(config, now=now, strict=options.strict, history=False)
    only = config.environment(options.environment) if options.environment else None
    wanted = set(_chosen(report.catalog, options, only))
    if only is not None:
        refuse_idle(report.catalog, options.selection, only)
    here = [entry for entry in report.entries if only is None or entry.environment == only.name]
    entries = [entry for entry in here if entry.procedure in wanted]
    if options.mark:
        matches = matcher(options.mark)
        entries = [entry for entry in entries if matches(marks_of(entry.procedure, entry.runbook))]
    if not entries:
        raise UsageError("nothing was selected: no procedure matches")
    for forged in report.forged:
        print(f"not believed: {forged}", file=sys.stderr)  # noqa: T201 - this is the command line
    if options.metrics:
        from runbook_checks.site.metrics import exposition  # noqa: PLC0415

        print(exposition(entries, now), end="")  # noqa: T201 - this is the command line
        return Exit.VERIFIED
    if options.json:
        _print(documents.status_document(entries, now))
    else:
        _console().print_table(tables.status_table(entries))
    return Exit.VERIFIED if all(entry.status is Status.VERIFIED for entry in entries) else Exit.FAILED


def _alerts(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime  # noqa: PLC0415 - only what the command needs

    from runbook_checks import tables  # noqa: PLC0415
    from runbook_checks.addresses import site_map  # noqa: PLC0415
    from runbook_checks.alerts import coverage, load_alerts  # noqa: PLC0415
    from runbook_checks.holes import holes  # noqa: PLC0415
    from runbook_checks.languages import DEFAULTS  # noqa: PLC0415
    from runbook_checks.report import load_report  # noqa: PLC0415
    from runbook_checks.site.variables import page_variables  # noqa: PLC0415

    now = datetime.now(UTC)
    config = _config(options)
    environment = config.environment(options.environment).name
    alerts = load_alerts(config)
    if not alerts:
        raise UsageError("there is no alert: name the rule files of Prometheus under `alerts` in runbook-checks.yml")
    report = load_report(config, now=now)
    exemptions = config.alerts_without_runbook
    here = (entry for entry in report.entries if entry.environment == environment)
    covered = coverage(alerts, here, exemptions, report.catalog.procedures)
    found = holes(
        alerts,
        report.catalog,
        site_map(config, (runbook.path for runbook in report.catalog.runbooks)),
        exemptions=exemptions,
        today=now.date(),
        variables=lambda runbook: page_variables(runbook, {**DEFAULTS, **dict(config.languages)}).names,
    )
    for hole in found:
        print(hole, file=sys.stderr)  # noqa: T201 - this is the command line
    if options.json:
        _print(documents.alerts_document(environment, covered, found))
    else:
        _console().print_table(tables.alerts_table(covered))
    return Exit.FAILED if found else Exit.VERIFIED


def _verify(options: argparse.Namespace) -> int:
    from runbook_checks.guards import refuse_unsafe  # noqa: PLC0415 - only what the command needs
    from runbook_checks.model import is_drill  # noqa: PLC0415
    from runbook_checks.scheduling import groups_of  # noqa: PLC0415
    from runbook_checks.scopes import refuse_idle  # noqa: PLC0415

    config, catalog = _load(options, condensed=True)
    environment = config.environment(options.environment)
    procedures = _chosen(catalog, options, environment)
    refuse_idle(catalog, options.selection, environment, drills=options.drills)
    if options.drills:
        procedures = tuple(one for one in procedures if is_drill(one, environment.name))
    if not procedures:
        raise UsageError(f"there is no procedure to {'drill: none has a fault block' if options.drills else 'verify'}")
    refuse_unsafe(environment, catalog.in_needs_order(procedures))
    return _run(config, catalog, environment, procedures, options, groups_of(catalog, procedures))


def _mutate(options: argparse.Namespace) -> int:
    from runbook_checks.mutate import refuse_elsewhere  # noqa: PLC0415 - only what the command needs
    from runbook_checks.scopes import refuse_idle  # noqa: PLC0415
    from runbook_checks.selecting import to_mutate, until  # noqa: PLC0415

    config, catalog = _load(options, condensed=True)
    environment = config.environment(options.environment)
    procedures = _chosen(catalog, options, environment)
    refuse_elsewhere(environment, catalog.in_needs_order(procedures))
    refuse_idle(catalog, options.selection, environment)
    wanted = {"stale": options.stale, "changed": options.changed, "mark": options.mark or ""}
    procedures = to_mutate(config, catalog, environment, procedures, **wanted)
    if not procedures:
        print("nothing to try: nothing has changed, or all is proven as it is written now", file=sys.stderr)  # noqa: T201 - this is the command line
        if options.json:
            _print(documents.proofs_document((), (), ()))
        return Exit.VERIFIED
    limit = ("--runbook-until", until(options.within))
    return _run(config, catalog, environment, procedures, options, {}, "--runbook-mutate", *limit)


def _run(  # noqa: PLR0913, PLR0917 - what a session needs
    config: Config,
    catalog: Catalog,
    environment: Environment,
    procedures: Sequence[Procedure],
    options: argparse.Namespace,
    groups: Mapping[str, str],
    *more: str,
) -> int:
    """Run procedures as a session of pytest; ``groups`` name the procedures that one worker runs."""
    from runbook_checks.engine import session  # noqa: PLC0415 - only what the command needs

    # pytest swaps the standard streams while a procedure runs: what is shown meanwhile needs one of its own
    with open(os.dup(2), "w", encoding="utf-8", errors="backslashreplace") as own_stderr:  # noqa: PTH123 - a descriptor
        with contextlib.redirect_stderr(own_stderr):
            console = _console(stderr=True)
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the document
            ended = session(config, catalog, environment, procedures, options, console, groups, more)
        return _conclude(*ended, options)


def _conclude(code: int, progress: Progress, options: argparse.Namespace) -> int:
    from runbook_checks import tables  # noqa: PLC0415 - only what the command needs

    if code == _NOTHING_COLLECTED and not progress.errors:
        progress.errors["nothing was selected: no procedure matches"] = Exit.USAGE
    if code == 0 and not (progress.ended or progress.proofs or progress.not_tried):
        progress.errors["nothing was verified: what was selected is for other environments"] = Exit.USAGE
    console = progress.console
    for message in (*progress.errors, *progress.failures):
        console.print(f"\n{message}", soft_wrap=True)
    for leak in (leak for one in progress.ended.values() for leak in one.leaks):
        console.print(f"\n{leak}: it was masked; revoke it, and name its variable under `secrets:`", soft_wrap=True)
    if progress.ended:
        console.print()
        console.print_table(tables.ended_table(progress.ended.values()))
    if progress.proofs:
        console.print()
        console.print_table(tables.proofs_table(progress.proofs.values()))
    for name in progress.not_tried:
        console.print(f"not tried, the time was over: {name}", soft_wrap=True)
    if options.json and options.command == "mutate":
        _print(documents.proofs_document(progress.proofs.values(), progress.not_tried, progress.errors))
    elif options.json:
        errors = [{"path": "", "line": 0, "reason": message, "suggestion": ""} for message in progress.errors]
        sys.stdout.writelines(documents.records_document(progress.lines(), errors))
    return exit_code(code, progress)


def _stack(options: argparse.Namespace) -> int:
    import shlex  # noqa: PLC0415 - only what the command needs

    from runbook_checks.stack import stack_of  # noqa: PLC0415

    config = _config(options)
    stack = stack_of(config.root, config.environment(options.environment), "manual", live=options.action != "env")
    match options.action:
        case "up":
            stack.up()
        case "down":
            stack.down()
        case "env":
            for name, value in stack.variables().items():
                print(f"export {name}={shlex.quote(value)}")  # noqa: T201 - this is the command line
        case "logs":
            stack.show_logs()
        case _:
            if not stack.healthy():
                raise StackError("the stack is not healthy; `runbook-checks stack up` brings it up")
            for service in stack.services():
                print(service.name, service.version)  # noqa: T201 - this is the command line
    return Exit.VERIFIED


def _evidence(options: argparse.Namespace) -> int:
    from runbook_checks import attest  # noqa: PLC0415 - only what the command needs

    if options.action == "keygen":
        answer = attest.keygen(options.file)
    else:
        config, catalog = _load(options)
        procedures = _chosen(catalog, options)
        only = config.environment(options.environment).name if options.environment else ""
        if options.action == "sign":
            answer = attest.sign_all(config, procedures, only, attest.pem_of(options.key, os.environ))
        else:
            answer = attest.check_all(config, procedures, only)
    for note in answer.notes:
        print(note, file=sys.stderr)  # noqa: T201 - this is the command line
    if getattr(options, "json", False):
        _print({"schema_version": SCHEMA_VERSION, **answer.document})
    else:
        _console().print(answer.shown, soft_wrap=isinstance(answer.shown, str))
    return Exit.FAILED if answer.failed else Exit.VERIFIED


def _site(options: argparse.Namespace) -> int:
    from runbook_checks.site.mkdocs_command import run  # noqa: PLC0415 - only what the command needs
    from runbook_checks.site.offline import building  # noqa: PLC0415

    config = _config(options)
    mkdocs_file = config.root / config.mkdocs
    arguments = [options.action, "--config-file", str(mkdocs_file)]
    if options.action == "build":
        arguments.append("--strict")
    if not options.offline:
        return run(arguments)
    with building(mkdocs_file) as edition:
        code = run(arguments)
        if code == Exit.VERIFIED:
            placed = edition.place()
            print(f"The offline edition is {placed}", file=sys.stderr)  # noqa: T201 - this is the command line
    return code


_COMMANDS = {
    "alerts": _alerts,
    "evidence": _evidence,
    "lint": _lint,
    "list": _list,
    "mutate": _mutate,
    "site": _site,
    "stack": _stack,
    "status": _status,
    "verify": _verify,
}
