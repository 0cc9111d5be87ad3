"""What is known now: pages held against evidence, per environment."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from proving import good
from records import NOW, record

from runbook_checks.config import load_config
from runbook_checks.errors import SourceError
from runbook_checks.record import Moment, Outcome
from runbook_checks.report import load_catalog, load_report
from runbook_checks.status import Status
from runbook_checks.store import Store

if TYPE_CHECKING:
    from repository import Repository


def test_there_is_an_entry_for_each_environment_that_a_procedure_can_be_proven_in(repository: Repository) -> None:
    report = load_report(load_config(repository.root / "runbook-checks.yml"), now=NOW)
    found = [(entry.procedure.id, entry.environment) for entry in report.entries if "look" not in entry.procedure.id]
    environments = ("local", "bare", "box", "production", "claimed")
    assert found == [*(("site/publish", name) for name in environments), ("site/boxed", "box")]
    assert {entry.status for entry in report.entries} == {Status.UNVERIFIED}


MOMENTS = (Moment("fault", "2026-11-21T10:59:59+00:00"),)


@pytest.mark.parametrize(
    ("newer", "strict", "last"),
    [
        ({"dirty": True}, True, "r1"),
        ({"dirty": True}, False, "newer"),
        ({"dirty": True, "outcome": Outcome.FAILED}, True, "newer"),
        ({"moments": ()}, False, "r1"),
        ({"ended": NOW + timedelta(hours=1)}, False, "r1"),
        ({"ended": NOW - timedelta(hours=9), "outcome": Outcome.FAILED}, False, "newer"),
    ],
    ids=["dirty", "dirty, not strict", "dirty and failed", "no drill", "future", "failed by a clock that was put back"],
)
def test_the_last_drill_is_the_one_that_would_decide(
    repository: Repository, newer: dict[str, Any], *, strict: bool, last: str
) -> None:
    repository.only(good())
    store = Store(repository.root / ".runbook-checks/evidence")
    of = {"procedure": "extra/good", "environment": "local", "moments": MOMENTS}
    store.append(record(**of, ended=NOW - timedelta(hours=2)))
    store.append(record(**{**of, "run": "newer", **newer}))
    found = load_report(load_config(repository.root / "runbook-checks.yml"), now=NOW, strict=strict).entries
    assert [one.drill.run for one in found if one.drill] == [last]


def test_unknown_languages_and_environments_are_told_at_once(repository: Repository) -> None:
    page = "docs/runbooks/site.md"
    repository.replace(page, "python {.check}", "cobol {.check}")
    repository.replace(page, "environment=box", "environment=bocks")
    with pytest.raises(SourceError) as caught:
        load_catalog(load_config(repository.root / "runbook-checks.yml"))
    cobol, bocks = caught.value.problems
    assert (cobol.line, bocks.line) == (repository.line(page, "cobol"), repository.line(page, "bocks"))
    assert "it has local, bare, box" in bocks.suggestion


def test_a_language_of_the_configuration_is_known(repository: Repository) -> None:
    repository.replace("docs/runbooks/site.md", "python {.check}", "cobol {.check}")
    repository.replace("runbook-checks.yml", "verify_every: 7d", "languages: {cobol: cobc -xj -}")
    assert load_catalog(load_config(repository.root / "runbook-checks.yml")).procedures
