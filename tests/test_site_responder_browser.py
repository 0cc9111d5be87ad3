"""What a responder does with a page: fill in, copy, tick, print; and that a value can never be more than a value."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from sample_site import build, write_sample
from test_site_browser import browser, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

__all__ = ["browser"]  # the fixture

RUNBOOK = r"""---
title: Follow me
runbook:
  owner: platform
---

# Follow me

Now [look at it](#look) or [at another page](database.md).

## Mend it { #mend }

1. Say what is wrong: it is down. Do not guess.

    ```bash {.step #bare}
    printf '[%s]' pre$INSTANCE $INSTANCE
    ```

2. Then

    ```bash {.step #quoted title="Mend *it*"}
    printf '[%s]' "a $INSTANCE b" "${INSTANCE:-none}" "$(printf '<%s>' "$INSTANCE")"
    ```
    ```text {.expect}
    mended <job_id> of ...
    ```

    ```bash {.step #heredoc}
    cat <<END
    see $INSTANCE, and ${INSTANCE}
    END
    ```

    ```bash {.check #kept}
    for one in $INSTANCE; do printf '[%s]' "${one}" "${INSTANCE%.*}"; done
    ```

    ```bash {.check #captured}
    printf '[%s]' "$job_id"
    ```

    ```python {.check #snake}
    import os
    print("[" + os.environ["INSTANCE"] + "]", "$INSTANCE")
    ```

    ```http {.check #ask}
    GET $API_URL/of
    X-Instance: $INSTANCE
    ```

    ```bash {.check #secret}
    printf '[%s]' "$API_TOKEN" "$DATABASE_URL"
    ```

```bash {.cleanup #sweep}
echo "$INSTANCE"
```

## Look { #look }

```console
$ echo one
one
$ echo two \
>   three
two three
```

```bash {.check #look-here}
printf '[%s]' "näher 🚒 $INSTANCE"
```

```bash {.check #blank}
printf '[%s]' a\BLANK
```
""".replace("BLANK", " ")

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


def write(folder: Path, text: str = RUNBOOK) -> Path:
    write_sample(folder)
    (folder / "docs/operations/follow.md").write_text(text)
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("site_url: https://runbooks.example/\n")  # instant navigation needs a sitemap
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(write(tmp_path_factory.mktemp("follow")))


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    with serving(site) as address:
        sitemap = site / "sitemap.xml"  # Material navigates without loading to pages of this address only
        sitemap.write_text(sitemap.read_text().replace("https://runbooks.example/", address))
        yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message) if dialog.type == "alert" else None)
    yield page
    assert errors == []


def follow(page: Page, base: str, anchor: str = "", **values: str) -> None:
    page.goto(f"{base}operations/follow/{'?' + urlencode(values, quote_via=quote) if values else ''}{anchor}")
    page.wait_for_selector(".rb-tick", state="attached")


def fill(page: Page, name: str, value: str) -> None:
    page.evaluate("document.querySelector('.rb-vars').open = true")
    page.fill(f"[data-rb-name={name}]", value)
    page.keyboard.press("Tab")


def copied(page: Page, block: str) -> str:
    page.evaluate("navigator.clipboard.writeText('nothing')")
    page.locator(f"#{block}").scroll_into_view_if_needed()
    page.click(f"#{block} [data-clipboard-target]")
    return str(page.evaluate("navigator.clipboard.readText()"))


def paste(text: str, **environ: str) -> str:
    """Run a text as if it was typed, history expansion included."""
    typed = f"set -o history -o histexpand\n{text}\n"
    done = subprocess.run(
        ["bash", "--norc"],
        input=typed.encode(),
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == b""
    return done.stdout.decode()


def shown(page: Page, block: str) -> str:
    return str(page.locator(f"#{block} code").evaluate("code => code.textContent")).strip()


def stored(page: Page, kind: str) -> dict[str, Any]:
    return dict(page.evaluate(f"Object.fromEntries(Object.entries({kind}).filter(([key]) => key.startsWith('rb:')))"))


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


def tick(page: Page, name: str) -> None:
    page.get_by_role("checkbox", name=name).check()


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
