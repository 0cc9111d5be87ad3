"""The rendered page, held against the scanner: what a page shows as steps is what was run.

We never verify text that nobody reads, and never show as proven what was not run.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from runbook_checks.errors import Problem
from runbook_checks.site.marked import Kind, MarkedFence, visible_text
from runbook_checks.site.shown import ShownFence

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook_checks.headings import Heading
    from runbook_checks.markdown import Scan
    from runbook_checks.site.shown import Foreign, ShownPage

_Fence = TypeVar("_Fence", MarkedFence, ShownFence)


def page_problems(path: str, fences: Sequence[MarkedFence], scan: Scan | None, shown: ShownPage) -> Sequence[Problem]:
    """Return what is wrong with a page as its reader sees it, given its source; a page that is not run has no fences.

    One that shows marked fences nevertheless has the problems of its source.
    """
    if fences and scan is not None:
        return differences(path, fences, scan.headings, shown)
    stray = scan.problems if shown.fences and scan and scan.runbook is None else ()
    return stray or differences(path, (), (), shown)


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
    missing = {(kind, identity) for kind, identity, _ in expected.keys() - seen.keys()}
    problems.extend(
        _not_scanned(path, next((lines[heading] for heading in reversed(there.headings) if heading in lines), 1), there)
        for there in shown.hidden
        if (there.kind, there.id) not in missing
    )
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
    problems.extend(
        in_a_title(path, next((lines[heading] for heading in reversed(each) if heading in lines), 1))
        for each in shown.in_headings
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
    if fence.text != shown.text and visible_text(fence.text) != visible_text(shown.text):
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


def in_a_title(path: str, line: int) -> Problem:
    """Return the problem of a status in a heading or in the title of a page."""
    return Problem(
        path,
        line,
        "a badge or a figure stands in a heading or in the title, which navigation repeats as text that never expires",
        "write it below the heading",
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
