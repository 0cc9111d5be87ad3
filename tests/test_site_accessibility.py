"""axe finds nothing on any kind of page: light and dark, on a desk and on a phone, everything unfolded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mkdocs.commands.build
import mkdocs.config
import pytest
from axe_playwright_python.sync_playwright import Axe
from sample_site import build, write_sample
from test_site_browser import REPOSITORY, serving
from test_site_browser import browser as browser  # noqa: PLC0414 - a fixture is found by its name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

SAMPLE_PAGES = (
    "",
    "operations/database/",
    "evidence/database/restore-database/",
    "404.html",
)  # every status, every role of a block
OUR_PAGES = ("", "operations/", "operations/disaster_recovery/", "guide/quickstart/", "reference/format/")
WIDTHS = (1280, 360)
SCHEMES = ("light", "dark")
_SETTLED_MS = 300  # Material adds its copy buttons after the page has loaded


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        folder = write_sample(tmp_path_factory.mktemp("sample"))
        (folder / "docs/assets").mkdir(exist_ok=True)
        (folder / "docs/assets/site.css").write_bytes((REPOSITORY / "docs/assets/site.css").read_bytes())
        with (folder / "mkdocs.yml").open("a") as config:
            config.write("extra_css: [assets/site.css]\n")
        site = build(folder)
    with serving(site) as address:
        yield address


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = tmp_path_factory.mktemp("ours")
    mkdocs.commands.build.build(mkdocs.config.load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(site)))
    with serving(site) as address:
        yield address


def violations(page: Page) -> list[str]:
    """Return what axe has against a page as it stands; raises when axe has looked at nothing."""
    found = Axe().run(page, options={"resultTypes": ["violations", "passes"]}).response
    assert found["passes"], "axe has checked nothing"
    return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]


def audited(browser: Browser, address: str, width: int, scheme: str) -> list[str]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    try:
        page.goto(address)
        page.wait_for_timeout(_SETTLED_MS)
        page.evaluate("document.querySelectorAll('.md-content details').forEach(each => { each.open = true })")
        return violations(page)
    finally:
        context.close()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", SAMPLE_PAGES)
def test_axe_finds_nothing_on_a_page_of_the_sample(
    browser: Browser, sample: str, page: str, width: int, scheme: str
) -> None:
    assert audited(browser, sample + page, width, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", OUR_PAGES)
def test_axe_finds_nothing_on_a_page_of_ours(browser: Browser, ours: str, page: str, width: int, scheme: str) -> None:
    assert audited(browser, ours + page, width, scheme) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_while_something_is_searched(browser: Browser, ours: str, scheme: str) -> None:
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.goto(ours)
    page.keyboard.press("/")
    page.keyboard.type("restore")
    page.locator(".md-search-result__item").first.wait_for()
    assert violations(page) == []
    page.close()


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>", "image-alt"),
        ("<p style='color: #aaa; background: #fff'>hardly to be read</p>", "color-contrast"),
        ("<button></button>", "button-name"),
    ],
)
def test_the_audit_finds_what_is_wrong(browser: Browser, sample: str, html: str, rule: str) -> None:
    page = browser.new_page()
    page.goto(sample)
    page.evaluate("html => document.querySelector('article').insertAdjacentHTML('beforeend', html)", html)
    assert [each.partition(":")[0] for each in violations(page)] == [rule]
    page.close()
