"""Marked fences are shown as what they are, wherever they stand; all others stay as they were."""

from __future__ import annotations

import re

import markdown
import pytest

from runbook_checks.errors import UsageError
from runbook_checks.markdown import scan
from runbook_checks.site.extension import PageView, RunbookChecksExtension
from runbook_checks.site.marked import marked_fences

FRONT = "---\nrunbook: {owner: platform}\n---\n"
PLAIN = ["attr_list", "admonition", "md_in_html", "toc", "pymdownx.superfences", "pymdownx.highlight"]


def show(body: str, *, cards: dict[str, str] | None = None) -> str:
    found = scan(FRONT + body, "docs/page.md")
    assert found.runbook is not None
    assert found.problems == ()
    extension = RunbookChecksExtension()
    extension.view = PageView(marked_fences(found.runbook), cards or {"proc": "<div class=card></div>"})
    tabs = {"pymdownx.tabbed": {"alternate_style": True}}
    html = markdown.markdown(
        body, extensions=[*PLAIN, "pymdownx.tabbed", "pymdownx.details", extension], extension_configs=tabs
    )
    return re.sub(r"</?span[^>]*>", "", html)


STEP = '## P {#proc}\n\n```bash {.step #go title="Go <now>" timeout=5m}\necho hi\n```\n```text {.expect}\nhi\n```\n'


def test_a_step_has_its_word_its_title_and_the_attributes_that_matter_in_words() -> None:
    html = show(STEP)
    assert 'class="rb-block rb-step" id="go" data-rb-block="go"' in html
    assert "Step Go &lt;now&gt; at most 5 min" in html
    assert "timeout=" not in html


def test_an_expectation_says_how_it_is_compared() -> None:
    assert "Expected output</p>" in show(STEP)
    assert "Expected output exactly this" in show(STEP.replace("{.expect}", "{.expect match=exact}"))
    assert "Expected on standard error this among" in show(
        STEP.replace("{.expect}", "{.expect match=contains stream=stderr}")
    )
    assert "a value that varies" in show(STEP.replace("\nhi\n", "\nhi <name>\n"))


def test_blocks_without_an_id_get_the_one_that_the_scanner_gives() -> None:
    body = "## P {#proc}\n\n```bash {.check}\ntrue\n```\n\n```bash {.check within=90s}\ntrue\n```\n"
    html = show(body)
    assert re.findall(r'data-rb-block="([^"]*)"', html) == ["proc-check-1", "proc-check-2"]
    assert "Check within 1 min 30 s" in html


@pytest.mark.parametrize("role", ["setup", "cleanup", "fault"])
def test_blocks_that_no_reader_runs_are_folded_and_say_so(role: str) -> None:
    html = show(f"{STEP}\n```bash {{.{role}}}\ntrue\n```\n\n```bash {{.check}}\ntest ! -e broken\n```\n")
    assert re.search(rf'<details class="rb-block rb-{role}"[^>]*><summary>{role.title()} \((test|drill) only\)', html)


@pytest.mark.parametrize(
    ("around", "indent"),
    [("1. item\n\n", 4), ("!!! note\n\n", 4), ('=== "Tab"\n\n', 4), ("- a\n\n    - b\n\n", 8), ("??? note\n\n", 4)],
)
def test_marked_fences_count_in_lists_admonitions_and_tabs(around: str, indent: int) -> None:
    fence = "```bash {.check #there}\ntrue\n```".replace("\n", "\n" + " " * indent)
    html = show(f"## P {{#proc}}\n\n{around}{' ' * indent}{fence}\n")
    assert 'data-rb-block="there"' in html


def test_a_bare_fence_is_rendered_as_without_the_extension() -> None:
    body = '```bash title="x" hl_lines="1"\necho hi\n```\n'
    ours = RunbookChecksExtension()
    assert markdown.markdown(body, extensions=[*PLAIN, ours]) == markdown.markdown(body, extensions=PLAIN)


def test_the_card_takes_the_place_of_its_yaml() -> None:
    html = show("## P {#proc}\n\n```yaml {.procedure}\nseverity: critical\n```\n\n```sh {.check}\ntrue\n```\n")
    assert "<div class=card></div>" in html
    assert "severity" not in html


def test_a_procedure_without_a_card_shows_its_status_below_its_heading() -> None:
    assert re.search(r"</h2>\s*<div class=card></div>", show(STEP))


def test_a_marked_fence_that_the_scanner_does_not_have_is_shown_as_unknown() -> None:
    extension = RunbookChecksExtension()
    html = markdown.markdown("```sh {.step #x}\ntrue\n```\n", extensions=[*PLAIN, extension])
    assert 'data-rb-block=""' in html


def test_without_superfences_it_refuses() -> None:
    with pytest.raises(UsageError, match=r"pymdownx\.superfences"):
        markdown.markdown("x", extensions=["fenced_code", RunbookChecksExtension()])
