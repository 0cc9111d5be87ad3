"""What a person sees while procedures run."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from execnet.gateway_base import Popen2IO, get_execmodel
from records import record

from runbook_checks.console import PlainConsole
from runbook_checks.documents import SCHEMA_VERSION, records_document
from runbook_checks.progress import Progress
from runbook_checks.pytest_plugin import INTERRUPTED
from runbook_checks.record import CHANGED, Outcome, Record, to_line
from runbook_checks.telling import RECORD, tell

NODE = "docs/page.md::one"


def report(outcome: Any, text: str, **carried: str | int | Record) -> pytest.TestReport:
    made = pytest.TestReport(NODE, ("", None, ""), {}, outcome, text, "call")
    tell(made, carried)
    return made


@pytest.fixture
def progress() -> Progress:
    return Progress(PlainConsole(io.StringIO()))


def shown(progress: Progress) -> str:
    file = progress.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_plain_lines_where_there_is_no_terminal(progress: Progress) -> None:
    progress.pytest_runtest_logstart(NODE)
    progress.pytest_runtest_logreport(report("passed", "", **{RECORD: to_line(record())}))
    assert shown(progress) == "passed      page/one  2.0 s\n"
    ended = progress.ended["page/one"]
    assert (ended.outcome, ended.duration_s, ended.figures) == (Outcome.PASSED, 2.0, record().figures)
    assert not ended.changed
    assert not ended.leaks


@pytest.mark.parametrize("names", [[], ["page/one"], ["page/one", "page/two", "page/one"]])
def test_whole_records_are_kept_on_disk_for_the_document(names: list[str]) -> None:
    progress = Progress(PlainConsole(io.StringIO()), whole=True)
    for number, name in enumerate(names):
        one = record(procedure=name, reason=f"line {number}\nand more")
        progress.pytest_runtest_logreport(report("passed", "", **{RECORD: one if number % 2 else to_line(one)}))
    errors: list[dict[str, Any]] = [{"reason": "no\nstack"}] if names else []
    lines = list(progress.lines())
    assert [json.loads(line)["procedure"] for line in lines] == list(dict.fromkeys(names))
    assert [json.loads(line)["reason"] for line in lines][:1] == (
        ["line 2\nand more"] if len(names) > 1 else ["line 0\nand more"] * len(names)
    )
    whole = {"schema_version": SCHEMA_VERSION, "records": [json.loads(line) for line in lines], "errors": errors}
    assert "".join(records_document(lines, errors)) == json.dumps(whole, indent=2) + "\n"


def test_what_was_masked_is_told_and_what_changed_meanwhile_is_kept_in_mind(progress: Progress) -> None:
    leaky = replace(record().blocks[0], stdout="key [masked: looks like an AWS Access Key]")
    progress.pytest_runtest_logreport(report("passed", "", **{RECORD: record(blocks=(leaky,), digest=CHANGED)}))
    (ended,) = progress.ended.values()
    assert ended.changed
    assert "AWS Access Key" in ended.leaks[0]


def test_what_runs_now_and_the_counts_are_live(progress: Progress) -> None:
    progress.total = 3
    progress.pytest_runtest_logstart(NODE)
    failed = record(outcome=Outcome.FAILED, procedure="page/two")
    progress.pytest_runtest_logreport(report("failed", "why", **{RECORD: to_line(failed)}))
    progress.pytest_runtest_logstart("docs/page.md::three")
    progress.console.print(progress)
    assert "page/three  0 s" in shown(progress)
    assert "1 of 3 done, 0 passed, 1 failed" in shown(progress)
    assert progress.failures == ["why"]


def test_an_error_is_told_once_and_is_no_failure(progress: Progress) -> None:
    for _ in range(2):
        progress.pytest_runtest_logreport(report("failed", "no", error="no stack", exit_code=3))
    assert (progress.errors, progress.failures) == ({"no stack": 3}, [])


def test_interrupted_records_are_kept_at_the_end(progress: Progress) -> None:
    config: Any = SimpleNamespace(stash=pytest.Stash(), option=SimpleNamespace(maxfail=0))
    config.stash[INTERRUPTED] = [to_line(record(outcome=Outcome.INTERRUPTED))]
    finish = progress.pytest_sessionfinish(SimpleNamespace(config=config))  # type: ignore[arg-type]
    next(finish)
    with pytest.raises(StopIteration):
        next(finish)
    assert progress.interrupted
    assert shown(progress).startswith("interrupted page/one")


def test_a_worker_that_is_killed_at_once_is_no_mistake_of_ours(progress: Progress) -> None:
    nothing = Popen2IO(io.BytesIO(), io.BytesIO(), get_execmodel("thread"))  # as execnet reads what a worker says
    with pytest.raises(EOFError) as excinfo:
        nothing.read(1)
    assert progress.pytest_internalerror("the traceback", excinfo)
    assert progress.errors == {"workers were ended before they could begin: nothing was run": 3}


def test_a_worker_that_is_killed_before_it_hears_us_is_none_either(progress: Progress) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        deaf = Popen2IO(pipe, io.BytesIO(), get_execmodel("thread"))
        with pytest.raises(BrokenPipeError) as excinfo:
            deaf.write(b"x")
    assert progress.pytest_internalerror("the traceback", excinfo)
    assert progress.errors == {"workers were ended before they could begin: nothing was run": 3}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("disk full"), "disk full"),
        (KeyError("x"), "this is a mistake of runbook-checks"),
        (EOFError("x"), "this is a mistake of runbook-checks"),
    ],
)
def test_only_a_mistake_of_ours_is_shown_whole(progress: Progress, error: Exception, said: str) -> None:
    excinfo: Any = SimpleNamespace(value=error, traceback=[])
    assert progress.pytest_internalerror("the traceback", excinfo)
    (text,) = progress.errors
    assert text.startswith(said)
    assert ("the traceback" in text) == (not isinstance(error, OSError))
