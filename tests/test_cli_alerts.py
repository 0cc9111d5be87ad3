"""`runbook-checks alerts`, on a sample repository and on this one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from repository import Repository, document
from test_site_badges import RECORD

from runbook_checks.record import Moment, Outcome, Record
from runbook_checks.report import HISTORY
from runbook_checks.store import Store

RULES = """groups:
  - name: site
    rules:
      - alert: SiteDown
        expr: up == 0
        labels: {severity: critical}
        annotations: {runbook_url: "https://ops.example/runbooks/site/?GREETING={{ $labels.word }}#publish"}
"""


def kept(at: str, outcome: Outcome, digest: str, moments: tuple[Moment, ...] = ()) -> Record:
    return replace(
        RECORD,
        procedure="site/publish",
        page="docs/runbooks/site.md",
        environment="local",
        outcome=outcome,
        started_at=at,
        ended_at=at,
        digest=digest,
        moments=moments,
    )


def with_alerts(repository: Repository) -> None:
    repository.replace("runbook-checks.yml", "verify_every: 7d\n", "verify_every: 7d\nalerts: [rules.yml]\n")
    repository.write("rules.yml", RULES)
    repository.replace("docs/runbooks/site.md", "reversible: false\n", "reversible: false\nalerts: [SiteDown]\n")


def test_alerts_that_fit_their_procedures_are_a_table_and_a_document(repository: Repository) -> None:
    with_alerts(repository)
    done = repository.run("alerts")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["alert", "severity", "procedure", "status", "last", "drill"],
        ["SiteDown", "critical", "site/publish", "unverified", "never"],
    ]
    assert document(repository.run("alerts", "--json")) == {
        "schema_version": 1,
        "environment": "local",
        "alerts": [
            {
                "name": "SiteDown",
                "severity": "critical",
                "rules": [
                    {
                        "path": "rules.yml",
                        "line": 4,
                        "runbook_url": "https://ops.example/runbooks/site/?GREETING={{ $labels.word }}#publish",
                    }
                ],
                "procedures": [{"id": "site/publish", "status": "unverified", "last_drill": None}],
                "exception": None,
            }
        ],
        "holes": [],
    }
    there = document(repository.run("alerts", "--json", "--environment", "box"))
    assert there["environment"] == "box"


def test_the_last_drill_is_dated_and_says_whether_it_was_of_this_text(repository: Repository) -> None:
    with_alerts(repository)
    (entry,) = document(repository.run("status", "--json", "site/publish", "--environment", "local"))["procedures"]
    moments = (Moment("fault", "2026-11-20T07:30:00+00:00"),)
    old = kept("2026-11-20T07:30:00+00:00", Outcome.FAILED, entry["digest"], moments)
    later = kept("2026-11-21T07:30:00+00:00", Outcome.PASSED, entry["digest"])  # no drill
    stopped = kept("2026-11-22T07:30:00+00:00", Outcome.INTERRUPTED, entry["digest"], moments)
    future = kept("2999-11-22T07:30:00+00:00", Outcome.PASSED, entry["digest"], moments)
    store = Store(repository.root / ".runbook-checks/evidence")
    for record in (old, later, stopped, future):
        store.append(record)

    def last() -> object:
        ((procedure,),) = (alert["procedures"] for alert in document(repository.run("alerts", "--json"))["alerts"])
        return procedure["last_drill"]

    assert last() == {"at": "2026-11-20T07:30:00+00:00", "outcome": "failed", "current": True}
    assert "2026-11-20 failed" in repository.run("alerts").stdout
    for _ in range(HISTORY):  # a drill that a report would forget
        store.append(later)
    store.append(kept("2026-11-23T07:30:00+00:00", Outcome.PASSED, "sha256:other", moments))
    for _ in range(HISTORY):
        store.append(kept("2026-11-24T07:30:00+00:00", Outcome.PASSED, entry["digest"]))
    assert last() == {"at": "2026-11-23T07:30:00+00:00", "outcome": "passed", "current": False}
    assert "2026-11-23 passed, changed since" in repository.run("alerts").stdout


def test_every_hole_of_alerts_is_named_with_its_place_and_exits_1(repository: Repository) -> None:
    with_alerts(repository)
    repository.write(
        "rules.yml",
        RULES.replace("?GREETING", "?GREETINGS").replace("#publish", "#look")
        + "      - {alert: SiteSlow, expr: slow > 1}\n      - {alert: SiteFull, expr: free < 1}\n",
    )
    repository.replace(
        "runbook-checks.yml",
        "alerts:",
        "alerts_without_runbook:\n"
        "  - {alert: SiteFull, owner: web, until: 2099-12-31, reason: disks are new}\n"
        "  - {alert: SiteDwn, owner: web, until: 2099-12-31, reason: typo}\n"
        "alerts:",
    )
    done = repository.run("alerts", "--json")
    assert done.returncode == 1
    holes = document(done)["holes"]
    assert done.stderr.splitlines() == [
        f"{hole['path']}:{hole['line']}: {hole['reason']}; {hole['suggestion']}" for hole in holes
    ]
    needs = repository.line("docs/runbooks/site.md", "needs: [publish]") - 1
    assert [(hole["path"], hole["line"], hole["reason"].partition(",")[0]) for hole in holes] == [
        ("docs/runbooks/site.md", needs, "the card of `look` does not name alert SiteDown"),
        ("rules.yml", 4, "alert SiteDown fills in `GREETINGS`"),
        ("rules.yml", 8, "alert SiteSlow has no `runbook_url`"),
        ("runbook-checks.yml", 5, "the exception for alert SiteDwn is for one that no rule raises"),
    ]
    table = repository.run("alerts").stdout
    assert "none until 2099-12-31: disks are new (web)" in table
    assert re.search(r"SiteSlow +none", table)
    repository.write("rules.yml", RULES.replace("SiteDown", "Other"))
    assert re.search(r"SiteDown +no rule +site/publish", repository.run("alerts").stdout)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (None, "there is no alert: name the rule files of Prometheus under `alerts` in runbook-checks.yml"),
        ("groups: []\n", "there is no alert"),
        ("groups: x\n", "rules.yml:1: `groups` must be a list"),
    ],
)
def test_alerts_that_cannot_be_judged_exit_2(repository: Repository, rules: str | None, said: str) -> None:
    if rules is not None:
        with_alerts(repository)
        repository.write("rules.yml", rules)
    done = repository.run("alerts")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_every_alert_of_this_repository_has_its_procedure_both_ways() -> None:
    done = Repository(Path(__file__).parent.parent).run("alerts", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = document(done)
    assert found["holes"] == []
    assert len(found["alerts"]) >= 15
    assert all(alert["rules"] and alert["procedures"] and not alert["exception"] for alert in found["alerts"])
