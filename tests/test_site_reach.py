"""Every control is reached by keyboard and seen in focus; no page is wider than a phone; nobody else is asked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from test_site_accessibility import our_folder, ours, respond, rich, sample, search, settle, unfold
from test_site_browser import browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route
    from rich_site import RichSite

__all__ = ["browser", "our_folder", "ours", "rich", "sample"]  # fixtures

PHONE = {"width": 360, "height": 800}
SMALLEST_TARGET_PX = 24

# Numbers what can be used, in the order of the page, and keeps how it looks without the focus.
_NUMBER = """() => {
  const look = (one) => {
    const style = getComputedStyle(one);
    return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow].join();
  };
  window.seen = (one) => {
    const style = getComputedStyle(one);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
      || look(one) !== window.looks[one.dataset.number];
  };
  window.looks = [];
  document.body.tabIndex = -1;
  document.body.focus();  // Tab goes on from the top
  document.body.removeAttribute("tabindex");
  const found = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter(
    (one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility({ visibilityProperty: true })
      && one.getBoundingClientRect().width > 0);
  found.forEach((one, number) => { one.dataset.number = number; window.looks.push(look(one)); });
  return found.map((one) => [one.outerHTML.slice(0, 160), Boolean(one.closest(".md-content"))]);
}"""
_FOCUSED = """() => {
  const one = document.activeElement;
  return one === document.body ? null
    : [Number(one.dataset.number ?? -1), window.seen(one), one.outerHTML.slice(0, 160)];
}"""
_TARGETS = """() => [
  ...document.querySelectorAll(".md-content :is([class*=rb-], [class*=rb-] *):is(button, select, summary)"),
  ...document.querySelectorAll(".md-content [class*=rb-] input:not([type=checkbox])"),
  ...document.querySelectorAll(".rb-tick, .rb-crumbs a, .rb-head > a"),
].filter((one) => one.checkVisibility()).map((one) => [
  one.outerHTML.slice(0, 120), Math.min(one.getBoundingClientRect().width, one.getBoundingClientRect().height)])"""


@pytest.fixture
def page(browser: Browser, sample: str) -> Iterator[Page]:
    """A page that reaches only the site; what it asks of others is refused and makes the test fail."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    with alone(page, sample):
        yield page
    page.close()


@contextlib.contextmanager
def alone(page: Page, base: str) -> Iterator[None]:
    """Refuse what the page asks of other hosts; fail afterwards when it did."""
    asked: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", refuse)
    yield
    assert asked == []


KINDS = {
    "home": "",
    "a runbook": "operations/follow/?INSTANCE=db-2",
    "a runbook with every status": "operations/database/",
    "evidence": "evidence/database/restore-database/",
}


@pytest.mark.parametrize("kind", KINDS)
def test_tab_reaches_every_control_in_the_order_of_the_page_shows_it_and_leaves_it(
    page: Page, sample: str, kind: str
) -> None:
    page.goto(sample + KINDS[kind])
    settle(page)
    unfold(page)
    if kind == "a runbook":
        respond(page)
    controls: list[tuple[str, bool]] = page.evaluate(_NUMBER)
    met: list[int] = []
    unseen = []
    for _ in range(len(controls) + 5):
        page.keyboard.press("Tab")
        focused: tuple[int, bool, str] | None = page.evaluate(_FOCUSED)
        if focused is None:
            break
        met.append(focused[0])
        if not focused[1]:
            unseen.append(focused[2])
    else:
        pytest.fail("the keyboard does not get out of the page")
    content = [number for number, (_, inside) in enumerate(controls) if inside]
    assert [controls[number][0] for number in range(len(controls)) if number not in met] == []
    assert [number for number in met if number in set(content)] == content
    assert unseen == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_touched_is_large_enough_for_a_thumb(page: Page, sample: str, kind: str) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(sample + KINDS[kind])
    settle(page)
    unfold(page)
    if kind == "a runbook":
        respond(page)
    targets: list[tuple[str, float]] = page.evaluate(_TARGETS)
    assert targets
    assert [what for what, size in targets if size < SMALLEST_TARGET_PX] == []


def test_the_search_asks_nobody_else(page: Page, sample: str) -> None:
    page.goto(sample)
    search(page)


def test_no_page_of_the_sample_is_wider_than_a_phone_or_asks_anybody_else(
    browser: Browser, sample: str, rich: RichSite
) -> None:
    assert walk(browser, sample, rich.site) == []


def test_no_page_of_ours_is_wider_than_a_phone_or_asks_anybody_else(
    browser: Browser, ours: str, our_folder: Path
) -> None:
    assert walk(browser, ours, our_folder) == []


def is_like_others(page: Path) -> bool:
    """Return whether it is the evidence page of a procedure that never ran: of those, one is on the sample."""
    return "evidence" in page.parts and 'class="rb-ran"' not in page.read_text()


def walk(browser: Browser, base: str, site: Path) -> list[str]:
    """Return what is wider than a phone, of all pages with everything unfolded; fails when one asks another host."""
    found: list[str] = []
    page = browser.new_page(viewport=PHONE, reduced_motion="reduce")  # type: ignore[arg-type]
    with alone(page, base):
        names = [path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html"))]
        names = [name for name in names if not (name.startswith("p/") or is_like_others(site / name))]
        assert names
        for name in names:
            page.goto(base + quote(name), wait_until="load")
            unfold(page)
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE["width"]:
                found.append(f"{name}: {width} px")
    page.close()
    return found
