"""What a responder does with a page, wherever it is read: tick, note, print; with keys, on a phone, from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from responder import RUNBOOK, base, context, copied, fill, follow, page, shown, site, stored, tick, write
from sample_site import build
from test_site_browser import browser, serving

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["base", "browser", "context", "page", "site"]  # the fixtures


def test_ticks_stay_are_stamped_and_make_a_timeline(page: Page, base: str) -> None:
    page.clock.set_fixed_time("2026-03-04T03:12:05Z")
    follow(page, base)
    assert not page.is_visible(".rb-bar")
    fill(page, "INSTANCE", "db`1")
    fill(page, "API_TOKEN", "secret-token")
    tick(page, "Done: Say what is wrong")
    page.clock.set_fixed_time("2026-03-04T03:14:06Z")
    tick(page, "Done: Mend *it*")
    page.reload()
    assert page.get_by_role("checkbox", name="Done: Mend *it*").is_checked()
    assert page.inner_text("#quoted .rb-tick time") == "03:14:06 UTC"
    assert "Mend it · 2 of 8 done · started 03:12 UTC" in page.inner_text(".rb-bar")
    page.get_by_label("A note for the timeline").fill("called <ana> *now*")
    page.keyboard.press("Enter")
    page.click("text=Copy timeline")
    timeline = str(page.evaluate("navigator.clipboard.readText()"))
    assert timeline == (
        f"# Timeline: Mend it\n\nPage: <{base}operations/follow/#mend>\n\n- INSTANCE: `` db`1 ``\n\n"
        "- 2026-03-04 03:12:05 UTC done: Say what is wrong: it is down\n"
        "- 2026-03-04 03:14:06 UTC done: Mend \\*it\\*\n"
        "- 2026-03-04 03:14:06 UTC note: called \\<ana\\> \\*now\\*\n"
    )
    with page.expect_download() as download:
        page.click(".rb-bar >> text=Download")
    assert download.value.suggested_filename == "timeline-follow-mend.md"
    assert download.value.path().read_text() == timeline
    page.get_by_role("checkbox", name="Done: Mend *it*").uncheck()
    assert page.inner_text("#quoted .rb-tick time") == ""
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click(".rb-bar >> text=Reset")
    assert "1 of 8 done" in page.inner_text(".rb-bar")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click(".rb-bar >> text=Reset")
    assert not page.is_visible(".rb-bar")
    assert not any(":t:" in key for key in stored(page, "localStorage"))


def test_the_bar_is_that_of_the_procedure_one_is_in_or_was_in(page: Page, base: str) -> None:
    page.set_viewport_size({"width": 800, "height": 500})
    follow(page, base)
    tick(page, "Done: Say what is wrong")
    assert "Mend it" in page.inner_text(".rb-bar")
    page.evaluate("document.activeElement.blur(); scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(100)
    assert "Mend it" in page.inner_text(".rb-bar")  # nothing is done there yet
    page.locator("#look-here .rb-tick input").check()
    assert "Look" in page.inner_text(".rb-bar")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_selector(".rb-bar >> text=Mend it")


def test_ticks_of_an_older_text_are_dropped_and_that_is_said(page: Page, base: str) -> None:
    follow(page, base)
    tick(page, "Done: Say what is wrong")
    ticks = {key: json.loads(value) for key, value in stored(page, "localStorage").items() if ":t:" in key}
    ((key, state),) = ticks.items()
    page.evaluate("([key, value]) => localStorage.setItem(key, value)", [key, json.dumps({**state, "digest": "older"})])
    page.reload()
    assert "the ticks for an older text were dropped" in page.inner_text(".rb-bar")
    assert page.locator(".rb-tick input:checked").count() == 0


def test_everything_is_done_with_the_keyboard_and_its_focus_is_seen(page: Page, base: str) -> None:
    follow(page, base)
    page.focus(".rb-vars summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.rbName") == "INSTANCE"
    page.keyboard.type("db-1")
    page.focus("#bare .rb-tick input")
    page.keyboard.press("Space")
    assert page.is_checked("#bare .rb-tick input")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.focus("#bare [data-clipboard-target]")
    page.keyboard.press("Enter")
    assert page.evaluate("navigator.clipboard.readText()") == "printf '[%s]' predb-1 db-1"
    for control in (".rb-tick", ".rb-vars button", ".rb-vars input", ".rb-bar button", ".rb-bar input"):
        box = page.locator(control).first.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24


def test_without_javascript_the_page_is_as_it_was(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{base}operations/follow/?INSTANCE=x")
    assert not page.is_visible(".rb-vars")
    assert page.locator(".rb-tick").count() == 0
    assert shown(page, "bare") == "printf '[%s]' pre$INSTANCE $INSTANCE"
    context.close()


def test_instant_navigation_brings_a_page_with_its_fields(page: Page, base: str) -> None:
    page.goto(base + "operations/database/")
    page.wait_for_load_state("networkidle")
    page.evaluate("window.stays = true")
    page.evaluate(
        "() => { const a = document.createElement('a'); a.href = '../follow/'; a.id = 'go';"
        "a.textContent = 'go'; document.querySelector('article').prepend(a) }"
    )
    page.click("#go")
    page.wait_for_selector("#bare .rb-tick")
    assert page.evaluate("window.stays") is True
    fill(page, "INSTANCE", "db-1")
    assert copied(page, "bare") == "printf '[%s]' predb-1 db-1"
    assert page.locator("#bare .rb-tick").count() == 1


def test_from_a_file_and_where_nothing_may_be_kept_the_page_works_until_it_is_left(
    browser: Browser, site: Path
) -> None:
    page = browser.new_page()  # in which Material itself stumbles
    page.add_init_script(
        "for (const kind of ['localStorage', 'sessionStorage'])"
        "Object.defineProperty(window, kind, { get() { throw new DOMException('no', 'SecurityError') } });"
        "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
    )
    page.goto((site / "operations/follow/index.html").as_uri() + "?INSTANCE=db-1")
    page.wait_for_selector(".rb-tick", state="attached")
    assert shown(page, "bare") == "printf '[%s]' predb-1 db-1"
    fill(page, "INSTANCE", "db-2")
    assert shown(page, "bare") == "printf '[%s]' predb-2 db-2"
    tick(page, "Done: Say what is wrong")
    assert "1 of 8 done" in page.inner_text(".rb-bar")
    page.click("text=Copy export block")
    page.wait_for_selector(".rb-vars [role=status] >> text=Copied.")
    page.close()


def test_a_phone_scrolls_nothing_sideways_with_long_values(page: Page, base: str) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    follow(page, base, INSTANCE="x" * 300, **{"Y" * 200: "1"})
    tick(page, "Done: Say what is wrong")
    page.get_by_label("A note for the timeline").fill("x" * 300)
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_on_paper_it_is_a_checklist(page: Page, base: str) -> None:
    follow(page, base)
    tick(page, "Done: Say what is wrong")
    page.emulate_media(media="print")
    for hidden in (".md-header", ".md-sidebar", ".md-footer", ".rb-bar", ".rb-vars", "#sweep", ".md-code__nav"):
        assert page.locator(f"{hidden} >> visible=true").count() == 0, hidden
    assert page.locator("#bare .rb-label").evaluate("one => getComputedStyle(one, '::before').content") == '"☑ "'
    assert page.locator("#quoted .rb-label").evaluate("one => getComputedStyle(one, '::before').content") == '"□ "'
    assert page.locator("#bare").evaluate("one => getComputedStyle(one).breakInside") == "avoid"
    page.emulate_media(media="screen")
    fill(page, "INSTANCE", "db-1")
    page.emulate_media(media="print")
    assert page.is_visible(".rb-vars [data-rb-name=INSTANCE]")
    assert not page.is_visible(".rb-vars [data-rb-name=API_URL]")


def test_what_a_folded_cleanup_prints_is_folded_with_it_and_a_check_is_named_by_its_sentence(
    browser: Browser, tmp_path: Path
) -> None:
    text = RUNBOOK.replace(
        'echo "$INSTANCE"\n```\n', 'echo "$INSTANCE"\n```\n```text {.expect}\nswept <rows> rows\n```\n'
    )
    text = text.replace(' title="Mend *it*"', "").replace("2. Then\n", "2. Then mend it: at once.\n")
    with serving(build(write(tmp_path, text))) as base:
        page = browser.new_page(viewport={"width": 360, "height": 800})
        follow(page, base)
        expected = page.locator("[data-rb-expect=sweep]")
        assert not expected.is_visible()
        page.locator("#sweep summary").click()
        assert expected.is_visible()
        assert page.get_by_role("checkbox", name="Done: Then mend it: at once", exact=True).count() == 1
        code = page.locator("#quoted pre > code")
        assert code.evaluate("one => one.scrollWidth <= one.clientWidth")  # a phone shows the whole command
        page.close()
