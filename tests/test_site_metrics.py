"""Metrics say what the evidence says, in Prometheus's own format, on the site and on the command line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from documentation import documented
from prometheus_client.parser import text_string_to_metric_families
from publications import publication
from test_site_badges import DAY, PROCEDURE, entry

from runbook_checks.exits import Exit
from runbook_checks.model import Runbook
from runbook_checks.site.metrics import exposition, publish
from runbook_checks.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from repository import Repository

    from runbook_checks.report import Entry

Sample = tuple[str, dict[str, str], float]


def samples(text: str) -> list[Sample]:
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def values(name: str, *entries: Entry) -> list[float]:
    return [value for found, _, value in samples(exposition(entries, DAY)) if found == f"runbook_{name}"]


@pytest.mark.parametrize("status", Status)
def test_exactly_the_current_status_is_1(status: Status) -> None:
    found = [each for each in samples(exposition([entry(status)], DAY)) if each[0] == "runbook_procedure_status"]
    assert {labels["status"]: value for _, labels, value in found} == {
        each.value: float(each is status) for each in Status
    }
    assert found[0][1] == {
        "procedure": "db/restore",
        "page": "docs/db.md",
        "environment": "staging",
        "owner": "platform",
        "status": "verified",
    }


def test_moments_and_durations_are_in_seconds() -> None:
    assert values("procedure_last_success_timestamp_seconds", entry()) == [DAY.timestamp()]
    assert values("procedure_expires_timestamp_seconds", entry()) == [DAY.timestamp() + 7 * 86400]
    assert values("procedure_duration_seconds", entry()) == [14.5]
    assert values("evidence_generated_timestamp_seconds", entry()) == [DAY.timestamp()]


def test_what_is_not_known_has_no_sample() -> None:
    unverified = entry(Status.UNVERIFIED)
    for name in ("last_success_timestamp_seconds", "expires_timestamp_seconds", "duration_seconds"):
        assert values(f"procedure_{name}", unverified) == []


def test_hostile_labels_are_quoted() -> None:
    hostile = 'a"} 1\n# TYPE x\\ \x1b é'
    one = replace(
        entry(), runbook=Runbook("docs/db.md", "DB", owner=hostile), procedure=replace(PROCEDURE, page="ü.md")
    )
    found = samples(exposition([one], DAY))
    assert {labels["owner"] for _, labels, _ in found if labels} == {hostile}
    assert len(found) == len(samples(exposition([entry()], DAY)))


def test_half_a_character_in_a_label_breaks_nothing() -> None:
    text = exposition([replace(entry(), runbook=Runbook("docs/db.md", "DB", owner="a\ud800"))], DAY)
    assert 'owner="a?"' in text


def test_each_metric_is_documented() -> None:
    families = list(text_string_to_metric_families(exposition([entry()], DAY)))
    assert [family.name for family in families] == documented("site.md", "metrics")
    assert all(family.documentation and family.type == "gauge" for family in families)


def test_the_site_has_them_and_no_others_own_registry(tmp_path: Path) -> None:
    publish(publication(tmp_path, [entry()], built_at=DAY))
    text = (tmp_path / "metrics.prom").read_text()
    assert text == exposition([entry()], DAY)
    assert "python_info" not in text


def test_the_command_prints_them_and_exits_0_whatever_they_say(repository: Repository) -> None:
    done = repository.run("status", "--metrics")
    assert (done.returncode, done.stderr) == (0, "")
    unverified = [value for name, labels, value in samples(done.stdout) if labels.get("status") == "unverified"]
    assert unverified
    assert set(unverified) == {1.0}
    assert repository.run("status").returncode == Exit.FAILED


def test_the_command_prints_one_form_only(repository: Repository) -> None:
    done = repository.run("status", "--metrics", "--json")
    assert done.returncode == Exit.USAGE
    assert "not allowed with" in done.stderr
