"""What a stranger is told about a procedure that did not pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.record import BlockRecord, Outcome, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook_checks.need import Need

_SHOWN_LINES = 30


def describe(record: Record) -> str:
    """Return the failing block as the page has it, what it printed, and how that differs from the page."""
    lines = [f"{record.procedure}: {record.outcome.value} on {record.environment}"]
    failed = [block for block in record.blocks if block.outcome is Outcome.FAILED]
    for block in failed:
        lines += ["", f"{record.page}:{block.line}: {block.role} {block.id}", *_indented(block.command)]
        lines += ["", block.message, *_streams(block)]
    if not failed or record.reason != failed[0].message:
        lines += ["", record.reason]
    return "\n".join(lines)


def _streams(block: BlockRecord) -> Iterator[str]:
    for name, text in (("stdout", block.stdout), ("stderr", block.stderr)):
        if text.strip():
            yield f"{name}:"
            yield from _indented(text)


def _indented(text: str) -> list[str]:
    lines = text.rstrip("\n").split("\n")
    left_out = len(lines) - _SHOWN_LINES
    if left_out > 0:
        lines = [f"({left_out} lines before)", *lines[-_SHOWN_LINES:]]
    return [f"    {line}" for line in lines]


def describe_need(need: Need) -> str:
    """Return which blocks of a procedure nothing proves to be needed, and which reasons for that are not needed."""
    if need.proof is None:
        return ""
    page = need.proof.page
    lines = [f"{need.proof.procedure}: {need.proven} of {need.total} proven on {need.proof.environment}"]
    lines += [f"{page}:{one.line}: {one.role} {one.id}: {one.reason}" for one in need.left]
    lines += [f"{page}: `unproven: {name}` has a reason, and it is proven: remove that" for name in need.needless]
    return "\n".join(lines)
