"""Each hole between alerts and procedures is found, with its place and what to write instead."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from runbook_checks.alerts import Alert, read_alerts
from runbook_checks.catalog import Catalog
from runbook_checks.config import Exemption
from runbook_checks.holes import fragments, holes
from runbook_checks.links import SiteMap
from runbook_checks.markdown import scan

PAGE = """\
---
title: Database
runbook: {owner: platform}
---
## Restore { #restore }

```yaml {.procedure}
alerts: [DatabaseDown]
formerly: [recover]
```

```bash {.check}
psql -h "$INSTANCE" -c 'select 1'
```

## Grow the disk { #grow-disk }

```bash {.check}
df /data
```

## Background { #background }
"""
RULES = """\
groups:
  - name: database
    rules:
      - alert: DatabaseDown
        expr: pg_up == 0
        labels: {severity: critical}
        annotations:
          runbook_url: https://ops.example/operations/db/?INSTANCE={{ $labels.instance }}#restore
"""
MORE = "      - alert: DiskFull\n        expr: disk_free < 0.1\n"
SITE = SiteMap("https://ops.example/", {"docs/operations/db.md": "operations/db/"})
TODAY = date(2026, 11, 26)
EXEMPT = Exemption("DiskFull", "platform", date(2026, 12, 31), "being written", "runbook-checks.yml", 3)
URL = "https://ops.example/operations/db/?INSTANCE={{ $labels.instance }}#restore"


def found(rules: str = RULES, page: str = PAGE, *exemptions: Exemption, site: SiteMap = SITE) -> list[str]:
    alerts, problems = read_alerts(rules, "rules.yml")
    assert problems == ()
    read = scan(page, "docs/operations/db.md")
    assert read.problems == ()
    catalog = Catalog(Path(), (("docs/operations/db.md", read),))
    holed = holes(alerts, catalog, site, exemptions=exemptions, today=TODAY, variables=lambda _: ("INSTANCE", "SIZE"))
    return list(map(str, holed))


def linked(url: str) -> str:
    assert URL in RULES
    return RULES.replace(URL, f"'{url}'")


def test_what_fits_has_no_hole() -> None:
    assert found() == []
    assert found(linked("https://ops.example/operations/db/#recover")) == []
    assert found(linked("https://ops.example/p/db/restore/?INSTANCE={{ $labels.instance }}")) == []
    assert found(site=replace(SITE, base_url="")) == []


SITE_OF = "https://ops.example/operations/db/"
NOWHERE = "has a `runbook_url` that leads to no page of the runbooks"
HERE = "has a `runbook_url` that leads to docs/operations/db.md"
WRITE = f"write `runbook_url: {SITE_OF}#restore`"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", f"has no `runbook_url`; {WRITE}"),
        ("https://ops.example/operations/database/#restore", f"{NOWHERE}; {WRITE}"),
        ("https://wiki.example/operations/db/#restore", f"{NOWHERE}; {WRITE}"),
        (SITE_OF, f"{HERE}, and to no procedure of it; end it with `#` and the heading's id"),
        (f"{SITE_OF}#restore-it", f"{HERE}, which has no procedure `#restore-it`; {WRITE}"),
        (f"{SITE_OF}#background", f"{HERE}, which has no procedure `#background`; {WRITE}"),
        (f"{SITE_OF}#{{{{ $labels.job }}}}", "has a `runbook_url` that has a template outside the values of its query"),
        (f"{SITE_OF}?INSTANC={{{{ $labels.instance }}}}#restore", "fills in `INSTANC`, which is no variable of"),
        (f"{SITE_OF}?INSTANC=1#restore", "docs/operations/db.md; did you mean `INSTANCE`?"),
        (f"{SITE_OF}#restore?JOB={{{{ $labels.job }}}}", "fills in `JOB`, which is no variable of"),
        (f"{SITE_OF}#restore?JOB=1", "docs/operations/db.md; the page has INSTANCE, SIZE"),
        ("https://ops.example/p/db/restore/?JOB=1", "fills in `JOB`, which is no variable of docs/operations/db.md"),
    ],
)
def test_a_link_that_does_not_lead_to_its_procedure_is_a_hole(url: str, told: str) -> None:
    (hole,) = found(linked(url))
    assert hole.startswith("rules.yml:4: alert DatabaseDown ")
    assert told in hole


def test_a_link_that_can_mean_two_pages_is_a_hole() -> None:
    site = SiteMap(pages={**SITE.pages, "docs/db.md": "db/"})
    assert found(site=site) == [
        (
            "rules.yml:4: alert DatabaseDown has a `runbook_url` that can mean docs/operations/db.md or docs/db.md; "
            "write the address of the site as `site_url` into mkdocs.yml"
        )
    ]


def test_an_alert_without_link_and_procedure_is_a_hole() -> None:
    assert found(RULES + MORE) == [
        (
            "rules.yml:9: alert DiskFull has no `runbook_url`; "
            "write its procedure and lead there, or name the alert under `alerts_without_runbook`"
        )
    ]


def test_a_card_that_does_not_name_the_alert_that_leads_to_it_is_a_hole() -> None:
    disk = MORE + "        annotations: {runbook_url: 'https://ops.example/operations/db/#grow-disk'}\n"
    assert found(RULES + disk) == [
        (
            "docs/operations/db.md:16: the card of `grow-disk` does not name alert DiskFull, which leads here from "
            "rules.yml:9; write `alerts: [DiskFull]` into the card, or lead it elsewhere"
        )
    ]
    both = RULES + disk.replace("grow-disk", "restore")
    assert found(both) == [
        (
            "docs/operations/db.md:7: the card of `restore` does not name alert DiskFull, which leads here from "
            "rules.yml:9; write `alerts: [DatabaseDown, DiskFull]` into the card, or lead it elsewhere"
        )
    ]


def test_a_card_that_names_an_alert_of_no_rule_is_a_hole() -> None:
    assert found(page=PAGE.replace("[DatabaseDown]", "[DatabaseDown, DatabaseDwn]")) == [
        (
            "docs/operations/db.md:7: the card of `restore` names alert DatabaseDwn, and no rule raises it; "
            "did you mean `DatabaseDown`?"
        )
    ]
    (hole,) = found(page=PAGE.replace("[DatabaseDown]", "[DatabaseDown, Other]"))
    assert hole.endswith("names alert Other, and no rule raises it; write the rule, or take it out of the card")


def test_rules_of_one_name_that_lead_apart_are_a_hole() -> None:
    page = PAGE.replace("df /data", "df").replace(
        "{ #grow-disk }\n", "{ #grow-disk }\n\n```yaml {.procedure}\nalerts: [DatabaseDown]\n```\n"
    )
    other = RULES.partition("rules:\n")[2].replace("#restore", "#grow-disk")
    assert found(RULES + RULES.partition("rules:\n")[2], page) == []
    assert found(RULES + other, page) == [
        (
            f"rules.yml:9: alert DatabaseDown leads elsewhere than at rules.yml:4; "
            f"write `runbook_url: {URL}` here too, or give one of them another name"
        )
    ]


def test_an_exception_stands_for_a_procedure_until_its_day_is_over() -> None:
    elsewhere = MORE + "        annotations: {runbook_url: 'https://wiki.example/disk'}\n"
    for rules in (RULES + MORE, RULES + elsewhere):
        assert found(rules, PAGE, EXEMPT) == []
        assert found(rules, PAGE, replace(EXEMPT, until=TODAY)) == []
        assert found(rules, PAGE, replace(EXEMPT, until=date(2026, 11, 25))) == [
            (
                "runbook-checks.yml:3: the exception for alert DiskFull ended on 2026-11-25; "
                "platform writes the procedure, or a new date and the reason for it"
            )
        ]


def test_an_exception_for_an_alert_that_is_not_there_is_a_hole() -> None:
    assert found(RULES, PAGE, EXEMPT) == [
        "runbook-checks.yml:3: the exception for alert DiskFull is for one that no rule raises; take it out"
    ]
    (hole,) = found(RULES + MORE, PAGE, EXEMPT, replace(EXEMPT, alert="DiskFul"))
    assert hole.endswith("did you mean `DiskFull`?")


def test_an_exception_for_an_alert_that_has_a_procedure_is_a_hole() -> None:
    told = (
        "runbook-checks.yml:3: the exception for alert DatabaseDown is not needed: db/restore answers it; take it out"
    )
    assert found(RULES, PAGE, replace(EXEMPT, alert="DatabaseDown")) == [told]
    without = found(linked(""), PAGE, replace(EXEMPT, alert="DatabaseDown"))
    assert [hole.partition(";")[0] for hole in without] == [
        "rules.yml:4: alert DatabaseDown has no `runbook_url`",
        told.partition(";")[0],
    ]


def test_variables_of_a_page_are_asked_for_only_when_a_link_fills_some_in() -> None:
    alerts, _ = read_alerts(linked("https://ops.example/operations/db/#restore"), "rules.yml")
    catalog = Catalog(Path(), (("docs/operations/db.md", scan(PAGE, "docs/operations/db.md")),))

    def never(_: object) -> tuple[str, ...]:
        raise AssertionError

    assert holes(alerts, catalog, SITE, exemptions=(), today=TODAY, variables=never) == ()


def test_fragments_are_gathered_by_page() -> None:
    urls = ("operations/db/#restore", "operations/db/#gone", "operations/db/", "gone/#a", "{{ $a }}")
    alerts = [Alert(f"A{number}", "r.yml", number, f"https://ops.example/{url}") for number, url in enumerate(urls)]
    assert fragments(alerts, SITE) == {"docs/operations/db.md": ((alerts[0], "restore"), (alerts[1], "gone"))}
