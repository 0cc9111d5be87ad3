"""The rendered page, held against the scanner: what a page shows as steps is what was run.

We never verify text that nobody reads, and never show as proven what was not run.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, TypeVar

from runbook_checks.errors import Problem
from runbook_checks.site.marked import ROLE_CLASSES, Kind, MarkedFence, visible_text
from runbook_checks.site.seal import ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook_checks.headings import Heading

_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
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
_REWRITE_THE_PAGE = frozenset({"link", "script", "style"})
_OUR_CLASSES = frozenset({"rb-block", "rb-expect", "rb-card", *(f"rb-{role}" for role in ROLE_CLASSES)})


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


_Fence = TypeVar("_Fence", MarkedFence, ShownFence)


def read_page(html: str, seal: str) -> ShownPage:
    """Return what a reader sees in the HTML of a page, in which ours carries the value of a seal.

    Text in comments, templates and elements that are hidden or may be is not seen.
    """
    reader = _Reader(seal)
    reader.feed(html)
    reader.close()
    return ShownPage(tuple(reader.fences), tuple(reader.headings), tuple(reader.foreign))


def differences(
    path: str, fences: Sequence[MarkedFence], headings: Sequence[Heading], shown: ShownPage
) -> tuple[Problem, ...]:
    """Return every difference between what the scanner has of a page and what its reader sees, with what to do."""
    expected = dict(_keyed(fences))
    seen: dict[tuple[Kind, str, int], ShownFence] = {}
    problems = list(_heading_problems(path, headings, shown))
    lines = {heading.id: heading.line for heading in headings}
    without_card = {fence.procedure.anchor for fence in fences if not fence.procedure.card.line}
    for key, there in _keyed(shown.fences):
        if there.kind is Kind.CARD and there.id in without_card:
            continue
        if not there.id or key not in expected:
            line = next((lines[heading] for heading in reversed(there.headings) if heading in lines), 1)
            problems.append(_not_scanned(path, line, there))
        else:
            seen[key] = there
    for key, fence in expected.items():
        if key not in seen:
            problems.append(_not_shown(path, fence))
        else:
            problems.extend(_fence_problems(path, fence, seen[key], _sections(headings, fence.line)))
    problems.extend(
        _foreign(path, next((lines[heading] for heading in reversed(each.headings) if heading in lines), 1), each)
        for each in shown.foreign
        if each.looks_like or fences
    )
    if not problems and list(seen) != list(expected):
        first = next(expected[key] for key, other in zip(expected, seen, strict=True) if key != other)
        problems.append(
            Problem(path, first.line, "the page shows its blocks in another order", "write them in the order they run")
        )
    return tuple(problems)


def _heading_problems(path: str, headings: Sequence[Heading], shown: ShownPage) -> Iterator[Problem]:
    rest = iter(shown.headings)
    for heading in headings:
        if (heading.level, heading.id) not in rest:
            yield Problem(
                path,
                heading.line,
                f"the page has no heading of level {heading.level} with the id `{heading.id}` here",
                f"write the id into the heading: `{{ #{heading.id} }}`",
            )
            return


def _fence_problems(path: str, fence: MarkedFence, shown: ShownFence, sections: tuple[str, ...]) -> Iterator[Problem]:
    if sections != shown.headings:
        yield Problem(
            path,
            fence.line,
            f"{_name(fence)} stands in section `{'/'.join(sections)}` of the source "
            f"and in `{'/'.join(shown.headings)}` of the page",
            "keep headings out of macros, snippets and raw HTML on a runbook page",
        )
    if fence.kind is Kind.CARD:
        return
    if fence.block is not None and fence.kind is Kind.BLOCK and shown.role != fence.block.role.value:
        yield Problem(path, fence.line, f"{_name(fence)} is shown as a {shown.role}", "give the fence one role")
    if visible_text(fence.text) != visible_text(shown.text):
        written, read = _first_difference(fence.text, shown.text)
        yield Problem(
            path,
            fence.line,
            f"{_name(fence)} is run as `{written}` and shown as `{read}`",
            "write it so that the page shows what is run: no tabs, no extension that changes code",
        )


def _not_shown(path: str, fence: MarkedFence) -> Problem:
    return Problem(
        path,
        fence.line,
        f"{_name(fence)} would be run and is not on the page as rendered",
        "nobody can read it: take it out of the comment or hidden element, "
        "or let pymdownx.superfences render its language with the default formatter",
    )


def _not_scanned(path: str, line: int, fence: ShownFence) -> Problem:
    first = fence.text.strip().split("\n", 1)[0]
    return Problem(
        path,
        line,
        f"the page shows a {fence.role or fence.kind.value} that is never run: `{first}`",
        "write it once, into a page with a `runbook:` key that the configuration names; "
        "marked blocks cannot come from snippets, macros or raw HTML",
    )


def _foreign(path: str, line: int, foreign: Foreign) -> Problem:
    if foreign.looks_like:
        return Problem(
            path,
            line,
            f"the page itself writes `{foreign.looks_like}`, which looks like evidence and is none",
            "show a status by `{{ badge(…) }}`; names with `rb-` are those of the evidence",
        )
    return Problem(
        path,
        line,
        f"a `<{foreign.tag}>` on the page can hide or change what is run",
        "put it into a file that mkdocs.yml names under `extra_css` or `extra_javascript`",
    )


def _name(fence: MarkedFence) -> str:
    match fence.kind:
        case Kind.CARD:
            return f"the card of `{fence.id}`"
        case Kind.BLOCK:
            return f"block `{fence.id}`"
        case Kind.EXPECTATION:
            return f"the expectation of `{fence.id}`"


def _keyed(fences: Sequence[_Fence]) -> Iterator[tuple[tuple[Kind, str, int], _Fence]]:
    counts: Counter[tuple[Kind, str]] = Counter()
    for fence in fences:
        counts[fence.kind, fence.id] += 1
        yield (fence.kind, fence.id, counts[fence.kind, fence.id]), fence


def _sections(headings: Sequence[Heading], line: int) -> tuple[str, ...]:
    path: list[Heading] = []
    for heading in headings:
        if heading.line > line:
            break
        path = [*(each for each in path if each.level < heading.level), heading]
    return tuple(heading.id for heading in path)


def _first_difference(written: str, read: str) -> tuple[str, str]:
    pairs = zip([*written.split("\n"), ""], [*read.split("\n"), ""], strict=False)
    return next(((ours, theirs) for ours, theirs in pairs if ours != theirs), (written, read))


class _Reader(HTMLParser):
    """Collects headings and marked fences while it walks through a page."""

    def __init__(self, seal: str) -> None:
        super().__init__(convert_charrefs=True)
        self._seal = seal
        self.foreign: list[Foreign] = []
        self.fences: list[ShownFence] = []
        self.headings: list[tuple[int, str]] = []
        self._open: list[_Element] = []
        self._sections: list[tuple[int, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        parent = self._open[-1] if self._open else _Element("")
        element = _Element(
            tag,
            hidden=parent.hidden or _is_hidden(tag, values, inside=parent.ours),
            code=(parent.code or (tag == "code" and any(each.tag == "pre" for each in self._open)))
            and "linenos" not in values.get("class", "").split(),
        )
        if tag in _HEADINGS and not element.hidden and "id" in values:
            level = _HEADINGS[tag]
            self.headings.append((level, values["id"]))
            self._sections = [*(each for each in self._sections if each[0] < level), (level, values["id"])]
        sealed = values.get(ATTRIBUTE) == self._seal
        mark = _mark_of(values)
        element.fence = _fence_of(values, sealed=sealed) if mark else None
        element.ours = parent.ours or sealed or element.fence is not None
        if tag in _REWRITE_THE_PAGE or (mark and not element.ours):
            self.foreign.append(Foreign(tag, mark, tuple(each for _, each in self._sections)))
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if not any(element.tag == tag for element in self._open):
            return
        while self._open:
            element = self._open.pop()
            if element.fence is not None and not element.hidden:
                kind, fence_id, role = element.fence
                sections = tuple(each for _, each in self._sections)
                self.fences.append(ShownFence(kind, fence_id, role, "".join(element.texts).strip("\n"), sections))
            if element.tag == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].code and not self._open[-1].hidden:
            for element in self._open:
                if element.fence is not None:
                    element.texts.append(data)


class _Element:
    """An element that is open while the page is read."""

    __slots__ = ("code", "fence", "hidden", "ours", "tag", "texts")

    def __init__(self, tag: str, *, hidden: bool = False, code: bool = False) -> None:
        self.tag = tag
        self.hidden = hidden
        self.code = code
        self.ours = False
        self.fence: tuple[Kind, str, str] | None = None
        self.texts: list[str] = []


def _mark_of(values: dict[str, str]) -> str:
    """Return the class or attribute of an element that is one of ours, or nothing."""
    names = (
        *values.get("class", "").split(),
        *(key.removeprefix("data-") for key in values if key.startswith("data-")),
    )
    return next((name for name in names if name.startswith("rb-")), "")


def _fence_of(values: dict[str, str], *, sealed: bool) -> tuple[Kind, str, str] | None:
    classes = values.get("class", "").split()
    role = next((role for role in sorted(ROLE_CLASSES) if f"rb-{role}" in classes), "")
    if "data-rb-card" in values:
        return Kind.CARD, values["data-rb-card"] if sealed else "", ""
    if "data-rb-expect" in values:
        return Kind.EXPECTATION, values["data-rb-expect"], ""
    if "data-rb-block" in values:
        return Kind.BLOCK, values["data-rb-block"], role
    if _OUR_CLASSES.isdisjoint(classes):
        return None
    return Kind.EXPECTATION if "rb-expect" in classes else Kind.CARD if "rb-card" in classes else Kind.BLOCK, "", role


def _is_hidden(tag: str, values: dict[str, str], *, inside: bool) -> bool:
    """Tell whether an element hides what is in it, or may; ``inside`` ours there are only styles of the highlighter."""
    style = values.get("style", "").replace(" ", "").lower()
    return (
        "hidden" in values
        or "popover" in values
        or values.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
        or (not inside and (bool(style) or tag not in _SHOW_THEIR_CONTENT))
    )
