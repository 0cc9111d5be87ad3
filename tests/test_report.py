"""What is known now: pages held against evidence, per environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from records import NOW

from runbook_checks.config import load_config
from runbook_checks.errors import SourceError
from runbook_checks.report import load_catalog, load_report
from runbook_checks.status import Status

if TYPE_CHECKING:
    from repository import Repository


def test_there_is_an_entry_for_each_environment_that_a_procedure_can_be_proven_in(repository: Repository) -> None:
    report = load_report(load_config(repository.root / "runbook-checks.yml"), now=NOW)
    found = [(entry.procedure.id, entry.environment) for entry in report.entries if "look" not in entry.procedure.id]
    environments = ("local", "bare", "box", "production", "claimed")
    assert found == [*(("site/publish", name) for name in environments), ("site/boxed", "box")]
    assert {entry.status for entry in report.entries} == {Status.UNVERIFIED}


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
