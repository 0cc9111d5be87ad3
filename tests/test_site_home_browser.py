"""What a browser makes of home: filters, the search for an alert, and counts that get old by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect
from sample_site import VERIFIED_AT, build, record_of, write_sample
from test_site_browser import browser as browser  # noqa: PLC0414 - a fixture is found by its name
from test_site_browser import serving

from runbook_checks.config import load_config
from runbook_checks.report import load_report
from runbook_checks.site.overview import MOST
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

EXCUSED_UNTIL = datetime.now(UTC) + timedelta(days=3)
MORE = 12  # verified procedures on a second page
HOME = """# Home

{{ overview() }}

## All {#all}

{{ status_table() }}

## Alerts {#alerts}

{{ alert_table() }}

## Some {#some}

{{ status_table(page="database", filters=true) }}
"""
RULES = "groups:\n  - rules:\n" + "".join(
    f"      - alert: {name}\n        expr: up\n" for name in ("DatabaseDown", "HighErrorRate", "HighLatency", "Alone")
)
SECOND = """---
title: Services
runbook: {{owner: service, tags: [service]}}
---

# Services

{sections}
"""
SECTION = """## {title} {{ #{anchor} }}

```yaml {{.procedure}}
alerts: [{alert}]
tags: [{tag}]
```

HighErrorRate and DatabaseDown are names that this text only mentions. High, error, database, down.

```bash {{.check #{anchor}-check}}
true
```

"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sample(tmp_path_factory.mktemp("home"))
    names = ["HighErrorRate", "HighLatency", *("" for _ in range(MORE - 2))]
    sections = [
        SECTION.format(title=f"Mend service {number}", anchor=f"service-{number}", alert=name, tag=f"t{number % 2}")
        for number, name in enumerate(names)
    ]
    (folder / "docs/operations/services.md").write_text(SECOND.format(sections="\n".join(sections)))
    (folder / "docs/index.md").write_text(HOME)
    (folder / "rules.yml").write_text(f"{RULES}      - alert: Later\n        expr: up\n")
    with (folder / "runbook-checks.yml").open("a") as file:
        file.write("alerts: [rules.yml]\nalerts_without_runbook:\n")
        file.write(f"  - {{alert: Later, owner: me, reason: it is new, until: {EXCUSED_UNTIL:%Y-%m-%d}}}\n")
    config = folder / "mkdocs.yml"
    config.write_text(config.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
    with config.open("a") as file:
        file.write("site_url: http://site.example/\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(folder)


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    with serving(site) as address:
        sitemap = site / "sitemap.xml"  # Material swaps only pages that it names
        sitemap.write_text(sitemap.read_text().replace("http://site.example/", address))
        yield address


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(base)
    yield page
    page.close()


def rows(page: Page, table: int = 0) -> list[str]:
    """Return the titles of the procedures that a table shows."""
    shown = page.locator(".rb-list").nth(table).locator("tbody > tr:visible th > a")
    return shown.all_inner_texts()


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


class TestFilters:
    def test_typing_leaves_the_rows_that_hold_every_word(self, page: Page) -> None:
        assert len(rows(page)) == MORE + 6
        page.get_by_label("Search in the table").first.fill("restore DATABASE")
        expect(page.get_by_role("status").first).to_have_text(f"1 of {MORE + 6} procedures")
        assert rows(page) == ["Restore the database"]

    def test_the_number_of_rows_is_announced(self, page: Page) -> None:
        shown = page.get_by_role("status").first
        expect(shown).to_have_text(f"{MORE + 6} procedures")
        assert shown.get_attribute("aria-live") == "polite"

    def test_every_filter_can_be_used_by_keyboard(self, page: Page) -> None:
        page.get_by_label("Search in the table").first.focus()
        names = []
        for _ in range(5):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.name"))
        assert names == ["page", "status", "owner", "alert", "tag"]
        page.keyboard.press("Shift+Tab")
        page.keyboard.type("HighL")
        expect(page.get_by_role("status").first).to_have_text(f"1 of {MORE + 6} procedures")
        assert rows(page) == ["Mend service 1"]
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Show all"
        page.keyboard.press("Enter")
        expect(page.get_by_role("status").first).to_have_text(f"{MORE + 6} procedures")
        assert page.evaluate("document.activeElement.name") == "text"
        assert query(page) == {}

    def test_a_control_in_focus_is_seen(self, page: Page) -> None:
        for control in page.locator(".rb-filter").first.locator("input, select").all():
            control.focus()
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Tab")
            assert control.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
            box = control.bounding_box()
            assert box is not None
            assert box["height"] >= 24

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("page", "services", MORE),
            ("status", "failed", 1),
            ("owner", "service", MORE),
            ("alert", "DatabaseDown", 1),
            ("tag", "t1", MORE // 2),
            ("tag", "service", MORE),
        ],
    )
    def test_a_filtered_view_is_in_the_address_and_comes_back(
        self, page: Page, name: str, value: str, expected: int
    ) -> None:
        page.locator(f".rb-filter select[name={name}]").first.select_option(value)
        expect(page.get_by_role("status").first).to_have_text(f"{expected} of {MORE + 6} procedures")
        page.wait_for_url(f"**/?{name}={value}")
        page.reload()
        expect(page.get_by_role("status").first).to_have_text(f"{expected} of {MORE + 6} procedures")
        assert len(rows(page)) == expected
        assert page.locator(f".rb-filter select[name={name}]").first.input_value() == value

    def test_what_else_is_in_the_address_stays(self, page: Page, base: str) -> None:
        page.goto(f"{base}?INSTANCE=db-1&status=nonsense#all")
        assert len(rows(page)) == MORE + 6
        page.locator(".rb-filter select[name=owner]").first.select_option("service")
        page.wait_for_url("**owner=service**")
        assert query(page) == {"INSTANCE": ["db-1"], "owner": ["service"]}
        assert urlsplit(page.url).fragment == "all"

    def test_two_tables_do_not_disturb_each_other(self, page: Page) -> None:
        page.locator(".rb-filter select[name=status]").nth(1).select_option("stale")
        page.wait_for_url("**/?status-2=stale")
        page.locator(".rb-filter select[name=status]").nth(0).select_option("failed")
        page.wait_for_url("**status=failed**")
        assert (rows(page), rows(page, 1)) == (["Grow the disk"], ["Promote the replica"])
        page.reload()
        assert (rows(page), rows(page, 1)) == (["Grow the disk"], ["Promote the replica"])

    def test_a_filter_that_leaves_nothing_says_so(self, page: Page) -> None:
        page.get_by_label("Search in the table").first.fill("no such thing")
        expect(page.get_by_text("No procedure is like this.").first).to_be_visible()
        expect(page.get_by_role("status").first).to_have_text(f"0 of {MORE + 6} procedures")
        assert not page.locator(".rb-list").first.locator("table").is_visible()
        page.get_by_role("button", name="Show all").first.click()
        expect(page.get_by_text("No procedure is like this.").first).to_be_hidden()

    def test_filters_work_after_material_has_swapped_the_page(self, page: Page, base: str) -> None:
        page.goto(f"{base}operations/services/")
        page.evaluate("window.stays = true")
        page.locator(".md-header__button.md-logo").click()
        expect(page.get_by_role("status").first).to_have_text(f"{MORE + 6} procedures")
        page.locator(".rb-filter select[name=status]").first.select_option("failed")
        expect(page.get_by_role("status").first).to_have_text(f"1 of {MORE + 6} procedures")
        assert page.evaluate("window.stays") is True

    def test_without_javascript_there_are_rows_and_no_filters(self, browser: Browser, base: str) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(base)
        assert len(rows(page)) == MORE + 6
        assert not page.locator(".rb-filter").first.is_visible()
        hour_ago = datetime.now(UTC) - timedelta(hours=1)
        assert hour_ago.date().isoformat() in page.locator(".rb-newest").inner_text()
        context.close()


class TestOverview:
    def test_what_expires_after_the_build_is_counted_again(self, browser: Browser, base: str) -> None:
        page = browser.new_page()
        page.goto(base)
        before = counts(page)
        assert before == {"verified": 1, "failed": 1, "blocked": 1, "stale": 1, "expired": 1, "unverified": MORE + 1}
        assert page.locator(".rb-until").inner_text() == "1"
        attention = page.locator(".rb-attention").first
        assert "Restore the database" not in attention.inner_text()
        page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
        page.goto(base)
        assert counts(page) == {**before, "verified": 0, "expired": 2}
        assert page.locator(".rb-until").inner_text() == "0"
        assert page.locator(".rb-attention-count").inner_text() == str(MORE + 6)
        titles = attention.locator("li:visible > a").all_inner_texts()
        assert titles == [
            "Grow the disk", "Replay the log", "Promote the replica", "Back the database up", "Restore the database",
        ]  # fmt: skip
        assert len(titles) == MOST
        assert page.locator(".rb-more > summary").inner_text() == f"{MORE + 6 - MOST} more"
        page.locator(".rb-filter select[name=status]").first.select_option("expired")
        assert sorted(rows(page)) == ["Back the database up", "Restore the database"]
        page.close()

    def test_counting_again_takes_the_focus_from_nobody(self, page: Page) -> None:
        page.locator(".rb-more > summary").click()
        for link in (page.locator(".rb-attention > li:visible > a").nth(at) for at in (0, MOST)):
            link.focus()
            page.evaluate("document.dispatchEvent(new Event('rb-refreshed'))")
            assert link.evaluate("one => one === document.activeElement")

    def test_a_row_that_expires_while_one_reads_is_found_by_its_new_word(self, page: Page) -> None:
        search = page.get_by_label("Search in the table").first
        search.fill("expired service-a-word-of-no-row")
        assert rows(page) == []
        search.fill("expired restore")
        assert rows(page) == []
        page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=300))
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        assert rows(page) == ["Restore the database"]

    def test_a_table_of_one_status_has_what_has_it_now(self, browser: Browser, tmp_path: Path) -> None:
        folder = write_sample(tmp_path)
        tables = [f'{{{{ status_table(status="{status}", page="database") }}}}' for status in ("expired", "verified")]
        (folder / "docs/index.md").write_text("# Home\n\n" + "\n\n".join(tables) + "\n")
        with serving(build(folder)) as base:
            page = browser.new_page()
            page.goto(base)
            nothing = page.get_by_text("No procedure here.").nth(1)
            assert (rows(page), rows(page, 1)) == (["Back the database up"], ["Restore the database"])
            assert not nothing.is_visible()
            page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            assert (rows(page), rows(page, 1)) == (["Back the database up", "Restore the database"], [])
            assert nothing.is_visible()
            page.close()

    def test_rows_of_several_environments_are_not_called_procedures(self, browser: Browser, tmp_path: Path) -> None:
        folder = write_sample(tmp_path)
        with (folder / "runbook-checks.yml").open("a") as file:
            file.write("  other: {disposable: true}\n")
        (folder / "docs/index.md").write_text(
            '# Home\n\n{{ status_table() }}\n\n{{ status_table(status="failed", filters=true) }}\n'
        )
        with serving(build(folder)) as base:
            page = browser.new_page()
            page.goto(base)
            assert page.locator(".rb-shown").all_inner_texts() == ["12 statuses", "1 procedure"]
            page.close()

    def test_the_newest_run_tells_how_long_ago(self, page: Page) -> None:
        assert "1 hour ago" in page.locator(".rb-newest").inner_text()

    def test_a_row_tells_how_long_ago_on_a_screen_and_the_day_on_paper(self, page: Page) -> None:
        row = page.locator(".rb-status tr", has_text="Restore the database").first
        assert "Verified 3 hours ago" in " ".join(row.inner_text().split())
        page.emulate_media(media="print")
        day = VERIFIED_AT.date().isoformat()
        assert f"Verified {day}" in " ".join(row.inner_text().split())

    def test_all_green_is_one_calm_sentence_until_it_expires(self, browser: Browser, tmp_path: Path) -> None:
        folder = write_sample(tmp_path, evidence=False)
        (folder / "docs/index.md").write_text("# Home\n\n{{ overview() }}\n")
        config = load_config(folder / "runbook-checks.yml")
        now = datetime.now(UTC)
        for entry in load_report(config, now=now).entries:
            Store(folder / config.evidence).append(record_of(entry, now - timedelta(hours=1)))
        with serving(build(folder)) as base:
            page = browser.new_page()
            page.goto(base)
            calm = "All 6 procedures on staging work as written; the oldest proof is of 1 hour ago."
            assert page.locator(".rb-calm").inner_text().strip() == calm
            assert not page.locator(".rb-alarm").is_visible()
            page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=300))
            page.goto(base)
            assert not page.locator(".rb-calm").is_visible()
            assert page.get_by_text("Needs attention: 6 of 6").is_visible()
            page.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("filtered", ["", "?text=no+such+thing"])
def test_no_width_scrolls_home_sideways(browser: Browser, base: str, width: int, filtered: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(base + filtered)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize(
    ("typed", "anchor"),
    [
        ("HighErrorRate", "operations/services/#service-0"),
        ("high error", "operations/services/#service-0"),
        ("higherr", "operations/services/#service-0"),
        ("DatabaseDown", "operations/database/#restore-database"),
        ("database down", "operations/database/#restore-database"),
        ("t1 latency", "operations/services/#service-1"),
    ],
)
def test_the_search_for_an_alert_leads_to_its_procedure(page: Page, base: str, typed: str, anchor: str) -> None:
    page.keyboard.press("/")
    page.keyboard.type(typed)
    first = page.locator(".md-search-result__item").first
    expect(first.locator(f"a[href^='{base}{anchor.partition('#')[0]}']").first).to_be_visible()
    best = first.locator("a.md-search-result__link[href*='#']").first
    assert anchor in without_query(best.get_attribute("href"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{anchor.partition('#')[0]}**")
    assert without_query(page.url) == base + anchor


def counts(page: Page) -> dict[str, int]:
    tiles = page.locator(".rb-count").all()
    return {str(tile.get_attribute("data-rb-status")): int(tile.locator(".rb-number").inner_text()) for tile in tiles}


def without_query(address: str | None) -> str:
    parts = urlsplit(address or "")
    return parts._replace(query="").geturl()


def test_without_javascript_counts_say_of_which_moment_they_are(browser: Browser, base: str) -> None:
    for javascript in (False, True):
        context = browser.new_context(java_script_enabled=javascript)
        shown = context.new_page()
        shown.goto(base)
        said = shown.locator(".rb-overview").inner_text()
        assert (f"As of {datetime.now(UTC):%Y-}" in said) is not javascript
        context.close()


def test_an_exception_that_ends_after_the_build_is_one_no_longer(page: Page, base: str) -> None:
    for where in (".rb-coverage", ".rb-alerts"):
        assert f"no runbook until {EXCUSED_UNTIL:%Y-%m-%d}" in page.locator(where).inner_text().lower()
    assert page.locator(".rb-gap", has_text="Exception over").count() == 0
    page.clock.set_fixed_time(EXCUSED_UNTIL + timedelta(days=1))
    page.goto(base)
    for where in (".rb-coverage", ".rb-alerts"):
        gap = page.locator(where).locator(".rb-gap", has_text="Exception over")
        assert gap.inner_text().lower().startswith(f"exception over: no runbook until {EXCUSED_UNTIL:%Y-%m-%d}")
