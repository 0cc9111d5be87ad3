"""A rendered page as its reader sees it: its marked fences, its headings, and what only looks like evidence.

The page is parsed as browsers parse it (HTML5, by lexbor). Only elements that can matter are looked at: the spans of
the highlighter are most of a page, and walking through them in Python takes longer than all the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from selectolax.lexbor import LexborHTMLParser

from runbook_checks.site.marked import ROLE_CLASSES, Kind
from runbook_checks.site.seal import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from selectolax.lexbor import LexborNode

_Values: TypeAlias = "dict[str, str | None]"
_AROUND = "<!doctype html><body><article>"  # where themes put what a page says
_AROUND_ANY_PAGE = frozenset({"-document", "body", "html"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Around a block only elements that every browser shows; what else there is may hide it: dialog, select, one made up.
_SHOW_THEIR_CONTENT = frozenset(
    (
        *(
            "a",
            "article",
            "aside",
            "b",
            "blockquote",
            "dd",
            "details",
            "div",
            "dl",
            "dt",
            "em",
            "figure",
            "i",
            "li",
            "main",
        ),
        *("ol", "p", "section", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul", *_HEADINGS),
    )
)
_REWRITE_THE_PAGE = frozenset({"link", "script", "style", "template"})  # a template may be a shadow root
_OUR_CLASSES = frozenset({"rb-block", "rb-expect", "rb-card", *(f"rb-{role}" for role in ROLE_CLASSES)})
_OUR_ATTRIBUTE = re.compile(rb"data-rb-[^\s\"'<>/=]*")
_NOT_IN_A_SELECTOR = re.compile(r"[^a-z0-9_-]")
_ROLES = {f"rb-{role}": role for role in ROLE_CLASSES}
_ALWAYS_LOOKED_AT = (*_HEADINGS, *sorted(_REWRITE_THE_PAGE), "pre code", '[class*="rb-"]')
_LABEL_TAGS = frozenset({"p", "span"})
_LABELS = frozenset({"rb-label", "rb-role", "rb-title", "rb-hint"})  # most elements of ours, and no fences
# In the code of a fence, what may be no text of it. Without these a code element says what its text is.
_NOT_JUST_TEXT = ":not(a, code, span), .linenos, [hidden], [popover], [aria-hidden], [style]"


@dataclass(frozen=True, slots=True)
class ShownFence:
    """A marked fence as a reader of the page sees it; ``headings`` are the ids of the sections that hold it."""

    kind: Kind
    id: str
    role: str
    text: str
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Foreign:
    """An element that looks like one of ours and is not, or that can change how the whole page looks."""

    tag: str
    looks_like: str  # the class or attribute that is ours, empty for an element that can change the page
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShownPage:
    """What a reader of a rendered page sees: its marked fences, its headings as level and id, and what is foreign."""

    fences: tuple[ShownFence, ...]
    headings: tuple[tuple[int, str], ...]
    foreign: tuple[Foreign, ...]
    hidden: tuple[ShownFence, ...] = ()  # in an element that hides them, or may: some browser may show them
    in_headings: tuple[tuple[str, ...], ...] = ()  # for each badge or figure of ours in a heading, its sections


def may_show_evidence(html: str) -> bool:
    """Tell whether anything on a page could be, or look like, ours; cheap, and never wrong about a page without."""
    return "rb-" in unescape(html).lower()


def read_page(html: str, seal: str) -> ShownPage:
    """Return what a reader sees in the HTML of a page, in which ours carries the value of a seal.

    Text in comments, templates and elements that are hidden or may be is not seen.
    """
    data = f"{_AROUND}{html}".encode(errors="replace")
    reader = _Reader(seal)
    seen = set()
    for node in LexborHTMLParser(data).css(", ".join((*_ALWAYS_LOOKED_AT, *_our_attributes(data)))):
        identity = node.mem_id
        if identity not in seen:  # one node fits several selectors
            seen.add(identity)
            reader.look_at(node)
    return reader.page()


def _our_attributes(data: bytes) -> Iterator[str]:
    """Yield a selector for each attribute of a page that looks like ours: CSS has none for prefixes."""
    for name in sorted(set(_OUR_ATTRIBUTE.findall(data.lower()))):
        yield f"[{_NOT_IN_A_SELECTOR.sub(_escaped, name.decode(errors='replace'))}]"


def _escaped(odd: re.Match[str]) -> str:
    return f"\\{ord(odd[0]):x} "


class _Place(NamedTuple):
    """What is known of an element: whether it is not seen, whether it is ours, and the fences around it."""

    hidden: bool
    ours: bool
    fences: tuple[_Fence, ...]


@dataclass(slots=True)
class _Fence:
    kind: Kind
    id: str
    role: str
    hidden: bool
    headings: tuple[str, ...]
    texts: list[str] = field(default_factory=list)


class _Reader:
    """Collects headings, marked fences and what is foreign, given elements in the order of the page."""

    def __init__(self, seal: str) -> None:
        self._seal = seal
        self._places: dict[int, _Place] = {}
        self._labels: set[int] = set()
        self._fences: list[_Fence] = []
        self._foreign: list[Foreign] = []
        self._in_headings: list[tuple[str, ...]] = []
        self._headings: list[tuple[int, str]] = []
        self._sections: list[tuple[int, str]] = []

    def page(self) -> ShownPage:
        found = [
            (each.hidden, ShownFence(each.kind, each.id, each.role, "".join(each.texts).strip("\n"), each.headings))
            for each in self._fences
        ]
        fences, hidden = (tuple(each for is_hidden, each in found if is_hidden is wanted) for wanted in (False, True))
        return ShownPage(
            fences, tuple(self._headings), tuple(self._foreign), hidden, in_headings=tuple(self._in_headings)
        )

    def _is_label(self, node: LexborNode, values: _Values) -> bool:
        """Tell whether an element is a label of ours, or looks so right in one or in a fence: then it says nothing."""
        if len(values) != 1 or values.get("class") not in _LABELS or node.tag not in _LABEL_TAGS:
            return False
        above = node.parent
        if above is None:
            return False
        around = above.mem_id
        if around not in self._labels and ((place := self._places.get(around)) is None or not place.ours):
            return False
        self._labels.add(node.mem_id)
        return True

    def look_at(self, node: LexborNode) -> None:
        values = node.attributes
        if self._is_label(node, values):
            return
        tag = node.tag or ""
        hidden, ours, fences = self._place(node)
        if tag == "code":
            if fences and not hidden and not _is_in({"code"}, node):
                text = "".join(_seen_text(node)) if node.css_matches(_NOT_JUST_TEXT) else node.text()
                for fence in fences:
                    fence.texts.append(text)
        elif tag in _HEADINGS and not hidden and "id" in values:
            level, identity = _HEADINGS[tag], values["id"] or ""
            self._headings.append((level, identity))
            self._sections = [*(each for each in self._sections if each[0] < level), (level, identity)]
            for fence in fences:
                fence.headings = self._section_ids()
        mark = _mark_of(values) if not ours else ""
        if tag in _REWRITE_THE_PAGE:
            if tag == "template" and may_show_evidence(node.html or ""):  # what is in it is no part of the tree
                mark = "rb-"
            self._foreign.append(Foreign(tag, mark, self._section_ids()))
        elif mark:
            self._foreign.append(Foreign(tag, mark, self._section_ids()))

    def _section_ids(self) -> tuple[str, ...]:
        return tuple(each for _, each in self._sections)

    def _place(self, node: LexborNode) -> _Place:
        """Return what is known of an element, and keep it when it is a fence; those around it come first."""
        unknown: list[LexborNode] = []
        at: LexborNode | None = node
        while at is not None and at.mem_id not in self._places:
            unknown.append(at)
            at = at.parent
        place = self._places[at.mem_id] if at is not None else _Place(hidden=False, ours=False, fences=())
        for each in reversed(unknown):
            place = self._places[each.mem_id] = self._below(place, each)
        return place

    def _below(self, around: _Place, node: LexborNode) -> _Place:
        tag, values = node.tag or "", node.attributes
        if not values and (around.ours or tag in _SHOW_THEIR_CONTENT or tag in _AROUND_ANY_PAGE):
            return around
        hidden = around.hidden or _is_hidden("div" if tag in _AROUND_ANY_PAGE else tag, values, inside=around.ours)
        if not _mark_of(values):
            return around if hidden == around.hidden else around._replace(hidden=hidden)
        sealed = values.get(ATTRIBUTE) == self._seal and tag in _SHOW_THEIR_CONTENT and next(iter(values)) == ATTRIBUTE
        if sealed and _is_in(_HEADINGS, node):
            self._in_headings.append(self._section_ids())
        found = _fence_of(values, sealed=sealed)
        if found is None:
            return _Place(hidden, around.ours or sealed, around.fences)
        fence = _Fence(*found, hidden, self._section_ids())
        self._fences.append(fence)
        return _Place(hidden, ours=True, fences=(*around.fences, fence))


def _is_in(tags: Collection[str], node: LexborNode) -> bool:
    above = node.parent
    while above is not None and above.tag not in tags:
        above = above.parent
    return above is not None


def _seen_text(node: LexborNode) -> Iterator[str]:
    if "linenos" in _classes(node.attributes):
        return
    for child in node.iter(include_text=True):
        if child.tag == "-text":
            yield child.text_content or ""
        elif not _is_hidden(child.tag or "", child.attributes, inside=True):
            yield from _seen_text(child)


def _classes(values: _Values) -> list[str]:
    return (values.get("class") or "").split()


def _mark_of(values: _Values) -> str:
    """Return the class or attribute of an element that is one of ours, or nothing."""
    if "rb-" in (values.get("class") or ""):
        for name in _classes(values):
            if name.startswith("rb-"):
                return name
    for key in values:
        if key.startswith("data-rb-"):
            return key.removeprefix("data-")
    return ""


def _fence_of(values: _Values, *, sealed: bool) -> tuple[Kind, str, str] | None:
    if "data-rb-card" in values:
        return Kind.CARD, (values["data-rb-card"] or "") if sealed else "", ""
    if "data-rb-expect" in values:
        return Kind.EXPECTATION, values["data-rb-expect"] or "", ""
    classes = _OUR_CLASSES.intersection(_classes(values))
    role = min((_ROLES[name] for name in classes if name in _ROLES), default="")
    if "data-rb-block" in values:
        return Kind.BLOCK, values["data-rb-block"] or "", role
    if not classes:
        return None
    return Kind.EXPECTATION if "rb-expect" in classes else Kind.CARD if "rb-card" in classes else Kind.BLOCK, "", role


def _is_hidden(tag: str, values: _Values, *, inside: bool) -> bool:
    """Tell whether an element hides what is in it, or may; ``inside`` ours there are only styles of the highlighter."""
    if not inside and tag not in _SHOW_THEIR_CONTENT:
        return True
    if "hidden" in values or "popover" in values or values.get("aria-hidden") == "true":
        return True
    if "style" not in values:
        return False
    style = (values["style"] or "").replace(" ", "").lower()
    return "display:none" in style or "visibility:hidden" in style or (bool(style) and not inside)
