"""Badges and ``status.json``: true at the day they were made, readable by people and programs, written whole."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from publications import publication

from runbook_checks.documents import Addresses, status_document
from runbook_checks.errors import UsageError
from runbook_checks.model import Card, Procedure, Runbook
from runbook_checks.record import Figure, Outcome, Record
from runbook_checks.report import Entry
from runbook_checks.site.badges import colour, message, of, publish, shields, summary, svg, text_width
from runbook_checks.site.metrics import exposition
from runbook_checks.site.render import card
from runbook_checks.status import Judgement, Status

if TYPE_CHECKING:
    from pathlib import Path

DAY = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
PROCEDURE = Procedure("docs/db.md", "restore", "Restore <all> & go", 3, Card(alerts=("Down",)), ())
RECORD = Record(
    run="r",
    procedure="db/restore",
    page="docs/db.md",
    title="",
    outcome=Outcome.PASSED,
    reason="",
    digest="d",
    environment="staging",
    started_at=DAY.isoformat(),
    ended_at=DAY.isoformat(),
    duration_s=14.5,
    figures=(Figure("rto", 42.0, "s", maximum=300.0),),
)


def entry(status: Status = Status.VERIFIED, *, environment: str = "staging", dirty: bool = False) -> Entry:
    record = replace(RECORD, dirty=dirty)
    judgement = (
        Judgement(status, "never run")
        if status is Status.UNVERIFIED
        else Judgement(status, "", record, DAY, DAY + timedelta(days=7))
    )
    return Entry(PROCEDURE, Runbook("docs/db.md", "DB", owner="platform"), environment, "sha256:1", judgement)


def test_a_message_has_the_status_and_an_absolute_date() -> None:
    assert message(entry()) == "verified 2026-11-21"
    assert message(entry(Status.FAILED)) == "failed 2026-11-21"
    assert message(entry(Status.EXPIRED)) == "expired, last verified 2026-11-21"
    assert message(entry(Status.UNVERIFIED)) == "unverified"


def test_evidence_from_uncommitted_changes_says_so() -> None:
    assert message(entry(dirty=True)) == "verified 2026-11-21, uncommitted changes"


def luminance(hex_colour: str) -> float:
    parts = [int(hex_colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("background", [*(colour(status) for status in Status), "#3d4450"])
def test_white_text_has_a_contrast_of_at_least_4_5(background: str) -> None:
    assert 1.05 / (luminance(background) + 0.05) >= 4.5


def test_no_other_status_has_the_colour_of_verified() -> None:
    assert [status for status in Status if colour(status) == colour(Status.VERIFIED)] == [Status.VERIFIED]


def test_an_svg_badge_is_accessible_escaped_and_as_wide_as_its_text() -> None:
    root = ET.fromstring(svg(of(entry())))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "Restore <all> & go: verified 2026-11-21"
    assert texts == ["Restore <all> & go", "verified 2026-11-21"]
    assert int(root.get("width", "0")) == sum(map(text_width, map(str, texts))) + 24
    assert "http" not in svg(of(entry())).replace("http://www.w3.org/2000/svg", "")


def test_text_width_grows_with_the_text() -> None:
    assert text_width("iiii") < text_width("nnnn") < text_width("WWWW") <= text_width("日本日本")


def test_a_shields_endpoint_has_the_keys_of_its_schema() -> None:
    assert shields(of(entry(Status.FAILED))) == {
        "schemaVersion": 1,
        "label": "Restore <all> & go",
        "message": "failed 2026-11-21",
        "color": "#c62828",
        "isError": True,
    }


def test_the_status_document_has_the_documented_keys_for_every_entry() -> None:
    entries = [entry(), entry(Status.UNVERIFIED, environment="other")]
    document = status_document(entries, DAY, Addresses(url=lambda _: "operations/db/#restore"))
    keys = {"id", "page", "title", "url", "status", "environment", "verified_at", "expires_at"}
    keys |= {"duration_s", "alerts", "owner", "figures", "digest", "reason", "commit", "dirty"}
    keys |= {"evidence_url", "permalink", "signed", "tags", "need"}
    procedures = document["procedures"]
    assert [set(each) for each in procedures] == [keys, keys]
    assert (document["schema_version"], document["generated_at"]) == (1, "2026-11-21T07:30:00+00:00")
    assert (procedures[0]["id"], procedures[0]["verified_at"]) == ("db/restore", "2026-11-21T07:30:00+00:00")
    assert procedures[0]["figures"] == [
        {"name": "rto", "value": 42.0, "unit": "s", "min": None, "max": 300.0, "kept": True}
    ]
    assert (procedures[1]["verified_at"], procedures[1]["duration_s"]) == (None, None)


def test_nothing_says_how_long_a_run_took_that_nobody_saw_end() -> None:
    crashed = replace(RECORD, outcome=Outcome.FAILED, duration_s=0.0)
    found = replace(entry(Status.FAILED), judgement=Judgement(Status.FAILED, "worker crashed", crashed))
    assert status_document([found], DAY)["procedures"][0]["duration_s"] is None
    assert "runbook_procedure_duration_seconds{" not in exposition([found], DAY)
    assert "0 s" not in card(PROCEDURE, found.runbook, [found], [])


def write(folder: Path, entries: list[Entry], environments: list[str]) -> list[str]:
    site = publication(folder, entries, environments, built_at=DAY)
    publish(site)
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_plain_badge_is_that_of_the_first_environment(tmp_path: Path) -> None:
    written = write(tmp_path, [entry(Status.FAILED), entry(environment="other")], ["staging", "other"])
    assert written == [
        "badges/all.json",
        "badges/all.svg",
        "badges/db.json",
        "badges/db.svg",
        "badges/db/restore.json",
        "badges/db/restore.other.json",
        "badges/db/restore.other.svg",
        "badges/db/restore.staging.json",
        "badges/db/restore.staging.svg",
        "badges/db/restore.svg",
    ]
    assert json.loads((tmp_path / "badges/db/restore.json").read_text())["message"] == "failed 2026-11-21 on staging"
    other = json.loads((tmp_path / "badges/db/restore.other.json").read_text())["message"]
    assert other == "verified 2026-11-21 on other"
    assert (tmp_path / "badges/db/restore.svg").stat().st_mode & 0o777 == 0o644


def test_one_environment_has_only_plain_badges(tmp_path: Path) -> None:
    assert [name for name in write(tmp_path, [entry()], ["staging"]) if "restore" in name] == [
        "badges/db/restore.json",
        "badges/db/restore.svg",
    ]


def test_a_badge_of_several_counts_what_is_verified_and_has_the_colour_of_the_worst() -> None:
    badge = summary("runbooks", [entry(), entry(), entry(Status.STALE)], DAY)
    assert (badge.label, badge.message) == ("runbooks", "2 of 3 verified as of 2026-11-21")
    assert colour(badge.status) == colour(Status.STALE)
    assert summary("runbooks", [entry()], DAY).status is Status.VERIFIED
    assert summary("runbooks", [], DAY).status is Status.UNVERIFIED
    assert shields(summary("runbooks", [entry(), entry(Status.FAILED)], DAY))["isError"] is True


def test_a_badge_of_several_says_what_of_them_is_from_uncommitted_changes() -> None:
    told = summary("runbooks", [entry(dirty=True), entry(), entry(Status.STALE, dirty=True)], DAY).message
    assert told == "2 of 3 verified as of 2026-11-21, 1 with uncommitted changes"


def test_a_badge_that_would_be_of_two_procedures_is_refused(tmp_path: Path) -> None:
    twin = replace(entry(Status.FAILED), procedure=replace(PROCEDURE, anchor="restore.other"))
    with pytest.raises(UsageError, match=r"db/restore\.other' is that of two procedures"):
        write(tmp_path, [entry(), entry(environment="other"), twin], ["staging", "other"])


def test_a_page_and_the_site_have_badges_of_the_first_environment(tmp_path: Path) -> None:
    other = replace(entry(Status.FAILED), procedure=replace(PROCEDURE, page="docs/net.md", anchor="drain"))
    write(tmp_path, [entry(), other, entry(Status.FAILED, environment="other")], ["staging", "other"])
    told = {name: json.loads((tmp_path / f"badges/{name}.json").read_text()) for name in ("db", "all")}
    assert (told["db"]["label"], told["db"]["color"]) == ("DB", "#1a7f37")
    assert told["db"]["message"] == "1 of 1 verified on staging as of 2026-11-21"
    assert (told["all"]["label"], told["all"]["message"]) == ("runbooks", "1 of 2 verified on staging as of 2026-11-21")
    assert "runbooks: 1 of 2 verified on staging" in (tmp_path / "badges/all.svg").read_text()


def test_a_badge_of_pages_of_one_name_has_the_titles_of_them_all(tmp_path: Path) -> None:
    one = entry()
    procedure = Procedure("eu/db.md", "other", "Other", 3, Card(), ())
    other = replace(entry(Status.FAILED), procedure=procedure, runbook=Runbook("eu/db.md", "DB in Europe"))
    write(tmp_path, [one, other], ["staging"])
    told = json.loads((tmp_path / "badges/db.json").read_text())
    assert told["label"] == "DB and DB in Europe"
    assert told["message"].startswith("1 of 2 verified")


def test_a_page_of_the_name_of_the_sites_badge_does_not_take_it(tmp_path: Path) -> None:
    write(tmp_path, [replace(entry(), procedure=replace(PROCEDURE, page="docs/all.md"))], ["staging"])
    assert json.loads((tmp_path / "badges/all.json").read_text())["label"] == "runbooks"


def test_the_badges_of_older_ids_are_the_same(tmp_path: Path) -> None:
    card = Card(formerly=("recover", "old_db/restore"))
    write(tmp_path, [replace(entry(), procedure=replace(PROCEDURE, card=card))], ["staging"])
    for kind in ("svg", "json"):
        now = (tmp_path / f"badges/db/restore.{kind}").read_text()
        assert now == (tmp_path / f"badges/db/recover.{kind}").read_text()
        assert now == (tmp_path / f"badges/old_db/restore.{kind}").read_text()


def test_a_badge_is_whole_xml_with_nothing_from_elsewhere_whatever_the_title_holds() -> None:
    title = 'a"/><script>x</script>\x1b[31m &amp; \ufffe\ud800 ]]> <!-- é 日本'
    text = svg(of(replace(entry(), procedure=replace(PROCEDURE, title=title))))
    root = ET.fromstring(text.encode())
    shown = 'a"/><script>x</script>[ESC][31m &amp; \ufffd[U+D800] ]]> <!-- é 日本'
    assert root.findtext(f"{SVG}title") == f"{shown}: verified 2026-11-21"
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg",
        "title",
        "clipPath",
        "rect",
        "g",
        "text",
    }
    values = [value for element in root.iter() for value in element.attrib.values()]
    assert [value for value in values if "url(" in value] == ["url(#round)"]
    assert not {name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")}


@pytest.mark.parametrize("anchor", ["../../../x", "../../status"])  # the second would be another file of the site
def test_a_badge_never_lies_outside_the_site(tmp_path: Path, anchor: str) -> None:
    outside = replace(entry(), procedure=replace(PROCEDURE, anchor=anchor))
    with pytest.raises(UsageError, match="outside the site"):
        write(tmp_path, [outside], ["staging"])
