"""Commands and ids, kept out of Jinja's hands while mkdocs-macros renders a page.

mkdocs-macros gives the whole page to Jinja, fences included: ``{{.Names}}`` is then an error, ``${#arr[@]}`` begins a
comment that swallows the rest, and ``{#id}`` in a heading too. What is protected comes back byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_checks.model import Span

# Python-Markdown's inline code: BACKTICK_RE of markdown/inlinepatterns.py, within a paragraph
_CODE_SPAN = re.compile(r"(?<![\\`])(`+)(?!`)((?:(?!\n[ \t>]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
_HEADING_LIST = re.compile(r"^([ >]*#{1,6}[^\n]*?[ \t]+)(\{[^{}%\n][^{}\n]*\})(?=[ \t]*#*[ \t]*$)", re.MULTILINE)
_ID_LIST = re.compile(r"\{#[\w.:-]+(?:[ \t]+[^{}\n]*[^{}\n#])?[ \t]*\}")
_FIRST_PRIVATE = 0xE000  # Unicode's private use area: nothing that Jinja or a page gives a meaning to
_LAST_PRIVATE = 0xF8FF


@dataclass(frozen=True, slots=True)
class Protected:
    """A page with placeholders where nothing may be interpreted, and what stood there."""

    text: str
    kept: tuple[str, ...]
    quote: str  # the character around a placeholder's number, in no way part of the page

    def restore(self, rendered: str) -> str:
        """Return a rendered page with everything protected back in its place."""
        pattern = re.compile(f"{self.quote}([0-9]+){self.quote}")
        while pattern.search(rendered):  # what was kept may itself hold a placeholder
            rendered = pattern.sub(lambda match: self.kept[int(match[1])], rendered)
        return rendered


def protect(text: str, fences: Sequence[Span]) -> Protected:
    """Return a page whose fences, inline code and attribute lists of headings are out of Jinja's reach."""
    quote = next(chr(code) for code in range(_FIRST_PRIVATE, _LAST_PRIVATE) if chr(code) not in text)
    kept: list[str] = []

    def keep(part: str) -> str:
        kept.append(part)
        return f"{quote}{len(kept) - 1}{quote}"

    lines = text.split("\n")
    for span in sorted(fences, key=lambda span: span.first, reverse=True):
        fence = "\n".join(lines[span.first - 1 : span.last])
        lines[span.first - 1 : span.last] = [keep(fence)]
    text = "\n".join(lines)
    text = _CODE_SPAN.sub(lambda match: keep(match[0]), text)
    text = _HEADING_LIST.sub(lambda match: match[1] + keep(match[2]), text)
    text = _ID_LIST.sub(lambda match: keep(match[0]), text)
    return Protected(text, tuple(kept), quote)
