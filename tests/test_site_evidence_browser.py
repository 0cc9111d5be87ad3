"""What a browser makes of evidence: it runs nothing of it, asks nobody for it, and shows all of it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.error import URLError

import pytest
from sample_site import build, record_of, write_sample
from test_site_accessibility import violations
from test_site_browser import browser as browser  # noqa: PLC0414 - a fixture is found by its name
from test_site_browser import serving

from runbook_checks.config import load_config
from runbook_checks.model import acts
from runbook_checks.need import Proof, Tried
from runbook_checks.record import BlockRecord, Figure, Outcome, Service
from runbook_checks.report import load_report
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Dialog, Page

HOSTILE = (
    "</pre></code></details></script><script>window.__pwned = 1; alert(1)</script>"
    "<img src=x onerror='window.__pwned = 1'><svg onload=alert(1)><a href=javascript:alert(1)>go</a>"
    "\"' autofocus onfocus=alert(1) x='\"><iframe src=https://evil.example/></iframe>]]>-->{{ 7 * 7 }}&lt;"
)
_LINK = "\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\"
CONTROLS = f"{_LINK} \x1b]0;title\x07 \x1b[2J\x1b[31mred\x1b[0m real\rfake\x00\u202e"
COLOURS = "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in (*range(30, 38), *range(90, 98)))
STYLES = "".join(
    f"\x1b[{code}mstyle {code}\x1b[0m\n" for code in ("1", "2", "3", "4", "7", "9", "41", "30;40", "97;107")
)
LINE = "unbroken" * 50
FORGED = "database/grow-disk"
LONG = "database/restore-database"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        folder = write_sample(tmp_path_factory.mktemp("site"))
        config = folder / "mkdocs.yml"
        config.write_text(config.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
        _add_evidence(folder)
        return build(folder)


def _add_evidence(folder: Path) -> None:
    config = load_config(folder / "runbook-checks.yml")
    now = datetime.now(UTC)
    entries = {entry.procedure.id: entry for entry in load_report(config, now=now).entries}
    store = Store(folder / config.evidence)
    hostile = BlockRecord(
        id=HOSTILE,
        role=HOSTILE,
        language=HOSTILE,
        line=7,
        command=HOSTILE + CONTROLS,
        outcome=Outcome.FAILED,
        exit_status=1,
        stdout=HOSTILE + CONTROLS,
        stderr=(HOSTILE + "\n") * 20,
        message=HOSTILE + CONTROLS,
        attempts=1,
    )
    for minutes in (50, 40):
        run = record_of(entries[FORGED], now - timedelta(minutes=minutes), Outcome.FAILED, reason=HOSTILE + CONTROLS)
        store.append(
            replace(
                run,
                run=HOSTILE,
                title=HOSTILE,
                commit="javascript:alert(1)//" + HOSTILE,
                digest=HOSTILE,
                services=(Service(HOSTILE, HOSTILE),),
                figures=(Figure(HOSTILE, 1.0, HOSTILE, 0.0, 2.0),),
                blocks=(hostile, *run.blocks),
            )
        )
    for hours in range(30, 1, -1):
        outcome = Outcome.FAILED if hours % 7 == 0 else Outcome.PASSED
        run = record_of(entries[LONG], now - timedelta(hours=hours), outcome, reason="" if hours % 7 else "it hung")
        output = f"{COLOURS}{STYLES}{CONTROLS}\n" + "| a table | with rows | of which none is to be broken |\n" * 3
        blocks = tuple(replace(block, stdout=output if block.role == "step" else "") for block in run.blocks)
        store.append(replace(run, duration_s=100.0 + hours, blocks=blocks))
    for name, digest in ((FORGED, "of another text"), (LONG, entries[LONG].digest)):
        procedure, ended_at = entries[name].procedure, now.isoformat()
        tried = tuple(
            Tried(block.id, block.role.value, block.span.first, proven=False, by=HOSTILE, place=HOSTILE, reason=LINE)
            for block in procedure.blocks
            if acts(block)
        )
        if name == FORGED:
            tried = (*tried, replace(tried[0], id=HOSTILE, role=HOSTILE, reason=HOSTILE + CONTROLS))
        proof = Proof(
            run="r",
            procedure=name,
            page=procedure.page,
            title=HOSTILE,
            digest=digest,
            environment=entries[name].environment,
            started_at=ended_at,
            ended_at=ended_at,
            duration_s=1.0,
            commit="",
            dirty=False,
            services=(),
            trials=(),
            blocks=tried,
        )
        store.append_need(proof)


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


def opened(page: Page) -> None:
    page.evaluate("document.querySelectorAll('.md-content details').forEach(each => { each.open = true })")


@pytest.mark.parametrize(
    "address", [f"evidence/{FORGED}/", "operations/database/", "", f"badges/{FORGED}.svg", f"badges/{FORGED}.json"]
)
def test_nothing_that_came_out_of_a_command_runs_or_asks_anybody(browser: Browser, base: str, address: str) -> None:
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", refuse)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(base + address)
    opened(page)
    page.wait_for_timeout(500)
    assert said == []
    assert page.evaluate("window.__pwned") is None
    assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []
    active = "script, img, iframe, [onerror], [onload], [onfocus], [autofocus], a[href^='javascript:' i]"
    assert page.locator("article").locator(active).count() == 0
    page.close()


def test_what_is_hostile_is_shown_as_it_came(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(f"{base}evidence/{FORGED}/")
    opened(page)
    for place in (".rb-needs", ".rb-command", ".rb-message", ".rb-output", ".rb-facts", ".rb-history", ".rb-head"):
        assert HOSTILE[:60] in (page.locator(".rb-proof").locator(place).first.text_content() or ""), place
    shown = page.locator(".rb-output").first
    link = "[ESC]]8;;javascript:alert(1)[ESC]\\link[ESC]]8;;[ESC]\\"
    assert f"{link} [ESC]]0;title[BEL] [ESC][2Jred real[CR]fake[NUL][U+202E]" in shown.inner_text()
    assert shown.locator(".rb-ansi-red").inner_text() == "red"
    assert HOSTILE[:60] in (page.locator("figcaption").nth(1).text_content() or "")
    assert HOSTILE[:60] in (page.locator("svg.rb-chart title").nth(1).text_content() or "")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("procedure", [FORGED, LONG])
def test_axe_finds_nothing_and_no_phone_scrolls_sideways(
    browser: Browser, base: str, procedure: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{base}evidence/{procedure}/")
    opened(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    context.close()


def test_without_scripts_all_of_it_is_there(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base}evidence/{LONG}/")
    chart = page.locator("svg.rb-chart").first
    assert chart.is_visible()
    assert page.get_by_role("img", name="Duration, run by run").is_visible()
    folded = page.locator("details.rb-stream").first
    assert not folded.locator("pre").is_visible()
    folded.locator("summary").click()
    assert "a table" in folded.locator("pre").inner_text()
    assert page.get_by_text("20 older runs").is_visible()
    context.close()


def test_the_keyboard_opens_an_output_and_scrolls_it(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(f"{base}evidence/{LONG}/")
    folded = page.locator("details.rb-stream").first
    folded.locator("summary").focus()
    page.keyboard.press("Enter")
    output = folded.locator("pre")
    output.wait_for(state="visible")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('.rb-output')")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.rb-output').scrollLeft > 0")
    page.close()


def test_a_chart_can_be_read_on_a_phone(browser: Browser, base: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 800})
    page.goto(f"{base}evidence/{LONG}/")
    heights = page.locator("svg.rb-chart text").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) >= 10
    page.close()


def test_moments_tell_how_long_ago_they_were(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(f"{base}evidence/{LONG}/")
    assert page.locator(".rb-facts time").first.get_attribute("title") == "2 hours ago"
    page.close()


def test_navigation_search_and_the_scheme_work_from_an_evidence_page(browser: Browser, base: str) -> None:
    page = browser.new_page()
    missing: list[str] = []
    page.on("response", lambda response: missing.append(response.url) if response.status >= 400 else None)
    page.goto(f"{base}operations/database/")
    page.evaluate("address => location.assign(address)", f"{base}evidence/{LONG}/")
    page.wait_for_url(f"{base}evidence/{LONG}/")
    page.keyboard.press("/")
    page.keyboard.type("restore")
    page.locator(".md-search-result__item a").first.wait_for()
    page.keyboard.press("Escape")
    page.locator("label[title='Dark mode']").click()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    page.locator(".rb-crumbs a").click()
    page.wait_for_url(f"{base}operations/database/#restore-database")
    page.locator("[data-rb-card=restore-database]").wait_for()
    page.go_back()
    page.locator(".rb-crumbs a").wait_for()
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    assert missing == []
    page.close()


def test_mkdocs_serve_shows_evidence_pages(tmp_path: Path) -> None:
    folder = write_sample(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mkdocs", "serve", "--quiet", "-f", str(folder / "mkdocs.yml"), "-a", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            html = fetched(f"http://{address}/evidence/{LONG}/", server)
        finally:
            server.terminate()
    assert "<h1>Evidence: Restore the database</h1>" in html


def fetched(address: str, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return str(answer.read().decode())
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"{address} was not served")
