"""Alerts come from rule files, with their places, and are held against the procedures that answer them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_site_badges import PROCEDURE, entry

from runbook_checks.alerts import LARGEST_RULE_FILE, Alert, Coverage, coverage, load_alerts, read_alerts
from runbook_checks.config import FILE_NAME, Exemption, load_config
from runbook_checks.errors import SourceError, UsageError
from runbook_checks.model import Card
from runbook_checks.status import Status

if TYPE_CHECKING:
    from runbook_checks.report import Entry

ROOT = Path(__file__).parent.parent
RULES = """\
groups:
  - name: one
    rules:
      - record: a:b
        expr: sum(b)
      - alert: DatabaseDown
        expr: |
          up == 0
        labels: {severity: critical, team: db}
        annotations: {runbook_url: "https://example.org/db/#restore", summary: '{{ $value }}'}
      - alert: DiskFull
        expr: x
  - name: two
    rules:
      - alert: DiskFull
        expr: y
"""


def answering(*alerts: str, status: Status = Status.VERIFIED) -> Entry:
    return replace(entry(status), procedure=replace(PROCEDURE, card=Card(5, alerts)))


def test_each_alert_has_its_place_and_its_link() -> None:
    alerts, problems = read_alerts(RULES, "rules.yml")
    assert problems == ()
    assert alerts == (
        Alert("DatabaseDown", "rules.yml", 6, "https://example.org/db/#restore", "critical"),
        Alert("DiskFull", "rules.yml", 11),
        Alert("DiskFull", "rules.yml", 15),
    )


def test_a_resource_of_kubernetes_is_a_rule_file_too() -> None:
    resource = "kind: PrometheusRule\nspec:\n" + "".join(f"  {line}\n" for line in RULES.splitlines())
    alerts, problems = read_alerts(resource, "rules.yml")
    assert (len(alerts), problems) == (3, ())
    assert alerts[0].line == 8


@pytest.mark.parametrize("text", ["", "groups:\n", "groups: []\n", "groups:\n  - name: a\n"])
def test_a_rule_file_without_alerts_is_none_the_worse(text: str) -> None:
    assert read_alerts(text, "rules.yml") == ((), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []\n", "rules.yml:1: a rule file has `groups:`, and this one has none"),
        ("groups: {a: b}\n", "rules.yml:1: `groups` must be a list, not a mapping"),
        ("groups:\n  - name: a\n    rules: x\n", "rules.yml:3: `rules` must be a list, not a single value"),
        ("groups:\n  - x\n", "rules.yml:2: an entry of `groups` must be `key: value` lines"),
        ("groups:\n  - rules:\n      - alert: ''\n", "rules.yml:3: `alert` has no name"),
        ("groups:\n  - rules:\n      - alert: [a]\n", "rules.yml:3: `alert` must be one value, not a list"),
        ("groups:\n- rules:\n  - alert: A\n    alert: B\n", "an entry of `rules` has the key `alert` twice"),
        ("groups:\n  - {\n", "rules.yml:3: the rule file is not valid YAML"),
        ("groups: !!python/object:os.system []\n", ""),
        (f"# {'x' * LARGEST_RULE_FILE}\n", "the rule file is larger than 4096 KiB"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    _, problems = read_alerts(text, "rules.yml")
    assert told in "\n".join(map(str, problems))


def test_a_long_generated_rule_file_is_read() -> None:
    rules = "".join(f"      - alert: Alert{number}\n        expr: {'x' * 100}\n" for number in range(1000))
    alerts, problems = read_alerts(f"groups:\n  - name: a\n    rules:\n{rules}", "rules.yml")
    assert (len(alerts), problems) == (1000, ())


def test_the_rule_files_of_the_configuration_are_read(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/a.yml").write_text(RULES)
    (tmp_path / "rules/b.yaml").write_text("groups:\n  - rules:\n      - alert: Other\n")
    (tmp_path / FILE_NAME).write_text("alerts: [rules/*.yml, rules]\nenvironments: {staging: {}}\n")
    alerts = load_alerts(load_config(tmp_path / FILE_NAME))
    assert [alert.name for alert in alerts] == ["DatabaseDown", "DiskFull", "DiskFull", "Other"]
    assert alerts[3].path == "rules/b.yaml"


def test_all_that_is_wrong_in_rule_files_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xff")
    (tmp_path / "b.yml").write_text("groups: x\n")
    (tmp_path / FILE_NAME).write_text("alerts: [a.yml, b.yml]\nenvironments: {staging: {}}\n")
    with pytest.raises(SourceError) as caught:
        load_alerts(load_config(tmp_path / FILE_NAME))
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [("a.yml", 1), ("b.yml", 1)]


def test_a_name_that_no_rule_file_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("alerts: [nowhere/*.yml]\nenvironments: {staging: {}}\n")
    with pytest.raises(UsageError, match=r"`alerts` names nowhere/\*\.yml"):
        load_alerts(load_config(tmp_path / FILE_NAME))


def test_a_rule_file_outside_the_repository_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("alerts: [../rules.yml]\nenvironments: {staging: {}}\n")
    with pytest.raises(SourceError, match=r"`alerts: \.\./rules\.yml` is no path below the folder"):
        load_config(tmp_path / FILE_NAME)


def test_an_alert_is_covered_by_the_procedures_whose_cards_name_it() -> None:
    alerts, _ = read_alerts(RULES, "rules.yml")
    one = answering("DatabaseDown", "Gone")
    found = coverage(alerts, [one])
    assert [(answer.name, len(answer.rules), answer.entries) for answer in found.answers] == [
        ("DatabaseDown", 1, (one,)),
        ("DiskFull", 2, ()),
        ("Gone", 0, (one,)),
    ]
    assert names(found.raised) == ["DatabaseDown", "DiskFull"]
    assert names(found.uncovered) == ["DiskFull"]
    assert names(found.unraised) == ["Gone"]


@pytest.mark.parametrize("other", [status for status in Status if status is not Status.VERIFIED])
def test_an_alert_is_verified_only_when_every_procedure_that_answers_it_is(other: Status) -> None:
    alerts = (Alert("Down", "rules.yml", 1),)
    assert coverage(alerts, [answering("Down")]).answers[0].verified
    assert not coverage(alerts, [answering("Down"), answering("Down", status=other)]).answers[0].verified
    assert not coverage(alerts, []).answers[0].verified


def test_an_answer_has_each_severity_of_its_rules_once() -> None:
    words = ("warning", "", "critical", "warning")
    rules = [Alert("Down", "rules.yml", line, severity=word) for line, word in enumerate(words, 1)]
    assert coverage(rules, []).answers[0].severity == "warning, critical"


def test_an_exception_is_told_with_its_alert() -> None:
    exemption = Exemption("DiskFull", "platform", date(2026, 12, 31), "being written", FILE_NAME, 3)
    answers = coverage(read_alerts(RULES, "rules.yml")[0], [], [exemption]).answers
    assert [answer.exemption for answer in answers] == [None, exemption]


def test_nothing_is_covered_by_nothing() -> None:
    assert coverage((), ()) == Coverage(())


def test_every_alert_of_this_repository_is_read() -> None:
    alerts = load_alerts(load_config(ROOT / FILE_NAME))
    assert {"HighErrorRate", "RunbookExpired"} <= {alert.name for alert in alerts}
    assert all(alert.severity for alert in alerts)


def names(answers: object) -> list[str]:
    assert isinstance(answers, tuple)
    return [answer.name for answer in answers]
