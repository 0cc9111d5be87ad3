"""What search reads of a page: its text without the marks of the highlighter, which are most of a runbook's HTML.

MkDocs gives search the finished HTML, and search walks through it tag by tag; that is a third of a build. The index
stays the same: only tags go that search has no use for.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mkdocs.structure.pages import Page

# Pairs of tags with nothing but text between them, and anchors of code lines: what is left is balanced as before.
_CODE_LINE = re.compile(r'<a id="__codelineno-[^<>]*></a>')
_TOKEN = re.compile(r'<span(?: class="(?:\w{1,4}|rb-[\w -]+)")?>([^<]*)</span>')
_CODE = r"<pre><code>[^<]*</code></pre>"
_HIGHLIGHT = re.compile(rf'<div class="(?:language-[\w#.+-]+ )?highlight">({_CODE})</div>')
_BLOCK = re.compile(
    rf'<div class="rb-[\w -]+"(?: (?:id|data-rb-\w+)="[^"<>]*")*>(<p class="rb-label">[^<]*</p>{_CODE})</div>'
)
_LINE = re.compile(r'<span id="__span-[\d-]+">([^<]*)</span>')


def lighter(html: str) -> str:
    """Return the HTML of a page for search to read."""
    html = _CODE_LINE.sub("", html)
    for pair in (_TOKEN, _LINE, _HIGHLIGHT, _BLOCK):
        html = pair.sub(r"\1", html)
    return html


def read_lighter(plugins: Iterable[object]) -> None:
    """Give the search plugin among these, MkDocs' own or Material's, pages that are read faster."""
    for plugin in plugins:
        index = getattr(plugin, "search_index", None)
        if index is not None and hasattr(index, "add_entry_from_context"):
            index.add_entry_from_context = _Lighter(index.add_entry_from_context)


class _Lighter:
    def __init__(self, add: Any) -> None:  # noqa: ANN401 - of two plugins without types
        self._add = add

    def __call__(self, page: Page) -> None:
        read = copy.copy(page)
        read.content = lighter(page.content or "")
        self._add(read)
