"""What Jinja must not touch comes back byte for byte; what is a macro is one."""

from __future__ import annotations

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_checks.fences import read
from runbook_checks.site.protect import Protected, protect


def _protect(text: str) -> Protected:
    return protect(text, [fence.span for fence in read(text, "", strict=False).fences])


def _render(text: str) -> str:
    protected = _protect(text)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return protected.restore(environment.from_string(protected.text).render(badge=lambda name: f"<{name}>"))


@pytest.mark.parametrize(
    "text",
    [
        "```bash\ndocker ps --format '{{.Names}}'\n```\n",
        '```bash {.step #a}\necho "${#arr[@]}"\n```\n',
        "```text\n{% raw %}\n```\n",
        "1. item\n\n    ~~~bash\n    {{ badge('x') }} {# no comment #}\n    ~~~\n",
        "> ```bash\n> {{.Names}}\n> ```\n",
        "## Restore the database {#restore-database}\n\ntext\n",
        "## Restore { #restore .wide data-x='{y' }\n",
        "Use `{{.Names}}` and ``{% `x` %}`` here.\n",
        "A picture.\n{#figure-1 .wide}\n",
        "```bash\necho unpaired ` backtick {{\n```\nand ` another\n",
    ],
)
def test_fences_inline_code_and_attribute_lists_survive_jinja_byte_for_byte(text: str) -> None:
    assert text == _render(text)


def test_a_macro_outside_works_while_the_same_text_in_a_fence_stays() -> None:
    text = "{{ badge('a') }}\n\n```text\n{{ badge('a') }}\n```\n\n`{{ badge('a') }}` {{ badge('b') }}\n"
    assert _render(text) == "<a>\n\n```text\n{{ badge('a') }}\n```\n\n`{{ badge('a') }}` <b>\n"


def test_a_fence_in_a_loop_comes_back_as_often_as_the_loop_runs() -> None:
    assert _render("{% for _ in range(2) %}\n```sh\n{{x}}\n```\n{% endfor %}").count("{{x}}") == 2


def test_a_comment_of_jinja_is_still_one() -> None:
    assert _render("a {# gone #} b {#gone too#} c {#and this #}") == "a  b  c "


def test_backticks_of_two_paragraphs_are_no_inline_code() -> None:
    assert _render("a ` b\n\n{{ badge('c') }} ` d") == "a ` b\n\n<c> ` d"


@given(st.text(alphabet="`~{}#%. \n>ab-1\ue000\ue001", max_size=120))
def test_protecting_and_restoring_without_rendering_changes_nothing(text: str) -> None:
    protected = _protect(text)
    assert protected.restore(protected.text) == text
