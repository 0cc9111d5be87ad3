"""The proof of need on an evidence page: in a sentence, and as a table of what noticed that what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from runbook_checks.model import Role
from runbook_checks.need import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runbook_checks.model import Block
    from runbook_checks.need import Need, Tried


@dataclass(frozen=True, slots=True)
class Row:
    """A block of the procedure, and what is known of its need; ``href`` is empty for one that the page has no more."""

    role: str
    title: str
    href: str
    proven: bool
    words: str  # what noticed that it was missing, or what it refused
    by: str  # the title of what that was
    by_href: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The proof of need as it is shown; ``good`` is false for what nobody may take for a proof."""

    words: str
    tried_at: str
    dirty: bool
    good: bool
    rows: tuple[Row, ...]


def shown(need: Need, on_page: Mapping[str, Block], page: str) -> Shown:
    """Return the worth of a proof for a reader, given the blocks of the page by id, and the page's address."""
    proof = need.proof
    return Shown(
        _sentence(need),
        proof.ended_at if proof else "",
        proof.dirty if proof else False,
        need.standing is Standing.PROVEN,
        tuple(_rows(need, on_page, page)),
    )


def _sentence(need: Need) -> str:
    counts = f"{need.proven} of {need.total}"
    match need.standing:
        case Standing.PROVEN:
            excepted = len(need.excepted)
            return f"{counts} proven" + (f", and {excepted} with a written reason why not" if excepted else "")
        case Standing.UNPROVEN:
            needless = f"{counts} proven, and the card still gives a reason why some of them are not"
            return f"Only {counts} proven" if need.left else needless
        case Standing.STALE:
            return f"Out of date: {counts} were proven, and something has changed since"
        case Standing.NOTHING:
            return "Nothing to leave out: it has no step, no rollback and no trouble"
        case Standing.NEVER:
            return f"Never tried{': ' + need.doubt if need.doubt else ''}"
        case _:
            assert_never(need.standing)


def _rows(need: Need, on_page: Mapping[str, Block], page: str) -> Iterator[Row]:
    reasons = {one.id: reason for one, reason in need.excepted}
    for one in need.proof.blocks if need.proof else ():
        title, href = _named(one.id, on_page, page)
        by, by_href = _named(one.by, on_page, page)
        reason = reasons.get(one.id, "")
        why_not = f"{one.reason}. The reason that the card gives: {reason}" if reason else one.reason
        yield Row(one.role, title, href, one.proven, _noticed(one), by, by_href, why_not)


def _noticed(one: Tried) -> str:
    if not one.by:
        return ""
    return "refused without" if one.role == Role.CHECK.value else "its absence was noticed by"


def _named(block: str, on_page: Mapping[str, Block], page: str) -> tuple[str, str]:
    """Return the title, or else the id, of a block, and where it is; nowhere for one that is not there any more."""
    written = on_page.get(block)
    title = (written.title if written else "") or block
    return title, f"{page}#{block}" if written and page else ""
