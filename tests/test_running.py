"""How the blocks of a procedure end together: see test_execute.py for how each of them runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procedures import card, check, run, step

from runbook_checks.record import Outcome

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_trap_of_exit_that_is_stopped_fails_the_procedure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it has left behind: the next procedure gets a fresh stack."""
    monkeypatch.setattr("runbook_checks.shell.FAREWELL_S", 1.0)
    record = run(tmp_path, card("figures: {one-step-1: {max: 0}}"), step("trap 'sleep 30' EXIT"), check("true"))
    assert record.outcome is Outcome.FAILED
    trap, figure = record.reason.split("\n")
    assert trap == (
        "docs/p.md:4: the shell could not be ended in order, with what a trap of EXIT does: "
        "let that end within 5 s, or use a cleanup block"
    )
    assert "figure one-step-1 must be at most 0" in figure
    assert [one.outcome.value for one in record.blocks] == ["passed", "passed"]
    assert [figure.name for figure in record.figures] == ["one-step-1"]
