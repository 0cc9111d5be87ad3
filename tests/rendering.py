"""What MkDocs Material's extensions make of a page: the reference that the scanner is held against."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import markdown as python_markdown

from runbook_checks.card import front_matter
from runbook_checks.fences import normal

EXTENSIONS = [
    "abbr",
    "admonition",
    "attr_list",
    "def_list",
    "footnotes",
    "md_in_html",
    "tables",
    "toc",
    "pymdownx.details",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.tabbed",
]


@dataclass(frozen=True)
class Rendered:
    """The texts of the rendered code blocks, the fences that superfences found, and the headings, in order."""

    codes: list[str]
    fences: list[tuple[int, int, str]]
    headings: list[tuple[int, str, str]]


def render(page: str) -> Rendered:
    text = normal(page)
    _, first = front_matter(text)
    body = "\n".join(text.split("\n")[first:])
    engine = python_markdown.Markdown(
        extensions=EXTENSIONS, extension_configs={"pymdownx.tabbed": {"alternate_style": True}}
    )
    found: list[tuple[int, int, str]] = []
    preprocessor: Any = engine.preprocessors["fenced_code_block"]
    store = preprocessor._store

    def record(source: str, code: str, start: int, end: int) -> None:
        found.append((start + 1 + first, end + first, preprocessor.rebuild_block(preprocessor.code)))
        store(source, code, start, end)

    preprocessor._store = record
    html = engine.convert(body)
    codes = _Codes()
    codes.feed(html)
    tokens: Any = engine.toc_tokens  # type: ignore[attr-defined]
    return Rendered(codes.texts, found, list(_flat(tokens)))


def _flat(tokens: list[dict[str, Any]]) -> Any:
    for token in tokens:
        yield token["level"], token["id"], token["name"]
        yield from _flat(token["children"])


class _Codes(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, _attrs: Any) -> None:
        if tag == "pre" or (tag == "code" and self.inside):
            self.inside.append(tag)
            if self.inside == ["pre", "code"]:
                self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if self.inside == ["pre", "code"]:
            self.texts[-1] += data
