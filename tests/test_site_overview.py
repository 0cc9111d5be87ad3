"""Home says how things stand at a glance, quiet when all is green and loud when not; nothing is left out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from sample_site import build, write_sample
from test_site_badges import DAY, PROCEDURE, RECORD, entry

from runbook_checks.alerts import Alert, coverage
from runbook_checks.config import Exemption
from runbook_checks.model import Card, Procedure, Runbook
from runbook_checks.record import Evidence, Outcome
from runbook_checks.site import render
from runbook_checks.site.filters import filters
from runbook_checks.site.overview import MOST, alert_rows, overview, until
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runbook_checks.record import Record
    from runbook_checks.report import Entry
    from runbook_checks.site.overview import Overview


def named(heading: str, status: Status = Status.VERIFIED, *, card: Card | None = None, **runbook: object) -> Entry:
    procedure = replace(PROCEDURE, title=heading, anchor=heading.lower(), card=card or Card())
    found = entry(status)
    return replace(found, procedure=procedure, runbook=replace(found.runbook, **runbook))  # type: ignore[arg-type]


def at_a_glance(*entries: Entry, alerts: Sequence[Alert] = ()) -> Overview:
    return overview("staging", entries, coverage(alerts, entries), DAY + timedelta(days=1))


def shown(view: Overview, *, rules: bool = True) -> str:
    return render.fill(
        "overview.html",
        view=view,
        most=MOST,
        href=lambda procedure: f"db/#{procedure.anchor}",
        where="",
        rules=rules,
        until=until(view.coverage.raised),
    ).replace("&#35;", "#")


def test_every_status_is_counted_the_calm_one_first() -> None:
    view = at_a_glance(named("A"), named("B"), named("C", Status.FAILED))
    assert [(status.value, count) for status, count in view.counts] == [
        ("verified", 2), ("failed", 1), ("blocked", 0), ("stale", 0), ("expired", 0), ("unverified", 0),
    ]  # fmt: skip
    assert shown(view).count("data-rb-zero") == 4


def test_what_needs_attention_comes_first_with_reason_and_link() -> None:
    failed = named("B", Status.FAILED)
    failed = replace(failed, judgement=replace(failed.judgement, reason="exit status 1, not 0"))
    view = at_a_glance(named("A"), named("U", Status.UNVERIFIED), failed)
    assert [each.procedure.title for each in view.first] == ["B", "U"]
    html = shown(view)
    assert 'href="db/#b"' in html
    assert "exit status 1, not 0" in html
    assert "never run" in html
    assert re.search(r'class="rb-calm"[^>]* hidden', html)
    assert '<div class="rb-alarm">' in html


def test_why_is_told_where_the_status_alone_does_not_say_it() -> None:
    stale, failed = named("Old", Status.STALE), named("Bad", Status.FAILED)
    stale = replace(stale, judgement=replace(stale.judgement, reason="what was verified is no longer what is written"))
    failed = replace(failed, judgement=replace(failed.judgement, reason="exit status 1"))
    html = shown(at_a_glance(stale, failed))
    assert "exit status 1" in html
    assert "no longer what is written" not in html


def test_when_all_is_green_one_sentence_says_so() -> None:
    html = shown(at_a_glance(named("A"), named("B"))).replace("&#58;", ":")
    assert "All 2 procedures on staging work as written; the oldest proof is of" in html
    assert "2026-11-21 07:30 UTC" in html
    assert not re.search(r'class="rb-calm"[^>]* hidden', html)
    assert '<div class="rb-alarm" hidden>' in html


def test_a_long_list_is_folded_and_complete() -> None:
    view = at_a_glance(*(named(f"P{number}", Status.STALE) for number in range(MOST + 3)), named("V"))
    assert (len(view.first), view.further, len(view.rest)) == (MOST, 3, 4)
    assert ">3</span> more" in shown(view)
    assert view.first + view.rest == view.entries


def test_a_verified_procedure_waits_in_the_page_for_the_day_it_expires() -> None:
    (line,) = re.findall(r"<li data-rb-status=.*?</li>", shown(at_a_glance(named("A"))))
    assert " hidden" in line
    assert f'data-expires-at="{(DAY + timedelta(days=7)).isoformat()}"' in line.replace("&#58;", ":").replace(
        "&#43;", "+"
    )


def test_the_newest_run_says_when_and_how_it_went() -> None:
    old = named("Old")
    old = replace(old, judgement=replace(old.judgement, record=replace(RECORD, run="r0", outcome=Outcome.FAILED)))
    later = replace(RECORD, run="r1", ended_at=(DAY + timedelta(hours=1)).isoformat())
    new = replace(named("New"), judgement=replace(entry().judgement, record=later))
    view = at_a_glance(old, new)
    assert view.newest is not None
    assert (view.newest.entry.procedure.title, view.newest.outcomes) == ("New", ((Outcome.PASSED, 1),))
    assert "2026-11-21 08:30 UTC" in shown(view).replace("&#58;", ":")


def test_a_calm_sentence_is_one_of_grammar_and_of_uncommitted_changes() -> None:
    one = named("A")
    assert one.record is not None
    dirty = replace(one, judgement=replace(one.judgement, record=replace(one.record, dirty=True)))
    html = shown(at_a_glance(dirty))
    assert "The one procedure on staging works as written; proven" in html
    assert "1 with uncommitted changes." in html


def test_a_run_that_was_interrupted_is_the_newest_and_one_of_the_future_is_not() -> None:
    stopped = replace(RECORD, run="r1", outcome=Outcome.INTERRUPTED, ended_at=(DAY + timedelta(hours=1)).isoformat())
    never = replace(stopped, run="r2", ended_at=(DAY + timedelta(days=9)).isoformat())
    view = at_a_glance(named("A"), replace(named("B"), history=(Evidence(stopped), Evidence(never))))
    assert view.newest is not None
    assert (view.newest.record, view.newest.outcomes) == (stopped, ((Outcome.INTERRUPTED, 1),))


def test_the_newest_run_is_so_whatever_the_time_zones() -> None:
    early = replace(RECORD, run="r0", ended_at="2026-11-21T08:30:00+02:00")
    old = replace(named("Old"), judgement=replace(entry().judgement, record=early))
    view = at_a_glance(old, named("New"))
    assert view.newest is not None
    assert view.newest.entry.procedure.title == "New"


def test_with_several_environments_an_alert_is_without_runbook_only_there() -> None:
    view = at_a_glance(alerts=[Alert("Down", "r.yml", 1)])
    rows = alert_rows(view.coverage, rules=True)
    html = render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=True, where=" on staging")
    assert "no runbook on staging&#58; no procedure that can be proven there names this alert" in html


def test_without_any_run_it_says_so() -> None:
    assert "none yet" in shown(at_a_glance(named("A", Status.UNVERIFIED)))


def test_without_any_procedure_it_says_so() -> None:
    assert "No procedure can be proven on staging." in shown(at_a_glance())


def test_coverage_is_told_in_numbers_and_what_is_missing_by_name() -> None:
    rules = [Alert(name, "rules.yml", 1) for name in ("Down", "Slow", "Alone")]
    entries = (named("A", card=Card(5, ("Down",))), named("B", Status.STALE, card=Card(5, ("Slow", "Gone"))))
    html = shown(at_a_glance(*entries, alerts=rules))
    assert "2 of 3 alerts have a runbook" in html
    assert ">1</span> of those are verified" in html
    assert "No runbook&#58;</strong> <code>Alone</code>" in html
    assert "No rule raises&#58;</strong> <code>Gone</code>" in html


def test_without_rule_files_nothing_is_said_of_coverage() -> None:
    assert "alerts have a runbook" not in shown(at_a_glance(named("A", card=Card(5, ("Down",)))), rules=False)


def test_an_alert_stops_to_be_verified_when_its_first_procedure_expires() -> None:
    late = named("B", card=Card(5, ("Down",)))
    late = replace(late, judgement=replace(late.judgement, expires_at=DAY + timedelta(days=9)))
    answers = coverage([Alert("Down", "r.yml", 1)], [named("A", card=Card(5, ("Down",))), late]).raised
    assert until(answers) == (int((DAY + timedelta(days=7)).timestamp()),)


def test_the_table_of_alerts_begins_with_what_is_missing() -> None:
    rules = [Alert(name, "rules.yml", 7) for name in ("Down", "Slow", "Alone")]
    entries = (named("A", card=Card(5, ("Down",))), named("B", Status.STALE, card=Card(5, ("Slow", "Gone"))))
    rows = alert_rows(coverage(rules, entries), rules=True)
    assert [(row.answer.name, row.loud) for row in rows] == [
        ("Alone", True), ("Gone", True), ("Slow", False), ("Down", False),
    ]  # fmt: skip
    html = render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=True, where="").replace("&#58;", ":")
    assert "no runbook: no procedure names this alert" in html
    assert "rules.yml:7" in html
    assert "no rule raises this alert" in html
    assert "docs/db.md:5" in html


def test_an_exception_is_told_with_its_day_and_is_no_alarm_meanwhile() -> None:
    exemption = Exemption("Alone", "platform", date(2026, 12, 31), "<i>soon", "runbook-checks.yml", 3)
    rules = [Alert(name, "rules.yml", 7) for name in ("Down", "Alone", "Gap")]
    covered = coverage(rules, [named("A", Status.STALE, card=Card(5, ("Down",)))], [exemption])
    rows = alert_rows(covered, rules=True)
    assert [(row.answer.name, row.loud) for row in rows] == [("Gap", True), ("Alone", False), ("Down", False)]
    table = render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=True, where="").replace("&#58;", ":")
    assert "no runbook until 2026-12-31: &lt;i&gt;soon" in table
    assert table.count("rb-gap") == 1
    html = shown(overview("staging", (), covered, DAY)).replace("&#58;", ":")
    assert "1 of 3 alerts have a runbook" in html
    assert "No runbook:</strong> <code>Gap</code>" in html
    assert "No runbook until 2026-12-31:</span> <code>Alone</code>" in html


@pytest.mark.parametrize(
    ("drill", "said"),
    [
        (None, "never drilled"),
        (replace(RECORD, digest="sha256:1"), "drill passed <time"),
        (replace(RECORD, digest="sha256:1", outcome=Outcome.FAILED), "drill <strong>failed</strong> <time"),
        (RECORD, "2026-11-21</time>, changed since"),
    ],
)
def test_the_table_of_alerts_says_when_each_procedure_was_drilled(drill: Record | None, said: str) -> None:
    one = replace(named("A", card=Card(5, ("Down",))), drill=drill)
    rows = alert_rows(coverage([Alert("Down", "r.yml", 1)], [one]), rules=True)
    html = render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=True, where="")
    assert said in html
    assert ("changed since" in html) is (drill is RECORD)


def test_without_rule_files_the_table_has_the_alerts_of_cards_and_no_alarm() -> None:
    rows = alert_rows(coverage((), [named("A", card=Card(5, ("Down",)))]), rules=False)
    html = render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=False, where="")
    assert "Down" in html
    assert "rb-gap" not in html
    assert "No alert here." in render.fill("alerts.html", rows=(), href=lambda _: "x", rules=False, where="")


def test_filters_offer_what_tells_procedures_apart() -> None:
    entries = (
        named("A", card=Card(5, ("Down", "Slow"), tags=("slow",)), owner="x", tags=("db",)),
        named("B", card=Card(5, ("Down",))),
    )
    offered = {each.name: [choice.value for choice in each.choices] for each in filters(entries)}
    assert offered.pop("status") == [status.value for status in Status]
    assert offered == {"owner": ["platform", "x"], "alert": ["Down", "Slow"], "tag": ["db", "slow"]}


def test_a_filter_by_pages_of_one_name_has_the_titles_of_them_all() -> None:
    one = named("A")
    europe = replace(
        named("B"), procedure=Procedure("eu/db.md", "b", "B", 3, Card(), ()), runbook=Runbook("eu/db.md", "EU")
    )
    other = replace(named("C"), procedure=Procedure("x.md", "c", "C", 3, Card(), ()), runbook=Runbook("x.md", "X"))
    offered = next(each for each in filters((one, europe, other)) if each.name == "page")
    assert [(choice.value, choice.label) for choice in offered.choices] == [
        ("db", f"{one.runbook.title} and EU"),
        ("x", "X"),
    ]


def test_a_filterable_row_carries_what_filters_ask_for() -> None:
    row = named("A", card=Card(5, ("Down", "Slow"), tags=("slow",)), tags=("db",))
    html = render.table([(row, "x")], filterable=True)
    for attribute in (
        'data-rb-page="db"', 'data-rb-status="verified"', 'data-rb-owner="platform"',
        'data-rb-alert="Down&#124;Slow"', 'data-rb-tag="slow&#124;db"',
    ):  # fmt: skip
        assert attribute in html
    assert "<form" in html
    assert "<form" not in render.table([(row, "x")])


def test_texts_of_runbooks_never_become_markup() -> None:
    evil = '<img src=x onerror="y">'
    row = named(evil, Status.FAILED, card=Card(5, (evil,), tags=(evil, "b")), title=evil, owner=evil)
    row = replace(row, judgement=replace(row.judgement, reason=evil))
    view = at_a_glance(row, alerts=[Alert("<img>", "<img>.yml", 1)])
    rows = alert_rows(view.coverage, rules=True)
    html = shown(view) + render.table([(row, "x"), (named("B"), "x")], filterable=True)
    assert "<img" not in html + render.fill("alerts.html", rows=rows, href=lambda _: "x", rules=True, where="")


class TestBuilt:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.delenv("CI", raising=False)
        return write_sample(tmp_path)

    def home(self, folder: Path, text: str) -> str:
        (folder / "docs/index.md").write_text(f"# Home\n\n{text}\n")
        return (build(folder) / "index.html").read_text(encoding="utf-8")

    def test_macros_show_the_first_environment_unless_told(self, folder: Path) -> None:
        with (folder / "runbook-checks.yml").open("a") as file:
            file.write("  other: {disposable: true}\n")
        html = self.home(folder, '{{ overview() }}\n\n{{ overview("other") }}\n\n{{ alert_table() }}')
        assert re.findall(r'aria-label="Procedures on (\w+)"', html) == ["staging", "other"]
        assert html.count("<code>DatabaseDown</code></th>") == 1

    @pytest.mark.parametrize("macro", ["overview", "alert_table"])
    def test_an_unknown_environment_fails_the_build(
        self, folder: Path, caplog: pytest.LogCaptureFixture, macro: str
    ) -> None:
        with pytest.raises(SystemExit):
            self.home(folder, f'{{{{ {macro}("stagin") }}}}')
        assert "docs/index.md:3: there is no environment `stagin`; did you mean `staging`?" in caplog.text

    def test_a_rule_file_that_cannot_be_read_fails_the_build(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with (folder / "runbook-checks.yml").open("a") as file:
            file.write("alerts: [rules.yml]\n")
        (folder / "rules.yml").write_text("groups: x\n")
        with pytest.raises(SystemExit):
            self.home(folder, "{{ overview() }}")
        assert "rules.yml:1: `groups` must be a list" in caplog.text

    def test_a_table_is_filterable_when_it_is_long_or_told_so(self, folder: Path) -> None:
        assert '<form class="rb-filter"' not in self.home(folder, "{{ status_table() }}")
        assert '<form class="rb-filter"' in self.home(folder, "{{ status_table(filters=true) }}")

    def test_what_macros_show_is_not_searched_and_what_responders_run_is(self, folder: Path) -> None:
        config = folder / "mkdocs.yml"
        config.write_text(config.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
        (folder / "docs/index.md").write_text(
            "# Home\n\n{{ overview() }}\n\n{{ status_table() }}\n\n{{ alert_table() }}\n"
        )
        docs = json.loads((build(folder) / "search/search_index.json").read_text(encoding="utf-8"))["docs"]
        home = [doc for doc in docs if "operations/" not in doc["location"]]
        rest = str([doc for doc in docs if doc not in home])
        assert "Restore the database" not in str(home)
        assert "createdb scratch" not in rest
        assert "restore.sh --latest" in rest
        assert "Rotate the password" in rest
