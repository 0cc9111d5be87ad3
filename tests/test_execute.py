"""A procedure's run: what runs, how often, what is carried on, and what the record says."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from repository import wait_for_text

from runbook_checks.execute import InterruptedRun
from runbook_checks.record import Outcome, Record

if TYPE_CHECKING:
    from pathlib import Path
from procedures import CLEANUP, FENCE, block, check, fence, log, run, step


def test_a_python_block_asserts_whatever_the_caller_says(tmp_path: Path) -> None:
    record = run(tmp_path, fence("python {.check}", "assert 1 == 2"), environ={"PYTHONOPTIMIZE": "1"})
    assert (record.outcome, block(record).exit_status) == (Outcome.FAILED, 1)


def test_without_an_address_no_sql_reaches_the_database_that_psql_takes_by_default(tmp_path: Path) -> None:
    psql = tmp_path / "bin/psql"
    psql.parent.mkdir()
    psql.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >>log\n')
    psql.chmod(0o755)
    there = {"PATH": f"{psql.parent}:{os.environ['PATH']}"}
    for given in ({}, {"DATABASE_URL": ""}):
        record = run(tmp_path, fence("sql {.check}", "SELECT 1;"), environ={**there, **given})
        assert (record.outcome, log(tmp_path)) == (Outcome.FAILED, [])
        assert "DATABASE_URL" in record.reason
    record = run(tmp_path, fence("sql {.check}", "SELECT 1;"), environ={**there, "DATABASE_URL": "postgresql://db/a"})
    assert (record.outcome, log(tmp_path)[-1]) == (Outcome.PASSED, "postgresql://db/a")


def test_a_step_runs_once_even_when_its_expectation_fails(tmp_path: Path) -> None:
    record = run(tmp_path, step("echo x >>log; echo no", "yes"), check("true"), CLEANUP)
    assert record.outcome is Outcome.FAILED
    assert [one.outcome.value for one in record.blocks] == ["failed", "skipped", "passed"]
    assert log(tmp_path) == ["x", "cleaned"]
    assert "docs/p.md:10: stdout is not what the page says\n- yes\n+ no" in block(record).message


def test_what_was_cut_from_an_output_cannot_pass_unseen(tmp_path: Path) -> None:
    noise = "head -c 200000 /dev/zero | tr '\\0' x; echo"
    long = f"echo begin; {noise}; echo FAILED; {noise}; echo end"
    record = run(tmp_path, step(long, "begin\n...\nend"))
    assert record.outcome is Outcome.FAILED
    assert "stdout is too long to compare" in record.reason
    assert block(record).stdout_cut > 0
    contains = f"\n{FENCE}bash {{.step}}\n{long}\n{FENCE}\n{FENCE}text {{.expect match=contains}}\nbegin\n{FENCE}\n"
    assert run(tmp_path, contains).outcome is Outcome.PASSED


def test_a_check_is_asked_until_it_holds_and_carries_nothing_on(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        check("echo x >>log; lost=1; test $(wc -l <log) -ge 3 && echo done", "done", more=" within=10s every=20ms"),
        check('echo "${lost-gone}"', "gone"),
    )
    assert record.outcome is Outcome.PASSED
    assert block(record).attempts == 3


def test_a_check_gives_up_at_its_deadline_with_the_last_output(tmp_path: Path) -> None:
    record = run(tmp_path, check("echo x >>log; echo attempt; false", more=" within=1s every=20ms"))
    assert record.outcome is Outcome.FAILED
    assert 2 <= block(record).attempts <= 52
    assert block(record).stdout == "attempt\n"
    assert "asked again for 1 s" in record.reason


def test_an_answer_after_the_deadline_does_not_count(tmp_path: Path) -> None:
    late = "test -e asked && sleep 60 || { touch asked; echo first; false; }"
    record = run(tmp_path, check(late, more=" within=1s every=20ms"))
    assert record.outcome is Outcome.FAILED
    assert (block(record).stdout, block(record).attempts) == ("first\n", 2)
    assert run(tmp_path, check("sleep 0.5", more=" within=300ms")).outcome is Outcome.FAILED


def test_a_check_without_a_deadline_is_asked_once(tmp_path: Path) -> None:
    run(tmp_path, check("echo x >>log; false"))
    assert log(tmp_path) == ["x"]


def test_a_check_that_hangs_is_stopped_at_its_deadline(tmp_path: Path) -> None:
    started = time.monotonic()
    record = run(tmp_path, check("sleep 60", more=" within=100ms"))
    assert record.outcome is Outcome.FAILED
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exec true", "ended the shell itself"),
        ("kill -9 $$", "ended the shell itself"),
        ("break", "left its own block"),
        ("exit 3", "exited with 3, expected 0"),
        ("false; true", "docs/p.md:15: step one-step-2 exited with 1"),
        ("sleep 60", "did not end within its 2 s"),
        ("printf 'exit 0 1\\nend 0 1\\n'; false", "exited with 1"),
    ],
)
def test_whatever_ends_a_block_but_its_own_end_fails_and_cleanup_runs(tmp_path: Path, text: str, said: str) -> None:
    record = run(tmp_path, step("name=x; echo 7", "<n>"), step(text, more=" timeout=2s"), check("true"),
                 fence("bash {.cleanup}", 'echo "cleaned-$n" >>log'))  # fmt: skip
    assert record.outcome is Outcome.FAILED
    assert said in record.reason
    assert log(tmp_path) == ["cleaned-7"]


def test_an_expected_exit_status_passes(tmp_path: Path) -> None:
    assert run(tmp_path, step("exit 3", more=" exit=3"), check("true")).outcome is Outcome.PASSED


def test_a_failing_cleanup_fails_the_procedure_and_the_others_still_run(tmp_path: Path) -> None:
    record = run(tmp_path, check("true"), fence("bash {.cleanup}", "false"), CLEANUP)
    assert record.outcome is Outcome.FAILED
    assert log(tmp_path) == ["cleaned"]


def test_rollbacks_run_after_a_failure(tmp_path: Path) -> None:
    run(tmp_path, step("false"), check("true"), fence("bash {.rollback}", "echo undone >>log"))
    assert log(tmp_path) == ["undone"]


def test_setup_comes_first_and_nothing_is_broken_without_monitoring(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        step("echo step >>log"),
        check("true"),
        fence("bash {.fault}", "echo fault >>log"),
        fence("bash {.setup}", "echo setup >>log"),
    )
    assert log(tmp_path) == ["setup", "step"]
    assert [one.role for one in record.blocks] == ["setup", "step", "check"]


def test_a_block_for_another_environment_is_skipped_and_does_not_count(tmp_path: Path) -> None:
    record = run(tmp_path, step("echo x >>log; false", more=" environment=other"), check("true"))
    assert record.outcome is Outcome.PASSED
    assert block(record).message == "not run: for environment other"
    assert log(tmp_path) == []


def test_a_block_that_bash_cannot_read_keeps_everything_from_running(tmp_path: Path) -> None:
    record = run(tmp_path, step("echo x >>log"), step("cat <<EOF\nfoo"), check("true"))
    assert record.outcome is Outcome.FAILED
    assert "docs/p.md:10: nothing was run, bash cannot read this block" in record.reason
    assert (log(tmp_path), record.blocks) == ([], ())


@pytest.mark.parametrize("text", ["cat <<EOF\nfoo\nfalse", "if true; then", "echo )"])
def test_sh_is_read_before_anything_runs_too(tmp_path: Path, text: str) -> None:
    record = run(tmp_path, step("echo x >>log"), fence("sh {.check}", text))
    assert record.outcome is Outcome.FAILED
    assert "docs/p.md:10: nothing was run, sh cannot read this block" in record.reason
    assert (log(tmp_path), record.blocks) == ([], ())


def test_secrets_never_reach_a_record(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        step('echo "token $TOKEN"; echo "$TOKEN" >&2; echo "$TOKEN" | base64', "token <seen>"),
        environ={"TOKEN": "hunter2-hunter2"},
        secrets=("hunter2-hunter2",),
    )
    assert "hunter2" not in repr(record)
    assert "[redacted]" in repr(record)


def test_late_output_belongs_to_the_block_that_started_it(tmp_path: Path) -> None:
    record = run(tmp_path, step("{ while [ ! -e go ]; do sleep 0.01; done; echo late; } &"),
                 step("touch go; wait; echo now"), check("true"))  # fmt: skip
    assert (block(record).stdout, block(record, 1).stdout) == ("late\n", "now\n")


@pytest.mark.parametrize("jump", [timedelta(days=-400), timedelta(hours=-1), timedelta(days=400)])
def test_a_clock_that_jumps_while_it_runs_changes_no_duration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    begun = datetime.now(UTC)
    told = iter([begun, begun + jump])

    class Clock(datetime):
        @classmethod
        def now(cls, _: object = None) -> datetime:  # type: ignore[override]
            return next(told)

    real = time.time
    monkeypatch.setattr("runbook_checks.execute.datetime", Clock)
    monkeypatch.setattr("time.time", lambda: real() + jump.total_seconds() * (real() - begun.timestamp() > 0.1))
    record = run(
        tmp_path, step("sleep 0.3"), check("test -e go || { touch go; false; }", more=" within=10s every=20ms")
    )
    assert record.outcome is Outcome.PASSED
    assert 0.3 <= record.duration_s < 8
    assert 0.3 <= block(record).duration_s <= record.duration_s
    assert 0 < block(record, 1).duration_s < 8
    assert (
        datetime.fromisoformat(record.ended_at) - datetime.fromisoformat(record.started_at)
        < timedelta(seconds=1) + jump
    )


def test_promql_learns_when_the_last_change_was(tmp_path: Path) -> None:
    languages = {"promql": 'cat >/dev/null; echo "$RUNBOOK_CHECKS_SINCE"'}
    before = time.time()
    record = run(
        tmp_path, step("sleep 0.05"), check("true"), fence("promql {.check}", "up > 0", "<at>"), languages=languages
    )
    assert record.outcome is Outcome.PASSED
    assert before + 0.05 <= float(block(record, 2).stdout) + 0.001 <= time.time() + 0.001


def test_promql_without_a_change_before_it_counts_from_the_start_of_the_procedure(tmp_path: Path) -> None:
    languages = {"promql": 'cat >/dev/null; echo "$RUNBOOK_CHECKS_SINCE"'}
    before = time.time()
    record = run(tmp_path, fence("promql {.check}", "up > 0", "<at>"), languages=languages)
    assert before - 0.001 <= float(block(record).stdout) <= time.time()


def interrupted(folder: Path, *blocks: str, at: str = "log") -> Record:
    """Run blocks, interrupt them once a file is there, and return the record that the interrupt carries."""

    def interrupt() -> None:
        wait_for_text(folder / at)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedRun) as caught:
        run(folder, *blocks)
    thread.join()
    return caught.value.record


def test_an_interrupt_cleans_up_and_is_recorded(tmp_path: Path) -> None:
    record = interrupted(tmp_path, step("echo begun >>log; sleep 60"), check("true"), CLEANUP)
    assert record.outcome is Outcome.INTERRUPTED
    assert record.reason == "docs/p.md:6: interrupted, in step one-step-1"
    assert [one.outcome.value for one in record.blocks] == ["interrupted", "passed"]
    assert log(tmp_path) == ["begun", "cleaned"]


@pytest.mark.parametrize("role", ["rollback", "cleanup"])
def test_what_failed_before_an_interrupt_has_failed(tmp_path: Path, role: str) -> None:
    record = interrupted(
        tmp_path, step("false"), fence(f"bash {{.{role}}}", "echo begun >>log; sleep 60"), check("true"), CLEANUP
    )
    assert record.outcome is Outcome.FAILED
    assert record.reason == "docs/p.md:7: step one-step-1 exited with 1, expected 0"
    assert "interrupted" in [one.outcome.value for one in record.blocks]


def test_an_interrupt_while_the_shell_is_closed_changes_no_failure(tmp_path: Path) -> None:
    last_words = "trap 'echo closing >closing; sleep 2' EXIT"
    failed = interrupted(tmp_path, step(f"{last_words}; false"), check("true"), at="closing")
    assert failed.outcome is Outcome.FAILED
    (tmp_path / "closing").unlink()
    passed = interrupted(tmp_path, step(last_words), check("true"), at="closing")
    assert (passed.outcome, passed.reason) == (Outcome.INTERRUPTED, "interrupted while the shell was closed")


def test_a_failure_says_what_the_command_said_last_and_not_where_we_keep_the_block(tmp_path: Path) -> None:
    record = run(tmp_path, step("echo trying >&2\ncrul --fail x"), check("true"))
    assert record.reason.endswith("exited with 127, expected 0: crul: command not found")
    assert "/tmp" not in record.reason
