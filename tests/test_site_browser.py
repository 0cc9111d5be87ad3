"""What a browser makes of a built site: it gets old by itself, fits a phone, and asks nobody else."""

from __future__ import annotations

import contextlib
import functools
import http.server
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright
from sample_site import build, write_sample

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
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        site = build(write_sample(tmp_path_factory.mktemp("site")))
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
    page.close()


def test_without_javascript_the_absolute_date_tells(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(base + PAGE)
    day = (datetime.now(UTC) - timedelta(hours=3)).date().isoformat()
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
