"""A page that shows anything else than what is run is refused, at path and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import markdown
import pytest

from runbook_checks.markdown import scan
from runbook_checks.site.crosscheck import differences
from runbook_checks.site.extension import PageView, RunbookChecksExtension
from runbook_checks.site.marked import marked_fences
from runbook_checks.site.seal import Seal
from runbook_checks.site.shown import read_page

if TYPE_CHECKING:
    from pathlib import Path

SEAL = Seal()
FRONT = "---\nrunbook: {owner: platform}\n---\n"
BODY = """# Page

## First { #first }

```yaml {.procedure}
severity: critical
```

1. Do it.

    ```bash {.step #go}
    echo "<hi>" && printf '\\n'

    date
    ```
    ```text {.expect}
    <hi>
    ...
    ```

### Details

```bash {.check}
true
```

## Second

```bash {.setup}
true
```

```bash {.check #last}
test 1 = 1
```
"""
EXTENSIONS = ["attr_list", "admonition", "md_in_html", "toc", "pymdownx.superfences", "pymdownx.highlight"]


def refuse(
    written: str,
    rendered: str | None = None,
    *,
    extensions: list[str] | None = None,
    configs: dict[str, Any] | None = None,
    change: tuple[str, str] = ("", ""),
) -> list[str]:
    """Return the problems of a page whose source is ``written`` and that other plugins made ``rendered`` of."""
    found = scan(FRONT + written, "docs/page.md")
    assert found.runbook is not None
    extension = RunbookChecksExtension()
    cards = {
        each.anchor: SEAL.put(f'<div class="rb-card" data-rb-card="{each.anchor}"></div>')
        for each in found.runbook.procedures
    }
    fences = marked_fences(found.runbook)
    extension.view = PageView(fences, cards)
    html = markdown.markdown(
        rendered if rendered is not None else written,
        extensions=[*(extensions or EXTENSIONS), extension],
        extension_configs=configs or {},
    )
    shown = read_page(html.replace(*change) if change[0] else html, SEAL.value)
    return [str(problem) for problem in differences("docs/page.md", fences, found.headings, shown)]


def line_of(text: str) -> int:
    return (FRONT + BODY).split("\n").index(text) + 1


def test_a_page_that_shows_what_is_run_is_accepted() -> None:
    assert refuse(BODY) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"linenums": True},
        {"linenums": True, "linenums_style": "inline"},
        {"linenums": True, "linenums_style": "pymdownx-inline", "anchor_linenums": True},
        {"use_pygments": False},
    ],
)
def test_line_numbers_and_other_highlighters_change_nothing(settings: dict[str, Any]) -> None:
    assert refuse(BODY, configs={"pymdownx.highlight": settings}) == []


def test_a_block_in_a_comment_is_run_and_never_read() -> None:
    text = BODY.replace("```bash {.check #last}", "<!--\n\n```bash {.check #last}") + "\n-->\n"
    (problem,) = refuse(text)
    assert problem.startswith(
        f"docs/page.md:{line_of('```bash {.check #last}') + 2}: block `last` would be run and is not"
    )


@pytest.mark.parametrize(
    "wrapper",
    [
        '<div hidden markdown="1">',
        '<div style="display: none" markdown="1">',
        '<div style="opacity:0" markdown="1">',
        '<div style="max-height:0;overflow:hidden" markdown="1">',
        '<div style="position:absolute;left:-9999px" markdown="1">',
        '<div popover markdown="1">',
    ],
)
def test_a_block_in_a_hidden_element_is_never_read(wrapper: str) -> None:
    (problem,) = refuse(BODY.replace("```bash {.check #last}", f"{wrapper}\n\n```bash {{.check #last}}") + "\n</div>\n")
    assert "block `last` would be run and is not on the page" in problem


def test_a_step_from_a_snippet_is_shown_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "more.md").write_text("```bash {.step}\nrm -rf data\n```\n")
    (problem,) = refuse(
        BODY + '\n--8<-- "more.md"\n',
        extensions=["pymdownx.snippets", *EXTENSIONS],
        configs={"pymdownx.snippets": {"base_path": [str(tmp_path)]}},
    )
    assert problem.startswith(
        f"docs/page.md:{line_of('## Second')}: the page shows a step that is never run: `rm -rf data`"
    )


def test_a_step_from_a_macro_is_shown_and_never_run() -> None:
    (problem,) = refuse(BODY + "\n{{ steps() }}\n", BODY + "\n```sh {.step #made}\nmake it\n```\n")
    assert "shows a step that is never run: `make it`" in problem


def test_a_card_from_a_macro_is_refused() -> None:
    (problem,) = refuse(BODY + "\n{{ card() }}\n", BODY + "\n```yaml {.procedure}\nreversible: true\n```\n")
    assert "shows a procedure that is never run" in problem


def test_a_step_that_a_macro_took_away_is_refused() -> None:
    gone = "```bash {.check #last}\ntest 1 = 1\n```\n"
    (problem,) = refuse(BODY, BODY.replace(gone, ""))
    assert "block `last` would be run and is not on the page" in problem


@pytest.mark.parametrize(
    "html",
    [
        '<div class="rb-block rb-step"><pre><code>rm -rf data</code></pre></div>',
        '<div class="rb-step" data-rb-block="go"><pre><code>rm -rf data</code></pre></div>',
        '<div class="rb-step" data-rb-block="invented"><pre><code>rm -rf data</code></pre></div>',
    ],
)
def test_our_marks_copied_by_hand_are_refused(html: str) -> None:
    (problem,) = refuse(f"{BODY}\n\n{html}\n")
    assert "shows a step that is never run: `rm -rf data`" in problem


def test_code_that_an_extension_changes_is_refused_with_both_texts() -> None:
    added = ('data-rb-block="last"><p', 'data-rb-block="last"><pre><code>sudo </code></pre><p')
    (problem,) = refuse(BODY, change=added)
    assert problem.startswith(f"docs/page.md:{line_of('```bash {.check #last}')}: block `last` is run as `test 1 = 1`")
    assert "and shown as `sudo test 1 = 1`; write it so that the page shows what is run" in problem


def test_a_snippet_inside_a_marked_fence_is_refused(tmp_path: Path) -> None:
    (tmp_path / "more.sh").write_text("rm -rf data\n")
    problems = refuse(
        BODY.replace("test 1 = 1", '--8<-- "more.sh"'),
        extensions=["pymdownx.snippets", *EXTENSIONS],
        configs={"pymdownx.snippets": {"base_path": [str(tmp_path)]}},
    )
    assert any("would be run and is not on the page" in problem for problem in problems)
    assert any("never run: `rm -rf data`" in problem for problem in problems)


def test_a_language_that_another_formatter_renders_is_refused() -> None:
    def diagram(*_: object, **__: object) -> str:
        return "<pre>a picture</pre>"

    fences = [{"name": "bash", "class": "bash", "format": diagram}]
    problems = refuse(BODY, configs={"pymdownx.superfences": {"custom_fences": fences}})
    assert sum("would be run and is not on the page" in problem for problem in problems) == 4


def test_fenced_code_after_superfences_is_refused() -> None:
    problems = refuse(BODY, extensions=[*EXTENSIONS, "fenced_code"])
    assert any("block `go` would be run and is not on the page" in problem for problem in problems)


def test_other_ids_of_headings_are_refused_with_what_to_write() -> None:
    def slugify(title: str, separator: str) -> str:
        return title.upper() + separator

    problems = refuse(BODY, configs={"toc": {"slugify": slugify}})
    assert (
        f"docs/page.md:{line_of('# Page')}: the page has no heading of level 1 with the id `page` here" in problems[0]
    )
    assert "write the id into the heading: `{ #page }`" in problems[0]


def test_a_heading_that_a_macro_puts_between_is_refused() -> None:
    (problem,) = refuse(BODY, BODY.replace("```bash {.check #last}", "## Harmless\n\n```bash {.check #last}"))
    assert "block `last` stands in section `page/second` of the source and in `page/harmless` of the page" in problem


def test_another_order_is_refused() -> None:
    first, second = "```bash {.setup}\ntrue\n```\n", "```bash {.check #last}\ntest 1 = 1\n```\n"
    swapped = BODY.replace(first, "X").replace(second, first).replace("X", second)
    assert refuse(BODY, swapped)


def test_another_role_is_refused() -> None:
    (problem,) = refuse(BODY, change=("rb-block rb-check", "rb-block rb-rollback"))[:1]
    assert "is shown as a rollback" in problem


def test_all_differences_are_told_at_once() -> None:
    assert len(refuse(BODY, "# Page\n\n## First { #first }\n\n### Details\n\n## Second\n")) == 6


@pytest.mark.parametrize("tag", ["dialog", "select", "noscript", "made-up"])
def test_a_block_in_an_element_that_may_not_show_it_is_never_read(tag: str) -> None:
    block = 'data-rb-block="last"'
    (problem,) = refuse(BODY, change=(f'<div class="rb-block rb-check" id="last" {block}>', f"<{tag}><div {block}>"))
    assert "block `last` would be run and is not on the page" in problem


@pytest.mark.parametrize("html", ["<style>.rb-block{display:none}</style>", "<script>hide()</script>"])
def test_a_style_or_a_script_on_a_page_with_blocks_is_refused(html: str) -> None:
    (problem,) = refuse(f"{BODY}\n\n{html}\n")
    assert "on the page can hide or change what is run; put it into a file that mkdocs.yml names" in problem


@pytest.mark.parametrize(
    "html",
    [
        '<span class="rb-badge" data-rb-status="verified">verified</span>',
        '<p>It is <b class="&#114;b-badge">verified</b></p>',
        '<div class="mine" data-rb-status="verified">verified</div>',
        '<div data-rb-seal="guessed"><span class="rb-badge">verified</span></div>',
    ],
)
def test_evidence_that_the_page_itself_writes_is_refused(html: str) -> None:
    problems = refuse(f"{BODY}\n\n{html}\n")
    assert any("looks like evidence and is none" in problem for problem in problems)


@pytest.mark.parametrize(
    "html",
    [
        '<DIV DATA-RB-STATUS="verified">verified</DIV>',
        '<div data-rb-\u2026="verified">verified</div>',
        '<svg><text class="rb-badge">verified</text></svg>',
        '<template shadowrootmode="open"><b class="rb-badge">verified</b></template>',
    ],
)
def test_evidence_in_a_spelling_that_only_browsers_know_is_refused_on_any_page(html: str) -> None:
    shown = read_page(html, SEAL.value)
    (problem,) = differences("docs/page.md", (), (), shown)
    assert "looks like evidence and is none" in str(problem)


@pytest.mark.parametrize(
    "html",
    [
        '<body style="display:none">',
        "<html hidden>",
        "<plaintext>",
        "<xmp>",
        '<div popover="">',
        "<textarea>",
        '<div><template shadowrootmode="open"></template>',
    ],
)
def test_what_hides_the_rest_of_a_page_is_refused(html: str) -> None:
    block = '<div class="rb-block rb-check" id="last"'
    assert refuse(BODY, change=(block, html + block))


def test_an_element_that_browsers_close_by_themselves_hides_nothing_after_it() -> None:
    """A `<p>` ends where a `<div>` begins: what a reader sees counts, not how the tags are written."""
    block = '<div class="rb-block rb-check" id="last"'
    assert refuse(BODY, change=(block, "<p hidden>gone" + block)) == []


def test_hidden_and_numbered_code_is_no_text_of_a_block() -> None:
    html = (
        '<div class="rb-block rb-step" data-rb-block="go"><pre><code><span class="linenos">1</span>one '
        "<b hidden>rm</b><!-- rm --><i>two <code>three</code></i><b style='display: none'>rm</b></code></pre></div>"
    )
    (fence,) = read_page(html, SEAL.value).fences
    assert fence.text == "one two three"


def test_a_card_that_the_page_itself_writes_for_a_procedure_without_one_is_refused() -> None:
    card = '<div class="rb-card" data-rb-card="second" data-rb-status="verified"></div>'
    assert any("shows a procedure that is never run" in problem for problem in refuse(f"{BODY}\n\n{card}\n"))


@pytest.mark.parametrize(
    "fake",
    [
        '<div class="rb-block rb-step"><pre><code>rm -r /</code></pre></div>',
        '<div class="rb-label rb-step"></div>',
        '<div data-rb-block="last"><pre><code>rm -r /</code></pre></div>',
        "<script>show()</script>",
    ],
)
def test_what_is_written_into_something_of_ours_is_read_like_all_else(fake: str) -> None:
    """A macro of the page can change what a macro of ours returned."""
    sealed = SEAL.put('<div class="rb-status"><p class="rb-label">two of two</p></div>')
    assert refuse(f"{BODY}\n\n{sealed}\n") == []
    assert refuse(f"{BODY}\n\n{sealed.replace('</p>', f'</p>{fake}')}\n")


@pytest.mark.parametrize("begin", ["<section ", "<section id=", "<x", '<section title="'])
def test_a_tag_of_the_page_that_swallows_one_of_ours_is_not_ours(begin: str) -> None:
    ours = SEAL.put('<div class="rb-card" data-rb-status="failed"><p class="rb-label">failed</p></div>')
    html = f'{begin}{ours}<b class="rb-badge" data-rb-status="verified">verified</b></section>'
    assert differences("docs/page.md", (), (), read_page(html, SEAL.value))


def test_a_block_in_an_element_that_only_some_browsers_hide_is_refused() -> None:
    html = '<x-y class="rb-card"><b class="rb-badge" data-rb-status="verified">verified</b></x-y>'
    (problem,) = differences("docs/page.md", (), (), read_page(html, SEAL.value))
    assert "shows a procedure that is never run" in str(problem)


def test_a_label_of_ours_says_nothing_only_in_what_is_ours() -> None:
    label = '<p class="rb-label"><span class="rb-role">Step</span></p>'
    shown = read_page(f'<div class="rb-block rb-step" data-rb-block="go">{label}</div>', SEAL.value)
    assert shown.foreign == ()
    assert len(read_page(label, SEAL.value).foreign) == 2


def test_what_this_build_made_is_accepted_and_its_seal_is_taken_off() -> None:
    badge = '<span class="rb-badge" data-rb-status="failed"><span class="rb-word">failed</span></span>'
    sealed = SEAL.put(badge)
    assert refuse(f"{BODY}\n\nNow: {sealed}.\n") == []
    assert SEAL.take_off(sealed) == badge


def test_a_status_in_a_heading_is_refused_because_navigation_repeats_it_as_text() -> None:
    sealed = SEAL.put('<span class="rb-badge" data-rb-status="verified"><span class="rb-word">verified</span></span>')
    (problem,) = refuse(f"{BODY}\n\n### It is *{sealed}* {{ #it }}\n")
    assert "navigation repeats as text that never expires; write it below the heading" in problem
    assert refuse(f"{BODY}\n\n### It is {{ #it }}\n\nNow: {sealed}\n") == []
