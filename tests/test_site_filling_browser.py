"""What a responder fills in is shown, copied and kept, and can never be more than a value."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from responder import RUNBOOK, base, context, copied, fill, follow, page, paste, shown, site, stored, tick
from test_site_browser import browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

__all__ = ["base", "browser", "context", "page", "site"]  # the fixtures

HOSTILE = [
    "db-1.example.com:5432",
    "$(reboot)",
    "`id`",
    "'; rm -rf / #",
    '"; echo pwned; "',
    "<img src=x onerror=alert(1)>",
    "a  b\\",
    "\\\\$HOME\\n",
    "!! !$ bang!",
    "*?[a-z]{1,2}~",
    "-n",
    "&amp;&lt;",
    "${IFS}x; #",
    "näher 🚒",
    "END",
]


def test_what_is_typed_is_shown_in_the_commands_and_taken_back_when_emptied(page: Page, base: str) -> None:
    follow(page, base)
    before = page.inner_html("#quoted code")
    fill(page, "INSTANCE", "db 1")
    assert shown(page, "bare") == "printf '[%s]' predb 1 db 1"
    assert shown(page, "quoted").startswith('printf \'[%s]\' "a db 1 b" "db 1"')
    assert page.get_attribute("#bare .rb-value >> nth=0", "title") == "INSTANCE = db 1"
    assert shown(page, "ask") == "GET $API_URL/of\nX-Instance: db 1"
    assert shown(page, "look-here") == "printf '[%s]' \"näher 🚒 db 1\""
    page.reload()
    assert page.input_value("[data-rb-name=INSTANCE]") == "db 1"
    assert shown(page, "bare") == "printf '[%s]' predb 1 db 1"
    fill(page, "INSTANCE", "")
    assert page.inner_html("#quoted code") == before


@pytest.mark.parametrize("value", HOSTILE)
def test_a_copied_command_does_with_any_value_what_it_does_with_the_variable(page: Page, base: str, value: str) -> None:
    follow(page, base)
    fill(page, "INSTANCE", value)
    for block in ("quoted", "heredoc", "snake", "kept", "look-here"):
        text = re.search(rf"```\w+ {{\.\w+ #{block}[^\n]*\n(.*?)\n *```", RUNBOOK, re.DOTALL)
        assert text is not None
        plain = re.sub(r"(?m)^    ", "", text[1])
        if block == "snake":
            plain = f"python3 - <<'X'\n{plain}\nX"
        assert paste(copied(page, block)) == paste(plain, INSTANCE=value)
    assert paste(copied(page, "bare")) == f"[pre{value}][{value}]"  # one word, as if it was quoted


def test_a_blank_at_the_end_that_belongs_to_a_word_is_copied(page: Page, base: str) -> None:
    follow(page, base)
    assert copied(page, "blank") == "printf '[%s]' a\\ "
    assert paste(copied(page, "blank")) == "[a ]"


@pytest.mark.parametrize("value", HOSTILE[1:7])
def test_values_of_a_link_are_values_and_nothing_else(page: Page, base: str, value: str) -> None:
    follow(page, base, INSTANCE=value)
    assert page.input_value("[data-rb-name=INSTANCE]") == value
    assert page.locator("[data-rb-linked]").count() == 1
    assert "From the alert's link, so look at them first: INSTANCE." in page.inner_text(".rb-vars-from")
    assert page.locator("article img").count() == 0
    assert paste(copied(page, "quoted")).startswith(f"[a {value} b]")
    assert stored(page, "localStorage") == {}


def test_a_link_cannot_bring_line_breaks_hidden_characters_or_names_that_the_page_does_not_know(
    page: Page, base: str
) -> None:
    follow(page, base, INSTANCE="a\nreboot", API_URL="http://a\u202eb", PATH="/evil", h="searched")
    assert page.input_value("[data-rb-name=INSTANCE]") == ""
    told = page.inner_text(".rb-vars-from")
    assert "INSTANCE (it holds a line break" in told
    assert "API_URL (it holds a line break or a character that is not seen)" in told
    assert "PATH (no variable of this page)" in told
    assert "h (" not in told
    assert "$INSTANCE" in copied(page, "quoted")


def test_what_an_alert_brings_stands_first_is_told_at_its_procedure_and_goes_along_in_this_tab(
    page: Page, base: str, context: BrowserContext
) -> None:
    follow(page, base, "#mend", DATABASE_URL="postgresql://db/ia", INSTANCE="db-1")
    assert page.locator(".rb-fields label > span").all_text_contents()[:2] == ["INSTANCE", "DATABASE_URL"]
    assert "From the alert's link: INSTANCE = db-1, DATABASE_URL = postgresql://db/ia." in page.inner_text(
        ".rb-card + .rb-linked >> nth=0"
    )
    assert page.evaluate("document.querySelector('.rb-vars').open") is False
    page.click("article >> text=look at it")
    assert page.url.endswith("?DATABASE_URL=postgresql%3A%2F%2Fdb%2Fia&INSTANCE=db-1#look")
    follow(page, base)
    assert page.input_value("[data-rb-name=INSTANCE]") == "db-1"
    fill(page, "INSTANCE", "db-2")
    follow(page, base, INSTANCE="db-3")
    assert page.input_value("[data-rb-name=INSTANCE]") == "db-3"
    fill(page, "INSTANCE", "db-4")
    page.reload()
    assert page.input_value("[data-rb-name=INSTANCE]") == "db-4"  # the link was taken once
    other = context.new_page()
    follow(other, base)
    assert other.input_value("[data-rb-name=INSTANCE]") == "db-4"
    assert other.input_value("[data-rb-name=DATABASE_URL]") == ""


def test_secrets_are_kept_for_this_tab_only_and_not_shown_in_commands(page: Page, base: str) -> None:
    follow(page, base)
    fill(page, "API_TOKEN", "t'k")
    fill(page, "DATABASE_URL", "postgresql://ia:geheim@db/ia")
    fill(page, "INSTANCE", "db-1")
    assert list(stored(page, "localStorage").values()) == ["db-1"]
    assert sorted(stored(page, "sessionStorage").values()) == ["postgresql://ia:geheim@db/ia", "t'k"]
    assert shown(page, "secret") == 'printf \'[%s]\' "$API_TOKEN" "$DATABASE_URL"'
    text = copied(page, "secret")
    assert text.splitlines()[:2] == [
        " export API_TOKEN='t'\\''k'",
        " export DATABASE_URL='postgresql://ia:geheim@db/ia'",
    ]
    assert paste(text) == "[t'k][postgresql://ia:geheim@db/ia]"
    assert page.get_attribute("#secret [data-clipboard-target]", "data-clipboard-text") is None


@pytest.mark.parametrize("unseen", ["\u3164", "\u034f", "\u2800", "\U000e0041"])
def test_a_link_cannot_bring_characters_that_look_like_nothing(page: Page, base: str, unseen: str) -> None:
    follow(page, base, INSTANCE=f"db{unseen}1")
    assert page.input_value("[data-rb-name=INSTANCE]") == ""
    assert "INSTANCE (it holds" in page.inner_text(".rb-vars-from")


@pytest.mark.parametrize("value", ["Bearer abc", "eyJhbGciOi.eyJzdWIi.c2ln", "postgresql://ia:geheim@db/ia"])
def test_what_looks_like_a_secret_reaches_neither_disk_nor_paper_nor_timeline(
    page: Page, base: str, value: str
) -> None:
    follow(page, base)
    captured = page.locator(".rb-captures input")
    captured.fill(value)
    captured.press("Tab")
    fill(page, "INSTANCE", value)
    tick(page, "Done: Say what is wrong")
    assert value not in json.dumps(stored(page, "localStorage"))
    page.click("text=Copy timeline")
    assert value not in page.evaluate("navigator.clipboard.readText()")
    page.emulate_media(media="print")
    shown_inputs = [each for each in page.locator("input:not([type=checkbox])").all() if each.is_visible()]
    assert [each.input_value() for each in shown_inputs if each.input_value()] == []
    assert value not in page.inner_text("article")
    assert value not in page.url


def test_the_export_block_has_what_is_filled_in_in_any_quotes(page: Page, base: str) -> None:
    follow(page, base)
    assert page.is_disabled("text=Copy export block")
    fill(page, "INSTANCE", 'it\'s $(reboot) "!!" \\')
    fill(page, "API_TOKEN", "s")
    page.click("text=Copy export block")
    page.wait_for_selector(".rb-vars [role=status] >> text=Copied.")
    text = str(page.evaluate("navigator.clipboard.readText()"))
    assert sorted(text.splitlines()) == [" export API_TOKEN='s'", r"""export INSTANCE='it'\''s $(reboot) "!!" \'"""]
    assert paste(text + 'printf "%s" "$INSTANCE"') == 'it\'s $(reboot) "!!" \\'
    page.click("text=Forget all")
    assert stored(page, "localStorage") == stored(page, "sessionStorage") == {}
    assert "$INSTANCE" in shown(page, "bare")


def test_a_placeholder_is_filled_in_where_it_is_shown_for_its_procedure_only(page: Page, base: str) -> None:
    follow(page, base)
    assert page.locator("[data-rb-name=job_id]").count() == 0
    page.get_by_label("<job_id> was").fill("it's 7")
    page.keyboard.press("Tab")
    assert shown(page, "captured") == "printf '[%s]' \"it's 7\""
    assert paste(copied(page, "captured")) == "[it's 7]"
    page.reload()
    assert page.get_by_label("<job_id> was").input_value() == "it's 7"
    assert list(stored(page, "localStorage")) == ["rb:/:c:follow/mend:job_id"]


def test_a_request_is_copied_as_curl_and_a_session_without_its_prompts_and_output(page: Page, base: str) -> None:
    follow(page, base)
    fill(page, "API_URL", "http://127.0.0.1:1")
    assert copied(page, "ask") == 'curl -sS --fail-with-body "http://127.0.0.1:1/of" -H "X-Instance: ${INSTANCE}"'
    page.click(".highlight:has(.gp) [data-clipboard-target]")
    session = str(page.evaluate("navigator.clipboard.readText()"))
    assert session == "echo one\necho two \\\n  three"
    assert paste(session) == "one\ntwo three\n"


def test_expected_output_has_nothing_to_copy(page: Page, base: str) -> None:
    follow(page, base)
    assert page.locator(".rb-expect [data-clipboard-target]:visible").count() == 0
    assert page.locator(".rb-block.rb-step [data-clipboard-target]:visible").count() == 3
