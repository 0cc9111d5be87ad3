"""The search index: the names of alerts and tags are put where they count most, and nothing else is touched."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from publications import publication
from sample_site import build, write_sample
from test_site_badges import PROCEDURE, entry

from runbook_checks.model import Card
from runbook_checks.site.lookup import Lookup
from runbook_checks.site.search import INDEX, mark, publish, words
from runbook_checks.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.report import Entry

MATERIAL = {"lang": ["en"], "separator": "[\\s\\-]+", "pipeline": [], "fields": {"title": {"boost": 1e3}}}


def with_card(card: Card, *, anchor: str = "restore", page: str = "docs/db.md") -> Entry:
    return replace(entry(), procedure=replace(PROCEDURE, anchor=anchor, page=page, card=card))


def section(location: str, **more: object) -> dict[str, Any]:
    return {"location": location, "title": "T", "text": "é <p>text</p>", **more}


def index(*sections: dict[str, Any], config: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"config": json.loads(json.dumps(config or MATERIAL)), "docs": list(sections)}


def published(folder: Path, before: dict[str, Any], *entries: Entry, urls: dict[str, str] | None = None) -> Any:
    (folder / "search").mkdir()
    (folder / INDEX).write_text(json.dumps(before), encoding="utf-8")
    site = publication(folder, entries)
    publish(site if urls is None else replace(site, lookup=Lookup(entries, urls)))
    return json.loads((folder / INDEX).read_text(encoding="utf-8"))


def test_a_section_gets_the_alerts_and_tags_of_its_procedure(tmp_path: Path) -> None:
    card = Card(5, alerts=("DatabaseDown", "DBGone"), tags=("slow",))
    before = index(section("db/"), section("db/#restore"), section("db/#other"))
    after = published(tmp_path, before, with_card(card))
    assert after["docs"] == [
        section("db/"),
        section("db/#restore", tags=["DatabaseDown", "DBGone", "slow"], alert_words="database down db gone"),
        section("db/#other"),
    ]
    assert after["config"]["fields"] == {"title": {"boost": 1e3}, "alert_words": {"boost": 1e6}}


def test_a_name_is_text_for_a_theme_that_shows_tags_as_html(tmp_path: Path) -> None:
    card = Card(5, alerts=("<img src=x onerror=alert(1)>",), tags=("R&D",))
    (found,) = published(tmp_path, index(section("db/#restore")), with_card(card))["docs"]
    assert found["tags"] == ["&lt;img src=x onerror=alert(1)&gt;", "R&amp;D"]


def test_tags_of_the_page_stay() -> None:
    found = index(section("db/#restore", tags=["page", "Down"]))
    mark(found, [("db/#restore", with_card(Card(5, alerts=("Down",), tags=("slow",))))])
    assert found["docs"][0]["tags"] == ["Down", "page", "slow"]


def test_a_procedure_that_is_the_first_heading_of_its_page_is_found_there() -> None:
    found = index(section("db/"))
    assert mark(found, [("db/#restore", with_card(Card(5, alerts=("Down",))))])
    assert found["docs"][0]["tags"] == ["Down"]


def test_an_index_of_another_search_gets_tags_and_no_fields(tmp_path: Path) -> None:
    before = index(section("db/#restore"), config={"lang": ["en"]})
    after = published(tmp_path, before, with_card(Card(5, alerts=("Down",))))
    assert after["config"] == {"lang": ["en"]}
    assert after["docs"][0]["tags"] == ["Down"]


def test_without_an_index_there_is_nothing_to_do(tmp_path: Path) -> None:
    publish(publication(tmp_path, [entry()]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("card", [Card(), Card(5)])
def test_without_alerts_and_tags_the_index_stays_as_it_is(tmp_path: Path, card: Card) -> None:
    before = index(section("db/#restore"))
    assert published(tmp_path, before, with_card(card)) == before


def test_a_procedure_on_no_page_of_the_site_is_left_out(tmp_path: Path) -> None:
    before = index(section(""), section("db/#restore"))
    away = with_card(Card(5, alerts=("Down",)))
    assert published(tmp_path, before, away, urls={"docs/index.md": "./"}) == before


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("HighErrorRate", "high error rate"),
        ("HTTPErrors5xx", "http errors 5 xx"),
        ("kube_pod_down", "kube pod down"),
        ("etcdNoLeader", "etcd no leader"),
        ("", ""),
    ],
)
def test_a_name_is_found_by_its_words(name: str, typed: str) -> None:
    assert words(name) == typed


def test_a_thousand_pages_take_a_moment(tmp_path: Path) -> None:
    pages = range(1000)
    before = index(*(section(f"p{page}/#s{part}", text="word " * 200) for page in pages for part in range(10)))
    entries = [
        with_card(Card(5, alerts=(f"Alert{page}",)), anchor=f"s{part}", page=f"docs/p{page}.md")
        for page in pages
        for part in range(10)
    ]
    (tmp_path / "search").mkdir()
    (tmp_path / INDEX).write_text(json.dumps(before), encoding="utf-8")
    site = publication(tmp_path, entries)
    started = time.process_time()
    publish(site)
    assert time.process_time() - started < 2
    assert json.loads((tmp_path / INDEX).read_text(encoding="utf-8"))["docs"][-1]["tags"] == ["Alert999"]


def test_search_knows_no_status_and_no_date_of_a_build(tmp_path: Path) -> None:
    folder = write_sample(tmp_path)
    config = folder / "mkdocs.yml"
    config.write_text(config.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
    index = json.loads((build(folder) / INDEX).read_text())
    texts = " ".join(section["text"] for section in index["docs"])
    assert "It took" in texts
    assert "incident-platform" in texts  # of a card
    words = [*(status.value for status in Status), "proof", "proven", "ago", "42 s", str(datetime.now(UTC).year)]
    assert [word for word in words if word in texts] == []
