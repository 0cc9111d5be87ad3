"""A Python-Markdown extension that shows the marked fences of a runbook as what they are.

It wraps the formatter of ``pymdownx.superfences``, so that what is marked is exactly what is rendered.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, assert_never
from xml.etree.ElementTree import Element

from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from markupsafe import escape
from pymdownx.superfences import SuperFencesCodeExtension  # type: ignore[import-untyped]  # has no types

from runbook_checks.errors import UsageError
from runbook_checks.model import Match, Role, Stream
from runbook_checks.site.marked import Kind, MarkedFence, kind_of, visible_text
from runbook_checks.site.render import format_duration
from runbook_checks.site.variables import BlockVariables, PageVariables, written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markdown import Markdown

    from runbook_checks.model import Block, Expectation


@dataclass(frozen=True, slots=True)
class PageView:
    """What a page is rendered with: its fences in order, each procedure's card by heading id, and its variables."""

    fences: tuple[MarkedFence, ...] = ()
    cards: Mapping[str, str] = field(default_factory=dict)
    variables: PageVariables = field(default_factory=PageVariables)


class RunbookChecksExtension(Extension):
    """Marks blocks and expectations and fills cards; ``view`` is what the next page is rendered with.

    That page only: what else is rendered until the next one, such as a blog's excerpts of posts, has a view of nothing.
    """

    def __init__(self, **settings: object) -> None:
        """Start with a view of nothing: marked fences are then shown by their role, as unknown to the scanner."""
        self.config = {}
        super().__init__(**settings)
        self.view = PageView()

    @property
    def view(self) -> PageView:
        """Return what the page is rendered with that was rendered last, or comes next."""
        return self._view

    @view.setter
    def view(self, view: PageView) -> None:
        """Set what the next page is rendered with."""
        self._view = self._next = view

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - the name that Python-Markdown calls
        """Wrap the formatter of superfences; raises UsageError when superfences is not there to be wrapped."""
        superfences = [each for each in md.registeredExtensions if isinstance(each, SuperFencesCodeExtension)]
        if not superfences:
            raise UsageError("runbook_checks needs pymdownx.superfences before it in `markdown_extensions`")
        view, self._next = self._next, PageView()
        default = superfences[0].superfences[0]
        default["formatter"] = _Formatter(default["formatter"], view)
        carded = {known.id for known in view.fences if known.kind is Kind.CARD}
        cardless = {anchor: html for anchor, html in view.cards.items() if anchor not in carded}
        if cardless:
            # After toc (5), which gives headings their ids.
            md.treeprocessors.register(_CardsBelowHeadings(md, cardless), "runbook_checks_cards", 4)


class _Formatter:
    """The default formatter of superfences, with what a marked fence is for shown around its code.

    Superfences takes an exception here for "this is no fence", so nothing that can fail is done here: cards come
    rendered, and a fence that the scanner does not have is left for the cross-check to refuse.
    """

    def __init__(self, plain: Callable[..., str], view: PageView) -> None:
        self._plain = plain
        self._view = view
        self._next = 0

    def __call__(
        self,
        src: str = "",
        language: str = "",
        options: dict[str, Any] | None = None,
        md: Markdown | None = None,
        **fence: Any,  # noqa: ANN401 - classes, id_value and attrs, as superfences has them
    ) -> str:
        kind = kind_of(fence["classes"])
        if kind is None:
            return self._plain(src=src, language=language, options=options, md=md, **fence)
        known = self._take(kind, src.strip("\n"), fence["id_value"])
        classes = tuple(fence["classes"])
        data = {key: value for key, value in fence["attrs"].items() if key.startswith("data-")}
        shown = {key: value for key, value in (options or {}).items() if not key.startswith("title")}
        title = str((options or {}).get("title", fence["attrs"].get("title", "")))
        # The highlighter's own output, which it has escaped; all else that comes into the page is escaped below.
        code = self._plain(src=src, language=language, options=shown, md=md, classes=[], id_value="", attrs=data)
        filled_in = self._view.variables.blocks.get(known.id) if known else None
        match kind:
            case Kind.CARD:
                return self._view.cards[known.id] if known else f'<div class="rb-card">{code}</div>'
            case Kind.BLOCK:
                asked = _for_scripts(known, filled_in) if known and filled_in else ""
                return _block(code, _role(classes), known.block if known else None, fence["id_value"], title, asked)
            case Kind.EXPECTATION:
                return _expectation(code, known, filled_in.captures if filled_in else ())
            case _:
                assert_never(kind)

    def _take(self, kind: Kind, text: str, fence_id: str) -> MarkedFence | None:
        for position in range(self._next, len(self._view.fences)):
            known = self._view.fences[position]
            if known.kind is kind and (kind is Kind.CARD or (_same(known.text, text) and fence_id in {"", known.id})):
                self._next = position + 1
                return known
        return None


class _CardsBelowHeadings(Treeprocessor):
    """Puts the card of a procedure that wrote none below its heading."""

    def __init__(self, md: Markdown, cards: Mapping[str, str]) -> None:
        super().__init__(md)
        self._cards = cards

    def run(self, root: Element) -> None:
        for parent in list(root.iter()):
            for position, child in reversed(list(enumerate(parent))):
                html = self._cards.get(child.get("id", "")) if child.tag in _HEADINGS else None
                if html is not None:
                    placed = Element("p")
                    placed.text = self.md.htmlStash.store(html)
                    parent.insert(position + 1, placed)


def _same(known: str, text: str) -> bool:
    return known == text or visible_text(known) == visible_text(text)


_ROLES = {role.value: role for role in Role}
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


def _role(classes: Sequence[str]) -> Role:
    return next(role for name, role in _ROLES.items() if name in classes)


def _block(  # noqa: PLR0913, PLR0917 - what a fence consists of
    code: str, role: Role, block: Block | None, written_id: str, title: str, for_scripts: str
) -> str:
    block_id = block.id if block else written_id
    attributes = f'class="rb-block rb-{role.value}"'
    if block_id:
        attributes += _attribute("id", block_id)
    attributes += _attribute("data-rb-block", block.id if block else "") + for_scripts
    label = _span("role", _ROLE_WORDS[role])
    if title:
        label += f" {_span('title', title)}"
    for hint in _hints(block) if block else ():
        label += f" {_span('hint', hint)}"
    if role in _FOLDED:
        return f'<details {attributes} data-search-exclude="true"><summary>{label}</summary>{code}</details>'
    return f'<div {attributes}><p class="rb-label">{label}</p>{code}</div>'


def _attribute(name: str, value: str) -> str:
    return f' {name}="{escape(value)}"'


@lru_cache(maxsize=1024)  # roles and hints are the same all over
def _span(name: str, text: str) -> str:
    return f'<span class="rb-{name}">{escape(text)}</span>'


def _for_scripts(mark: MarkedFence, variables: BlockVariables) -> str:
    """Return the attributes that tell a page's script what can be filled in, and what is copied."""
    attributes = _attribute("data-rb-of", mark.procedure.id)
    if variables.shown:
        attributes += _attribute("data-rb-uses", written(variables.shown, mark.text))
    if variables.run:
        attributes += _attribute("data-rb-run", variables.run)
    if variables.run_uses:
        attributes += _attribute("data-rb-run-uses", written(variables.run_uses, variables.run))
    return attributes


def _expectation(code: str, known: MarkedFence | None, captures: Sequence[str]) -> str:
    expectation = known.expectation if known else None
    label, how = "Expected output", ""
    if expectation:
        if expectation.stream is Stream.STDERR:
            label = "Expected on standard error"
        how = _match_words(expectation)
    label_html = _span("role", label)
    if how:
        label_html += f" {_span('hint', how)}"
    attributes = _attribute("data-rb-expect", known.id if known else "")
    if captures:
        attributes += _attribute("data-rb-captures", " ".join(captures))
    return f'<div class="rb-expect"{attributes}><p class="rb-label">{label_html}</p>{code}</div>'


_FOLDED = frozenset({Role.SETUP, Role.CLEANUP, Role.FAULT})
_ROLE_WORDS = {
    Role.STEP: "Step",
    Role.CHECK: "Check",
    Role.SETUP: "Setup (test only)",
    Role.CLEANUP: "Cleanup (test only)",
    Role.ROLLBACK: "Rollback",
    Role.FAULT: "Fault (drill only)",
}


def _hints(block: Block) -> Sequence[str]:
    hints = []
    if block.within_s is not None:
        hints.append(f"within {format_duration(block.within_s)}")
    if block.every_s is not None:
        hints.append(f"asked every {format_duration(block.every_s)}")
    if block.timeout_s is not None:
        hints.append(f"at most {format_duration(block.timeout_s)}")
    if block.exit_status:
        hints.append(f"exit status {block.exit_status}")
    if block.http_status:
        hints.append(f"answers {block.http_status}")
    if block.environment:
        hints.append(f"on {block.environment} only")
    return hints


def _match_words(expectation: Expectation) -> str:
    match expectation.match:
        case Match.LIKE:
            words = []
            if "..." in expectation.text:
                words.append("“...” is any text")
            if "<" in expectation.text.replace("\\<", ""):
                words.append("a name in angle brackets is a value that varies")
            return "; ".join(words)
        case Match.EXACT:
            return "exactly this"
        case Match.CONTAINS:
            return "this among other text"
        case Match.REGEX:
            return "matches this regular expression"
        case Match.JSON:
            return "JSON with at least these values"
        case _:
            assert_never(expectation.match)


def makeExtension(**settings: object) -> RunbookChecksExtension:  # noqa: N802 - the name that Python-Markdown calls
    """Return the extension, for ``markdown_extensions: [runbook_checks.site.extension]``."""
    return RunbookChecksExtension(**settings)
