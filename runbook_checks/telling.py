"""What the report of an item carries of its procedure, from a worker of xdist too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from runbook_checks.record import Record

RECORD = "record"  # the record, from a worker as a line of JSON …
PROOF = "proof"  # … or the proof of need …
NOT_TRIED = "not_tried"  # … or why there is none, for want of time …
ERROR = "error"  # … or what kept us from judging …
EXIT_CODE = "exit_code"  # … and the exit code that it asks for

Told = Mapping[str, "str | int | Record"]
NOTHING: Told = {}

_TOLD = "runbook_checks"  # the attribute of a report that carries it


def told(report: pytest.TestReport) -> Told:
    """Return what a report carries: RECORD, or ERROR and EXIT_CODE, or nothing."""
    found: Told = vars(report).get(_TOLD, NOTHING)
    return found


def tell(report: pytest.TestReport, what: Told) -> None:
    """Have a report carry something that told() returns."""
    setattr(report, _TOLD, what)
