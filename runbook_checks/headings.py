"""Titles and ids of headings, as Python-Markdown's ``attr_list`` and ``toc`` give them."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_checks.attributes import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.model import Span


@dataclass(frozen=True, slots=True)
class RawHeading:
    """A heading as it stands on the page; ``indent`` is more than 0 inside a list, an admonition or a quotation."""

    span: Span
    level: int
    markup: str
    indent: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading with its plain title and the id that the site gives it."""

    span: Span
    level: int
    title: str
    id: str
    explicit: bool
    indent: int = 0

    @property
    def line(self) -> int:
        """Return the one-based line of the title."""
        return self.span.first


# attr_list's AttrListTreeprocessor.HEADER_RE
_ATTRIBUTES = re.compile(r"[ ]+\{:?[ ]*([^}\n ][^\n]*)\}[ ]*$")
_MARKUP = re.compile(r"[`*_\[<\\&!]")
_CODE = re.compile(r"(?<![\\`])(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()>#+\-.!])")
_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_LINK = re.compile(r"\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])")
_AUTOLINK = re.compile(r"<((?:https?|ftp|mailto):[^<>\s]*)>")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>")
_STRONG = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<!\w)__(?=\S)(.+?)(?<=\S)__(?!\w)")
_EMPHASIS = re.compile(r"\*(?=[^\s*])(.+?)(?<=[^\s*])\*|(?<!\w)_(?=[^\s_])(.+?)(?<=[^\s_])_(?!\w)")
_HIDDEN = 0xF0000  # a private plane: text hidden from the rules that follow
_UNHIDE = re.compile("[\U000f0000-\U000ffffd]")
_LONGEST = 2000  # characters; the patterns of inline markup take quadratic time, and no title is longer
_COUNTED = re.compile(r"^(.*)_([0-9]{1,18})$")


def name(raw: Iterable[RawHeading]) -> tuple[Heading, ...]:
    """Return the headings of one page with the ids that Python-Markdown's ``toc`` gives them by default."""
    read = [(heading, *_split(heading.markup)) for heading in raw]
    used = {explicit for _, _, explicit in read if explicit}
    named = []
    counts: dict[str, int] = {}
    for heading, markup, explicit in read:
        title = plain(markup)
        identity = explicit or _unique(slugify(title), used, counts)
        named.append(Heading(heading.span, heading.level, title, identity, bool(explicit), heading.indent))
    return tuple(named)


def slugify(title: str) -> str:
    """Return what ``markdown.extensions.toc.slugify`` makes of a title with ``-`` as its separator."""
    text = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii")
    text = re.sub(r"[^\w\s-]", "", text).strip().lower()
    return re.sub(r"[-\s]+", "-", text)


def plain(markup: str) -> str:
    """Return the text of a line of inline Markdown without its markup."""
    if len(markup) > _LONGEST or not _MARKUP.search(markup):
        return " ".join(markup.split())
    text = _CODE.sub(lambda match: _hide(match[2].strip()), _UNHIDE.sub("", markup))
    text = _ESCAPE.sub(lambda match: _hide(match[1]), text)
    text = _LINK.sub(r"\1", _IMAGE.sub("", text))
    text = _TAG.sub("", _AUTOLINK.sub(r"\1", text))
    for pattern in (_STRONG, _EMPHASIS):
        text = pattern.sub(lambda match: match[1] or match[2], text)
    text = _UNHIDE.sub(lambda match: chr(ord(match[0]) - _HIDDEN), html.unescape(text))
    return " ".join(text.split())


def _hide(text: str) -> str:
    return "".join(chr(_HIDDEN + ord(char)) if ord(char) < 0xFFFE else char for char in text)  # noqa: PLR2004


def _split(markup: str) -> tuple[str, str]:
    match = _ATTRIBUTES.search(markup)
    if match is None:
        return markup, ""
    attributes, rest = parse(match[1])
    if "}" in rest:
        return markup, ""
    explicit = next((value for key, value in reversed(attributes) if key == "id"), "")
    return markup[: match.start()].rstrip("#").rstrip(), explicit


def _unique(slug: str, used: set[str], counts: dict[str, int]) -> str:
    if slug in used or not slug:
        match = _COUNTED.match(slug)
        base, count = (match[1], int(match[2])) if match else (slug, counts.get(slug, 0))
        count += 1
        while f"{base}_{count}" in used:
            count += 1
        if match is None:
            counts[base] = count
        slug = f"{base}_{count}"
    used.add(slug)
    return slug
