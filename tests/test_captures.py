"""What a procedure captures and measures: names in later blocks, figures and their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runbook_checks.record import Outcome, from_line, to_line

if TYPE_CHECKING:
    from pathlib import Path
from procedures import CLEANUP, FENCE, card, check, fence, run, step


def test_blocks_share_one_shell_and_captures_reach_every_language(tmp_path: Path) -> None:
    record = run(
        tmp_path,
        step("mkdir d && cd d && kept=1; echo 'got 41 rows'", "got <rows> rows"),
        check('echo "$kept $rows ${PWD##*/}"', "1 41 d"),
        fence("python {.check}", "import os; print(int(os.environ['rows']) + 1)", "42"),
        fence("sh {.check}", 'echo "$rows"', "41"),
    )
    assert (record.outcome, record.reason) == (Outcome.PASSED, "")


@pytest.mark.parametrize("polled", ["", " within=500ms every=20ms"])
def test_a_name_stands_for_the_same_text_in_every_later_block(tmp_path: Path, polled: str) -> None:
    made = step("echo made release-1", "made <release>")
    assert run(tmp_path, made, check("echo runs release-1", "runs <release>", more=polled)).outcome is Outcome.PASSED
    record = run(tmp_path, made, check("echo runs release-2", "runs <release>", more=polled))
    assert record.outcome is Outcome.FAILED
    assert "- runs release-1\n+ runs release-2\n(<release> stands for 'release-1', captured before)" in record.reason


def test_a_name_stands_for_the_same_text_in_both_streams(tmp_path: Path) -> None:
    both = step("echo release-1; echo release-{} >&2", "<release>") + (
        f"\n{FENCE}text {{.expect stream=stderr}}\n<release>\n{FENCE}\n"
    )
    assert run(tmp_path, both.replace("{}", "1")).outcome is Outcome.PASSED
    assert run(tmp_path, both.replace("release-{}", "release-2")).outcome is Outcome.FAILED


def test_a_figure_out_of_bounds_is_told_beside_a_cleanup_that_failed(tmp_path: Path) -> None:
    listed = card("figures: {rows: {max: 40}}")
    failing = fence("bash {.cleanup #tidy}", "false")
    record = run(tmp_path, listed, step("echo 41", "<rows>"), check("true"), failing)
    assert record.outcome is Outcome.FAILED
    first, second = record.reason.split("\n")
    assert "cleanup tidy exited with 1" in first
    assert second.endswith("figure rows must be at most 40, and is 41")
    assert [(one.name, one.kept) for one in record.figures] == [("rows", False)]
    kept = run(tmp_path, card("figures: {rows: {max: 50}}"), step("echo 41", "<rows>"), check("true"), failing)
    assert (kept.outcome, kept.reason, kept.figures[0].kept) == (Outcome.FAILED, first, True)
    assert run(tmp_path, listed, step("echo 41", "<rows>"), check("false"), failing).figures == ()


def test_a_capture_never_overwrites_what_the_environment_gave(tmp_path: Path) -> None:
    record = run(tmp_path, step("echo 1", "<region>"), check("true"), environ={"region": "north"})
    assert "the capture <region> would overwrite a variable of the environment" in record.reason


def test_a_capture_that_the_shell_does_not_take_fails(tmp_path: Path) -> None:
    record = run(tmp_path, step("readonly n=1; echo 2", "<n>"), check("true"))
    assert "the capture <n> is no variable that the shell lets us set" in record.reason


IN_JSON = 'json {.expect match=json}\n{"v": "<v>"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"""echo '{"v": "a\u0000b"}'""", IN_JSON),
        (r"""echo '{"v": "\ud800"}'""", IN_JSON),
        (r"printf 'a\0b\n'", "text {.expect}\n<v>"),
    ],
)
def test_a_capture_that_no_variable_can_hold_fails_and_cleanup_runs(tmp_path: Path, text: str, expected: str) -> None:
    record = run(tmp_path, step(text), f"\n{FENCE}{expected}\n{FENCE}\n", check("true"), CLEANUP)
    assert record.outcome is Outcome.FAILED
    assert "the capture <v> holds a character that no shell variable can" in record.reason
    assert [one.outcome.value for one in record.blocks] == ["failed", "skipped", "passed"]
    assert from_line(to_line(record)) == record
    assert record.reason.encode()


def test_figures_are_captures_and_durations(tmp_path: Path) -> None:
    listed = card("figures: {rows: {min: 1, max: 50}, slow: {max: 5, unit: s}}")
    record = run(tmp_path, listed, step("sleep 0.1; echo 41", "<rows>", more=" #slow"), check("true"))
    assert record.outcome is Outcome.PASSED
    rows, slow = record.figures
    assert (rows.value, rows.kept) == (41.0, True)
    assert 0.1 <= slow.value < 5


@pytest.mark.parametrize(
    ("bounds", "value", "reason"),
    [
        ("{max: 40, unit: s}", "41", "docs/p.md:6: figure rows must be at most 40 s, and is 41"),
        ("{min: 42}", "41", "docs/p.md:6: figure rows must be at least 42, and is 41"),
        ("{}", "many", "docs/p.md:6: figure rows is not a number, but 'many'"),
        ("{}", "nan", "docs/p.md:6: figure rows is not a number, but 'nan'"),
        ("{max: 5000}", "1_000", "docs/p.md:6: figure rows is not a number, but '1_000'"),
        ("{max: 5000}", "٣", "docs/p.md:6: figure rows is not a number, but '٣'"),
        ("{max: 5}", "inf", "docs/p.md:6: figure rows is not a number, but 'inf'"),
    ],
)
def test_a_figure_that_breaks_its_bounds_or_is_no_number_fails(
    tmp_path: Path, bounds: str, value: str, reason: str
) -> None:
    listed = card(f"figures: {{rows: {bounds}}}")
    record = run(tmp_path, listed, step(f"echo {value}", "<rows>"), check("true"))
    assert (record.outcome, record.reason) == (Outcome.FAILED, reason)


def test_a_figure_of_a_block_for_another_environment_is_not_measured(tmp_path: Path) -> None:
    listed = card("figures: {slow: {min: 1}}")
    record = run(tmp_path, listed, step("true", more=" #slow environment=other"), check("true"))
    assert (record.outcome, record.figures) == (Outcome.PASSED, ())
