"""What the scanner found marked on a page, in the order in which a reader meets it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from runbook_checks.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_checks.model import Block, Expectation, Procedure, Runbook


class Kind(Enum):
    """What a marked fence is; the value is the class that marks it, or the class of any block."""

    CARD = "procedure"
    BLOCK = "block"
    EXPECTATION = "expect"


ROLE_CLASSES = frozenset(role.value for role in Role)


@dataclass(frozen=True, slots=True)
class MarkedFence:
    """A marked fence of a page, as the scanner has it; ``text`` is without its newlines at both ends."""

    kind: Kind
    line: int
    id: str  # a card's is its heading's id, an expectation's that of its block
    text: str
    procedure: Procedure
    block: Block | None = None
    expectation: Expectation | None = None


def marked_fences(runbook: Runbook) -> tuple[MarkedFence, ...]:
    """Return the marked fences of a page in the order of their lines; a card's text is not compared and is empty."""
    found: list[MarkedFence] = []
    for procedure in runbook.procedures:
        if procedure.card.line:
            found.append(MarkedFence(Kind.CARD, procedure.card.line, procedure.anchor, "", procedure))
        for block in procedure.blocks:
            found.append(MarkedFence(Kind.BLOCK, block.span.first, block.id, block.text.strip("\n"), procedure, block))
            found.extend(
                MarkedFence(Kind.EXPECTATION, each.span.first, block.id, each.text.strip("\n"), procedure, block, each)
                for each in block.expectations
            )
    return tuple(sorted(found, key=lambda mark: mark.line))


def kind_of(classes: Sequence[str]) -> Kind | None:
    """Return what the classes of a fence mark it as, or None for one that is not marked."""
    if Kind.CARD.value in classes:
        return Kind.CARD
    if Kind.EXPECTATION.value in classes:
        return Kind.EXPECTATION
    return Kind.BLOCK if ROLE_CLASSES.intersection(classes) else None


def visible_text(text: str) -> str:
    """Return a text as a reader sees it: without newlines at its ends and blanks on lines that hold nothing else."""
    return "\n".join(line if line.strip() else "" for line in text.split("\n")).strip("\n")
