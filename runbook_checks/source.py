"""The text of a procedure that counts, as its page has it: what two versions of it are compared by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.fences import Fence
    from runbook_checks.model import Procedure


def source_of(procedure: Procedure, fences: Iterable[Fence]) -> str:
    """Return the card and the marked fences of a procedure, in page order, dedented, a blank line between two."""
    lines = {procedure.card.line}
    for block in procedure.blocks:
        lines.add(block.span.first)
        lines.update(expectation.span.first for expectation in block.expectations)
    return "\n".join(f"```{fence.info}\n{fence.text}```\n" for fence in fences if fence.span.first in lines)
