"""The card of a procedure and the banner of its page: what was proven, where, and what has changed since."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from records import record
from sample_site import build
from test_site_badges import DAY, PROCEDURE, RECORD, entry

from runbook_checks.changes import Change, Changes, DiffLine, How, Sign
from runbook_checks.config import load_config
from runbook_checks.record import CHANGED, Evidence, Outcome, Service
from runbook_checks.report import load_catalog, load_report
from runbook_checks.site import render
from runbook_checks.site.badges import message
from runbook_checks.status import Judgement, Status
from runbook_checks.verify import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.report import Entry

PAGE = """---
title: Database
runbook: {}
---

# Database

## Restore { #restore }

```bash {.step #run}
. scripts/restore.sh
```

```bash {.check}
true
```

## Look { #look }

```bash {.check #see}
true
```
"""


def card(*entries: Entry, changes: Changes | None = None) -> str:
    found = [(record(), changes)] if changes else []
    return render.card(PROCEDURE, entry().runbook, entries, [], "../evidence/db/restore/", found)


def text_of(html: str) -> str:
    """Return what a reader without JavaScript reads, hidden elements left out."""
    shown = re.sub(r"<(\w+)[^>]* hidden>.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", "", shown).replace("&nbsp;", " ").split())


def test_the_first_line_says_status_date_environment_release_and_duration() -> None:
    services = (Service("service-a", "1.1.0"), Service("postgresql", "18.1"))
    verified = replace(entry(), judgement=replace(entry().judgement, record=replace(RECORD, services=services)))
    html = card(verified)
    assert text_of(html).startswith("verified 2026-11-21 07:30 UTC on staging · service-a 1.1.0 · 14 s · evidence")
    assert '<time class="rb-when" datetime="2026-11-21T07:30:00+00:00" title="2026-11-21 07:30 UTC">' in html
    assert 'href="../evidence/db/restore/"' in html


def test_what_stands_beside_a_date_is_of_the_run_of_that_date() -> None:
    proven = replace(RECORD, services=(Service("web", "1.0"),), duration_s=3.0)
    newer = replace(RECORD, digest=CHANGED, services=(Service("web", "2.0"),), duration_s=90.0, dirty=True)
    judgement = Judgement(Status.STALE, f"{CHANGED}: file scripts/a.sh", newer, DAY, DAY, proven)
    stale = replace(entry(), judgement=judgement)
    told = text_of(card(stale))
    assert "web 1.0 · 3 s" in told.replace("\xa0", " ")
    assert "web 2.0" not in told
    assert "uncommitted changes" not in told + message(stale)
    assert "uncommitted changes" not in text_of(render.banner([stale, entry()]))


def test_a_stack_that_lists_nothing_has_no_release() -> None:
    assert "on staging · 14 s" in text_of(card(entry()))


@pytest.mark.parametrize("status", [Status.STALE, Status.EXPIRED])
def test_an_old_proof_is_not_dated_as_if_it_were_the_trouble(status: Status) -> None:
    assert f"{status.value}, last verified 2026-11-21 07:30 UTC on staging" in text_of(card(entry(status)))


def test_a_failure_says_when_it_was_and_when_it_last_worked() -> None:
    failed = replace(RECORD, outcome=Outcome.FAILED, ended_at=(DAY + timedelta(days=1)).isoformat())
    told = text_of(card(replace(entry(), judgement=Judgement(Status.FAILED, "p:1: it broke", failed, DAY, DAY))))
    assert told.startswith("failed 2026-11-22 07:30 UTC on staging · 14 s · last verified 2026-11-21 07:30 UTC")


def test_a_reason_of_many_lines_is_shown_as_lines_and_bounded() -> None:
    failed = replace(RECORD, outcome=Outcome.FAILED)
    reason = "\n".join(["p:1: stdout is not what the page says", "- <b>", *(f"+ {number}" for number in range(20))])
    html = card(replace(entry(), judgement=Judgement(Status.FAILED, reason, failed, DAY, DAY)))
    assert "when it was last run.</strong> p:1: stdout is not what the page says</p>" in html
    shown = html.partition('<pre class="rb-said" data-search-exclude>')[2].partition("</pre>")[0].split("\n")
    assert shown == ["- &lt;b&gt;", *(f"+ {number}" for number in range(7)), "… and 13 more lines"]


def test_control_characters_are_shown_and_not_obeyed() -> None:
    evil = "\x1b[2J\u202etxt"
    failed = replace(RECORD, outcome=Outcome.FAILED, services=(Service(evil, evil),))
    found = Changes((Change(How.ADDED, "file", (evil,)),), (DiffLine(Sign.ADDED, evil),))
    html = card(
        replace(entry(), judgement=Judgement(Status.FAILED, f"{evil}\n{evil}", failed, DAY, DAY)), changes=found
    )
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_each_environment_has_a_line_and_those_without_a_run_share_a_quiet_one() -> None:
    others = [entry(Status.UNVERIFIED, environment=name) for name in ("box", "cloud")]
    html = card(entry(), entry(environment="production"), *others)
    assert html.count('class="rb-state"') == 2
    assert "Unverified on box, cloud: never run there." in text_of(html)
    assert 'data-rb-procedure="db/restore" data-rb-status="verified"' in html


def test_a_further_environment_whose_runs_do_not_count_is_not_quiet() -> None:
    other = replace(entry(Status.UNVERIFIED, environment="box"), history=(Evidence(RECORD),))
    assert 'data-rb-procedure="db/restore" data-rb-status="unverified"' in card(entry(), other)


def test_the_first_environment_is_never_quiet() -> None:
    html = card(entry(Status.UNVERIFIED), entry(environment="production"))
    assert 'data-rb-procedure="db/restore" data-rb-status="unverified"' in html
    assert "Nothing proves this procedure." in html


def test_what_changed_while_it_ran_is_said() -> None:
    changed = replace(RECORD, digest=CHANGED)
    judgement = Judgement(Status.STALE, f"{CHANGED}: file scripts/a.sh", changed, DAY, DAY)
    assert f"{CHANGED}: file scripts/a.sh" in card(replace(entry(), judgement=judgement))


def test_changes_are_listed_and_the_diff_has_signs_and_is_escaped() -> None:
    found = Changes(
        parts=(
            Change(How.CHANGED, "block", ("<i>",)),
            Change(How.ADDED, "files", ("a.sh", "b.sh", "c.sh", "d.sh"), more=7),
            Change(How.REMOVED, "the card"),
        ),
        diff=(
            DiffLine(Sign.SKIPPED, ""),
            DiffLine(Sign.REMOVED, "<script>alert(1)</script>"),
            DiffLine(Sign.ADDED, "  b"),
            DiffLine(Sign.SAME, "c"),
        ),
        diff_cut=3,
    )
    html = card(entry(Status.STALE), changes=found)
    assert "<script" not in html
    assert "<i>" not in html
    assert "Changed since it was last verified: block &lt;i&gt;, 11 new files, the card removed" in text_of(html)
    assert "added: files a.sh, b.sh, c.sh, d.sh and 7 more" in text_of(html)
    diff = html[html.index('<pre class="rb-diff">') :].partition("</pre>")[0]
    assert re.sub("<[^>]*>", "", diff).split("\n") == [
        *("… ", "- &lt;script&gt;alert(1)&lt;/script&gt;", "+   b", "  c", "… and 3 more lines", ""),
    ]
    assert "<del>- " in diff
    assert "<ins>+ " in diff


def test_changes_that_an_old_record_cannot_tell_in_full_say_so() -> None:
    html = card(entry(Status.STALE), changes=Changes(diff=(DiffLine(Sign.ADDED, "x"),), complete=False))
    assert "Changed since it was last verified: not known" in text_of(html)
    assert "other things may have changed too" in html


def named(title: str, anchor: str, status: Status, days: int = 0, *, dirty: bool = False) -> Entry:
    base = entry(status, dirty=dirty)
    judgement = base.judgement if base.record is None else replace(base.judgement, verified_at=DAY - timedelta(days))
    return replace(base, procedure=replace(PROCEDURE, title=title, anchor=anchor), judgement=judgement)


def test_a_banner_is_one_calm_line_when_all_is_verified() -> None:
    entries = [named("A", "a", Status.VERIFIED), named("B", "b", Status.VERIFIED, 2)]
    assert text_of(render.banner(entries)) == "All 2 procedures verified, the oldest 2026-11-19 07:30 UTC"
    assert text_of(render.banner(entries[:1])) == "The procedure of this page is verified, 2026-11-21 07:30 UTC"
    assert "All 2 procedures verified on staging, the" in text_of(render.banner(entries, several=True))


def test_a_banner_says_what_was_proven_with_uncommitted_changes() -> None:
    entries = [named("A", "a", Status.VERIFIED, dirty=True), named("B", "b", Status.VERIFIED)]
    assert text_of(render.banner(entries)).endswith("UTC, 1 with uncommitted changes")


def test_a_banner_names_and_links_what_is_not_proven_the_worst_first() -> None:
    html = render.banner(
        [
            named("A", "a", Status.STALE),
            named("B", "b", Status.VERIFIED),
            named("<C>", "c", Status.FAILED),
            named("D", "d", Status.STALE),
        ]
    )
    assert text_of(html) == "3 of 4 procedures are not proven as written failed: &lt;C&gt; stale: A, D"
    assert re.findall(r'href="#(\w)"', html) == ["c", "a", "d"]
    assert '<div class="rb-banner" role="note" aria-label="Status of this page" data-rb-status="failed"' in html
    assert "1 of 2 procedures is not proven" in text_of(
        render.banner([named("A", "a", Status.STALE), named("B", "b", Status.VERIFIED)])
    )


def built_page(folder: Path) -> str:
    (folder / "mkdocs.yml").write_text(
        "site_name: S\ntheme: mkdocs\nplugins: [runbook-checks]\n"
        "markdown_extensions: [attr_list, pymdownx.superfences]\n"
    )
    return (build(folder) / "database/index.html").read_text()


def test_a_procedure_that_was_edited_since_it_ran_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "scripts").mkdir()
    page, script = tmp_path / "docs/database.md", tmp_path / "scripts/restore.sh"
    page.write_text(PAGE)
    script.write_text("true\n")
    (tmp_path / "docs/index.md").write_text("# Home\n")
    (tmp_path / "runbook-checks.yml").write_text("pages: [docs]\nenvironments: {staging: {disposable: true}}\n")
    config = load_config(tmp_path / "runbook-checks.yml")
    catalog = load_catalog(config)
    with Verifier(config, catalog, config.environment("staging"), "run-1") as verifier:
        assert [verifier.verify(each).outcome.value for each in catalog.procedures] == ["passed", "passed"]
    calm = built_page(tmp_path)
    assert re.search(r'Database.*</h1>\s*<div class="rb-banner"[^>]* data-rb-status="verified"', calm)
    assert "rb-changes" not in calm
    page.write_text(PAGE.replace("restore.sh\n", "restore.sh && true\n"))
    script.write_text("echo restored\n")
    reasons = [each.reason for each in load_report(config, now=datetime.now(UTC)).entries]
    assert reasons == ["changed since then: block run, file scripts/restore.sh", "from a tree with uncommitted changes"]
    loud = text_of(built_page(tmp_path))
    assert "Changed since it was last verified: block run, file scripts/restore.sh" in loud
    assert "- . scripts/restore.sh + . scripts/restore.sh &amp;&amp; true" in loud
    assert "1 of 2 procedures is not proven as written stale: Restore" in loud


def test_a_page_that_begins_with_something_else_has_the_banner_at_its_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("Home\n")
    (tmp_path / "docs/database.md").write_text(PAGE.replace("# Database", "Not yet.\n\n# Database"))
    (tmp_path / "runbook-checks.yml").write_text("pages: [docs]\nenvironments: {staging: {disposable: true}}\n")
    html = built_page(tmp_path)
    assert html.index('class="rb-banner"') < html.index("Not yet.") < html.index("</h1>")
    assert "rb-banner" not in (tmp_path / "built/index.html").read_text()
