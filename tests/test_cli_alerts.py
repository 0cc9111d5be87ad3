"""`runbook-checks alerts`, on a sample repository and on this one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from repository import Repository, document

RULES = """groups:
  - name: site
    rules:
      - alert: SiteDown
        expr: up == 0
        labels: {severity: critical}
        annotations: {runbook_url: "https://ops.example/runbooks/site/?GREETING={{ $labels.word }}#publish"}
"""


def with_alerts(repository: Repository) -> None:
    repository.replace("runbook-checks.yml", "verify_every: 7d\n", "verify_every: 7d\nalerts: [rules.yml]\n")
    repository.write("rules.yml", RULES)
    repository.replace("docs/runbooks/site.md", "reversible: false\n", "reversible: false\nalerts: [SiteDown]\n")


def test_alerts_that_fit_their_procedures_are_a_table_and_a_document(repository: Repository) -> None:
    with_alerts(repository)
    done = repository.run("alerts")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["alert", "severity", "procedure", "status"],
        ["SiteDown", "critical", "site/publish", "unverified"],
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
                "procedures": [{"id": "site/publish", "status": "unverified"}],
                "exception": None,
            }
        ],
        "holes": [],
    }
    there = document(repository.run("alerts", "--json", "--environment", "box"))
    assert there["environment"] == "box"


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
