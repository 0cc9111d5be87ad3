"""What a browser makes of a built site: it gets old by itself, fits a phone, and asks nobody else."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright
from sample_site import VERIFIED_AT, build, record_of, write_sample

from runbook_checks.config import load_config
from runbook_checks.report import load_report
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REPOSITORY = Path(__file__).parent.parent
PAGE = "operations/database/"


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(site: Path) -> Iterator[str]:
    handler = functools.partial(_QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(write_sample(tmp_path_factory.mktemp("site")))


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail(
            "no Chromium on the PATH; install it: `apt-get install chromium`, or `brew install --cask chromium`"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_what_expires_after_the_build_says_so_in_the_browser(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(base + PAGE)
    card = page.locator("[data-rb-card=restore-database]")
    assert card.locator(".rb-word").inner_text().lower() == "verified"
    assert not card.get_by_text("It has expired since this page was built").is_visible()
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    page.goto(base + PAGE)
    assert card.get_attribute("data-rb-status") == "expired"
    assert card.locator(".rb-word").inner_text().lower() == "expired"
    assert card.get_by_text("It has expired since this page was built").is_visible()
    assert "30 days ago" in card.inner_text()
    page.goto(base)
    assert "It took 42 s (expired) the last time" in page.locator("article").inner_text()
    page.close()


def test_a_card_says_how_long_ago_and_paper_says_when(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(base + PAGE)
    when = page.locator("[data-rb-card=restore-database] .rb-state time")
    assert when.inner_text() == "3 hours ago"
    day = VERIFIED_AT.date().isoformat()
    assert day in str(when.get_attribute("title"))
    page.emulate_media(media="print")
    assert when.inner_text().startswith(day)
    page.close()


def test_a_clock_that_is_behind_makes_nothing_newer(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.clock.set_fixed_time(datetime.now(UTC) - timedelta(days=2))
    page.goto(base + PAGE)
    when = page.locator("[data-rb-card=restore-database] .rb-state time")
    day = VERIFIED_AT.date().isoformat()
    assert when.inner_text().startswith(day)
    assert "just now" not in page.locator("article").inner_text()
    page.close()


def test_a_page_that_was_asleep_is_true_as_soon_as_it_is_seen(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(base + PAGE)
    card = page.locator("[data-rb-card=restore-database]")
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    assert card.get_attribute("data-rb-status") == "verified"
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert card.get_attribute("data-rb-status") == "expired"
    page.close()


def test_a_page_that_is_open_for_days_gets_old_by_itself_and_so_does_the_next_one(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(base)
    badge = page.locator("article p .rb-badge").first
    assert badge.get_attribute("data-rb-status") == "verified"
    page.clock.fast_forward(30 * 24 * 3600 * 1000)
    assert badge.get_attribute("data-rb-status") == "expired"
    page.get_by_role("link", name="the restore", exact=True).click()
    card = page.locator("[data-rb-card=restore-database]")
    expect(card).to_have_attribute("data-rb-status", "expired", timeout=30_000)
    expect(page.locator(".rb-banner")).to_have_text(re.compile(r"\s*6 of 6"), timeout=30_000)
    page.close()


def test_a_site_that_is_opened_from_a_disk_gets_old_by_itself(browser: Browser, site: Path) -> None:
    page = browser.new_page()
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    page.goto((site / PAGE / "index.html").as_uri())
    card = page.locator("[data-rb-card=restore-database]")
    assert card.get_attribute("data-rb-status") == "expired"
    assert "30 days ago" in card.inner_text()
    assert page.locator(".rb-banner").inner_text().startswith("6 of 6")
    page.close()


OTHER = """---
runbook: {verify_every: 60d}
---

# Other

See [the restore](database.md#restore-database).

## Look { #look }

```bash {.check #looked}
true
```
"""


@pytest.fixture(scope="module")
def previewing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a site that shows a preview of a link, and of which all that a page has is verified."""
    folder = write_sample(tmp_path_factory.mktemp("previewing"))
    (folder / "docs/operations/other.md").write_text(OTHER)
    (folder / "docs/index.md").write_text("# Home\n\nSee [the other](operations/other.md).\n")
    config = load_config(folder / "runbook-checks.yml")
    (entry,) = (one for one in load_report(config, now=datetime.now(UTC)).entries if one.procedure.anchor == "look")
    Store(folder / config.evidence).append(record_of(entry, VERIFIED_AT))
    settings = folder / "mkdocs.yml"
    features = "navigation.instant, navigation.instant.preview]\n"
    settings.write_text(
        settings.read_text().replace("navigation.instant]\n", features) + "site_url: http://site.example/\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        site = build(folder)
    with serving(site) as address:
        sitemap = site / "sitemap.xml"  # Material previews only pages that it names
        sitemap.write_text(sitemap.read_text().replace("http://site.example/", address))
        yield address


def test_a_preview_of_a_link_says_what_has_expired_and_the_page_around_it_does_not_take_it_for_its_own(
    browser: Browser, previewing: str
) -> None:
    page = browser.new_page()
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    page.goto(f"{previewing}operations/other/")
    banner = page.locator("article > .rb-banner")
    assert banner.inner_text() == "The procedure of this page is verified, 30 days ago"
    page.get_by_role("link", name="the restore", exact=True).hover()
    card = page.locator("body > * [data-rb-card=restore-database]")
    card.wait_for()
    assert card.get_attribute("data-rb-status") == "expired"
    assert card.locator(".rb-word").inner_text().lower() == "expired"
    assert banner.inner_text() == "The procedure of this page is verified, 30 days ago"
    page.close()


def test_a_preview_of_a_page_says_that_its_banner_no_longer_holds(browser: Browser, previewing: str) -> None:
    page = browser.new_page()
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=90))
    page.goto(previewing)
    page.get_by_role("link", name="the other", exact=True).hover()
    banner = page.locator(".rb-banner")
    banner.wait_for()
    assert banner.inner_text() == "The procedure of this page is not proven as written"
    page.close()


def test_without_javascript_what_is_green_says_of_which_day_it_is(browser: Browser, base: str) -> None:
    day = VERIFIED_AT.date().isoformat()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for address in (base, base + PAGE):
        page.goto(address)
        for badge in page.locator('.rb-badge[data-rb-status="verified"]').all():
            assert day in badge.inner_text()
    context.close()


def test_the_banner_gets_louder_as_procedures_expire(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(base + PAGE)
    banner = page.locator(".rb-banner")
    assert "5 of 6 procedures are not proven as written" in banner.inner_text()
    assert banner.get_attribute("data-rb-status") == "failed"
    assert [link.inner_text() for link in banner.locator("li[data-rb-status=expired] a").all()] == [
        "Back the database up"
    ]
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    page.goto(base + PAGE)
    assert "6 of 6 procedures are not proven as written" in banner.inner_text()
    late = banner.locator("li[data-rb-status=expired] a").last
    late.click()
    assert (late.inner_text(), page.url.partition("#")[2]) == ("Restore the database", "restore-database")
    page.close()


def test_a_calm_banner_turns_loud_when_the_first_procedure_expires(browser: Browser, tmp_path: Path) -> None:
    folder = write_sample(tmp_path, evidence=False)
    config = load_config(folder / "runbook-checks.yml")
    now = datetime.now(UTC)
    for entry in load_report(config, now=now).entries:
        days = 6 if entry.procedure.anchor == "grow-disk" else 2
        Store(folder / config.evidence).append(record_of(entry, now - timedelta(days)))
    with serving(build(folder)) as base:
        page = browser.new_page()
        banner = page.locator(".rb-banner")
        page.goto(base + PAGE)
        assert banner.inner_text().strip() == "All 6 procedures verified, the oldest 6 days ago"
        page.clock.install(time=now + timedelta(days=2))
        page.goto(base + PAGE)
        assert banner.inner_text().split("\n")[0].strip() == "1 of 6 procedures is not proven as written"
        assert banner.get_attribute("data-rb-status") == "expired"
        page.clock.fast_forward(4 * 86_400_000)
        assert banner.inner_text().split("\n")[0].strip() == "6 of 6 procedures are not proven as written"
        assert banner.locator("li").count() == 1
        page.close()


def test_what_changed_since_the_proof_opens_by_keyboard_and_is_told_by_signs(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(base + PAGE)
    changes = page.locator("[data-rb-card=promote-replica] .rb-changes")
    assert not changes.locator(".rb-diff").is_visible()
    changes.locator("summary").focus()
    page.keyboard.press("Enter")
    assert changes.locator(".rb-diff").is_visible()
    assert "+ reversible: false\n" in changes.locator("ins").all_inner_texts()
    assert "- psql -c 'select <b>pg_is_in_recovery()</b>'\n" in changes.locator("del").all_inner_texts()
    page.close()


def test_without_javascript_the_absolute_date_tells(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base + PAGE)
    day = VERIFIED_AT.date().isoformat()
    assert day in page.locator("[data-rb-card=restore-database] .rb-state").inner_text()
    context.close()


@pytest.mark.parametrize("address", ["", PAGE])
def test_a_phone_scrolls_no_page_sideways_and_no_other_host_is_asked(browser: Browser, base: str, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(base + address)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []
    page.close()


def test_what_only_the_test_runner_runs_is_folded_and_opens(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(base + PAGE)
    setup = page.locator("#restore-database-setup-1")
    assert not setup.locator("code").is_visible()
    setup.locator("summary").click()
    assert setup.locator("code").is_visible()
    page.close()


def test_a_name_in_the_first_column_of_a_table_stays_on_one_line_and_no_phone_scrolls_the_page(
    browser: Browser, tmp_path: Path
) -> None:
    folder = write_sample(tmp_path, evidence=False)
    (folder / "docs/assets").mkdir(exist_ok=True)
    (folder / "docs/assets/site.css").write_bytes((REPOSITORY / "docs/assets/site.css").read_bytes())
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("extra_css: [assets/site.css]\n")
    with (folder / "docs/index.md").open("a") as text:
        text.write(
            f"\n| key | meaning |\n|---|---|\n| `--name-of-{'a-very-' * 12}long-option FILE` | {'word ' * 60}|\n"
        )
        text.write(f"\n| key | meaning |\n|---|---|\n| `--some-option FILE` | {'word ' * 60}|\n")
    with serving(build(folder)) as base:
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.goto(base)
        names = page.locator("td:first-child code")
        heights = [names.nth(position).evaluate("one => one.getClientRects().length") for position in (-2, -1)]
        assert heights == [1, 1]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.close()
