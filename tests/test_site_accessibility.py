"""axe finds nothing on any kind of page: light and dark, on a desk and on a phone, in use, everything unfolded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mkdocs.commands.build
import mkdocs.config
import pytest
from axe_playwright_python.sync_playwright import Axe
from rich_site import RichSite, build_rich_site
from test_site_browser import REPOSITORY, serving
from test_site_browser import browser as browser  # noqa: PLC0414 - a fixture is found by its name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

OUR_PAGES = ("guide/quickstart/", "reference/site/")  # what is special in them is on no page of the sample
WIDTHS = (1280, 360)
_HEIGHT = 1200  # room for the whole navigation: of a link that is scrolled half out of sight axe sees one half
SCHEMES = ("light", "dark")
_OPTIONS = {"resultTypes": ["violations", "passes"], "rules": {"target-size": {"enabled": True}}}
# Material adds its copy buttons after the page has loaded.
_SETTLED = """() => new Promise(done => {
  let timer
  const wait = () => { clearTimeout(timer); timer = setTimeout(done, 300) }
  new MutationObserver(wait).observe(document, {subtree: true, childList: true, attributes: true})
  wait()
})"""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> RichSite:
    return build_rich_site(tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="module")
def sample(rich: RichSite) -> Iterator[str]:
    with serving(rich.site) as address:
        yield address


@pytest.fixture(scope="module")
def our_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("ours")
    mkdocs.commands.build.build(mkdocs.config.load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(site)))
    return site


@pytest.fixture(scope="module")
def ours(our_folder: Path) -> Iterator[str]:
    with serving(our_folder) as address:
        yield address


@pytest.fixture(scope="module")
def schemes(browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    contexts = {
        scheme: browser.new_context(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        for scheme in SCHEMES
    }
    yield contexts
    for context in contexts.values():
        context.close()


def violations(page: Page) -> list[str]:
    """Return what axe has against a page as it stands; raises when axe has looked at nothing."""
    found = Axe().run(page, options=_OPTIONS).response
    assert found["passes"], "axe has checked nothing"
    return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]


def settle(page: Page) -> None:
    """Wait until nothing of the page has changed for a moment."""
    page.evaluate(_SETTLED)


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('.md-content details').forEach(each => { each.open = true })")


def as_it_is(_: Page) -> None:
    """Use nothing."""


def use_filters(page: Page) -> None:
    page.get_by_role("searchbox", name="Search in the table").first.fill("database")
    page.get_by_role("combobox", name="Status").first.select_option("verified")
    page.get_by_role("button", name="Show all").first.wait_for()


def filter_everything_away(page: Page) -> None:
    page.get_by_role("searchbox", name="Search in the table").first.fill("nothing is called like this")


def respond(page: Page) -> None:
    for name, value in (("INSTANCE", "db-1"), ("API_TOKEN", "secret-token")):
        page.locator(f"[data-rb-name={name}]").fill(value)
    page.get_by_text("Copy export block").click()
    page.locator(".rb-tick input").first.check()
    page.get_by_label("A note for the timeline").fill("called ana")
    page.keyboard.press("Enter")
    page.get_by_text("Copy timeline").click()


def search(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("restore")
    page.locator(".md-search-result__item").first.wait_for()


# Each kind of page that the tool makes or changes, as it is used.
KINDS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "home with filters": ("", use_filters),
    "home with nothing left": ("", filter_everything_away),
    "statuses and changes": ("operations/database/", as_it_is),
    "a runbook in use": ("operations/follow/?INSTANCE=db-2&UNKNOWN=1#look", respond),
    "evidence, verified, long, charts": ("evidence/database/restore-database/", as_it_is),
    "evidence, failed": ("evidence/database/grow-disk/", as_it_is),
    "evidence, refused": ("evidence/database/rotate-password/", as_it_is),
    "evidence, none": ("evidence/follow/mend/", as_it_is),
    "not found": ("404.html", as_it_is),
    "a search": ("", search),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing_on_any_kind_of_page(
    schemes: dict[str, BrowserContext], sample: str, kind: str, scheme: str
) -> None:
    address, use = KINDS[kind]
    assert both_widths(schemes[scheme], sample + address, use) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["index.html", "operations/follow.html"])
def test_axe_finds_nothing_in_the_offline_edition(
    schemes: dict[str, BrowserContext], rich: RichSite, name: str, scheme: str
) -> None:
    assert both_widths(schemes[scheme], (rich.offline / name).as_uri(), as_it_is) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_on_a_permalink_that_does_not_redirect(browser: Browser, sample: str, scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.route("**/p/**", lambda route: route.fulfill(body=without_redirect(route.fetch().text())))
    page.goto(sample + "p/database/restore-database/")
    assert "This procedure is at its page." in page.inner_text("main")
    assert violations(page) == []
    context.close()


def without_redirect(html: str) -> str:
    head, _, rest = html.partition("<script>")
    _, _, tail = rest.partition("</noscript>")
    assert head
    assert tail
    return head + tail


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", OUR_PAGES)
def test_axe_finds_nothing_on_a_page_of_ours(
    schemes: dict[str, BrowserContext], ours: str, page: str, scheme: str
) -> None:
    assert both_widths(schemes[scheme], ours + page, as_it_is) == []


def both_widths(context: BrowserContext, address: str, use: Callable[[Page], None]) -> list[str]:
    page = context.new_page()
    found = []
    try:
        page.set_viewport_size({"width": WIDTHS[0], "height": _HEIGHT})
        page.goto(address)
        settle(page)
        unfold(page)
        use(page)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": _HEIGHT})
            found += [f"{width} px: {each}" for each in violations(page)]
    finally:
        page.close()
    return found


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
    page.goto(sample + "404.html")
    page.evaluate("html => document.querySelector('article').insertAdjacentHTML('beforeend', html)", html)
    assert [each.partition(":")[0] for each in violations(page)] == [rule]
    page.close()
