"""Names that pages ask for are found, and unknown ones are told with a close match."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_site_badges import PROCEDURE, entry

from runbook_checks.errors import UsageError
from runbook_checks.model import Card, FigureBound
from runbook_checks.site.lookup import Lookup
from runbook_checks.status import Status

_CARD = Card(figures=(FigureBound("rto"),))
LOOKUP = Lookup(
    (
        replace(entry(), procedure=replace(PROCEDURE, card=_CARD)),
        entry(Status.FAILED, environment="other"),
        replace(entry(), procedure=replace(PROCEDURE, page="docs/net.md", anchor="drain")),
    ),
    {"docs/db.md": "operations/db/"},
)


def test_a_procedure_is_found_in_its_first_environment_or_the_one_named() -> None:
    assert LOOKUP.entry("db/restore").environment == "staging"
    assert LOOKUP.entry("db/restore", "other").status is Status.FAILED


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda: LOOKUP.entry("db/restor"), "there is no procedure `db/restor`; did you mean `db/restore`?"),
        (lambda: LOOKUP.entry("db/restore", "stagin"), "there is no environment `stagin`; did you mean `staging`?"),
        (lambda: LOOKUP.figure("db/restore", "rpo"), "did you mean `rto`?"),
        (lambda: LOOKUP.figure("net/drain", "rto"), "there is none"),
        (lambda: LOOKUP.select(page="zzz"), "there is no runbook page `zzz`; there is db, db.md"),
        (lambda: LOOKUP.select(status="green"), "there is no status `green`"),
        (lambda: LOOKUP.select(owner="platfrom"), "did you mean `platform`?"),
        (lambda: LOOKUP.select(environment="othr"), "there is no environment `othr`; did you mean `other`?"),
    ],
)
def test_what_does_not_exist_is_told_with_a_close_match(ask: object, answer: str) -> None:
    assert callable(ask)
    with pytest.raises(UsageError) as refused:
        ask()
    assert answer in str(refused.value)


def test_entries_are_selected_by_page_status_owner_and_environment() -> None:
    assert len(LOOKUP.select()) == 3
    assert [each.status for each in LOOKUP.select(environment="other")] == [Status.FAILED]
    assert [each.environment for each in LOOKUP.select(page="db")] == ["staging", "other"]
    assert [each.environment for each in LOOKUP.select(page="docs/db.md", status="failed", owner="platform")] == [
        "other"
    ]


def test_an_address_is_relative_to_the_page_that_asks() -> None:
    assert LOOKUP.href(PROCEDURE, "operations/db/") == "#restore"
    assert LOOKUP.href(PROCEDURE, "guide/start/") == "../../operations/db/#restore"
    assert LOOKUP.href(replace(PROCEDURE, page="elsewhere.md"), "") == ""
    assert LOOKUP.url(PROCEDURE) == "operations/db/#restore"


def test_the_address_of_an_evidence_page_follows_the_kind_of_addresses_of_the_site_and_is_quoted() -> None:
    assert LOOKUP.evidence_url(PROCEDURE) == "evidence/db/restore/"
    assert LOOKUP.evidence_href(PROCEDURE, "operations/db/") == "../../evidence/db/restore/"
    assert LOOKUP.evidence_href(PROCEDURE, "") == "evidence/db/restore/"
    files = replace(LOOKUP, directory_urls=False)
    assert files.evidence_url(PROCEDURE) == "evidence/db/restore.html"
    assert files.evidence_href(PROCEDURE, "operations/db.html") == "../evidence/db/restore.html"
    assert (
        LOOKUP.evidence_url(replace(PROCEDURE, anchor="100%-größer?#")) == "evidence/db/100%25-gr%C3%B6%C3%9Fer%3F%23/"
    )
