"""The tables that the command line prints, and the documents that ``--json`` prints instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from runbook_checks.record import Outcome, Record
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.model import Procedure
    from runbook_checks.report import Entry

_STATUS_STYLES = {
    Status.VERIFIED: "green",
    Status.FAILED: "bold red",
    Status.STALE: "yellow",
    Status.EXPIRED: "yellow",
    Status.UNVERIFIED: "dim",
    Status.BLOCKED: "magenta",
}


def records_table(records: Iterable[Record]) -> Table:
    """Return what ran: outcome, procedure, duration, figures, and the first line of the reason."""
    table = Table(box=None, pad_edge=False)
    for heading in ("outcome", "procedure", "took", "figures", "why"):
        table.add_column(heading, overflow="fold")
    for record in records:
        style = "green" if record.outcome is Outcome.PASSED else "bold red"
        figures = ", ".join(f"{figure.name} {figure.value:g} {figure.unit}".rstrip() for figure in record.figures)
        table.add_row(
            Text(record.outcome.value, style),
            record.procedure,
            f"{record.duration_s:.1f} s",
            figures,
            Text(record.reason.partition("\n")[0]),
        )
    return table


def status_table(entries: Iterable[Entry]) -> Table:
    """Return what every procedure is worth now."""
    table = Table(box=None, pad_edge=False)
    for heading in ("status", "procedure", "environment", "verified at", "why"):
        table.add_column(heading, overflow="fold")
    for entry in entries:
        table.add_row(
            Text(entry.status.value, _STATUS_STYLES[entry.status]),
            entry.procedure.id,
            entry.environment,
            entry.verified_at.isoformat(timespec="seconds") if entry.verified_at else "never",
            Text(entry.reason.partition("\n")[0]),
        )
    return table


def list_table(procedures: Iterable[Procedure]) -> Table:
    """Return the procedures with the roles of their blocks and the alerts that lead to them."""
    table = Table(box=None, pad_edge=False)
    for heading in ("procedure", "place", "blocks", "alerts"):
        table.add_column(heading, overflow="fold")
    for one in procedures:
        roles = [block.role.value for block in one.blocks]
        counts = ", ".join(f"{roles.count(role)} {role}" for role in dict.fromkeys(roles))
        table.add_row(one.id, f"{one.page}:{one.line}", counts, ", ".join(one.card.alerts))
    return table


def procedure_document(procedure: Procedure) -> dict[str, Any]:
    """Return what ``list --json`` says about a procedure."""
    return {
        "id": procedure.id,
        "node_id": procedure.node_id,
        "title": procedure.title,
        "page": procedure.page,
        "line": procedure.line,
        "alerts": list(procedure.card.alerts),
        "needs": list(procedure.card.needs),
        "blocks": [
            {"id": block.id, "role": block.role.value, "language": block.language, "line": block.span.first}
            for block in procedure.blocks
        ],
    }


def entry_document(entry: Entry, url: str = "") -> dict[str, Any]:
    """Return what ``status --json`` and ``status.json`` say about a procedure in an environment."""
    record = entry.record
    return {
        "id": entry.procedure.id,
        "page": entry.procedure.page,
        "title": entry.procedure.title,
        "url": url,
        "status": entry.status.value,
        "reason": entry.reason,
        "environment": entry.environment,
        "verified_at": entry.verified_at.isoformat() if entry.verified_at else None,
        "expires_at": entry.expires_at.isoformat() if entry.expires_at else None,
        "duration_s": record.duration_s if record else None,
        "alerts": list(entry.procedure.card.alerts),
        "owner": entry.runbook.owner,
        "figures": [
            {
                "name": figure.name,
                "value": figure.value,
                "unit": figure.unit,
                "min": figure.minimum,
                "max": figure.maximum,
                "kept": figure.kept,
            }
            for figure in (record.figures if record else ())
        ],
        "digest": entry.digest,
        "commit": record.commit if record else None,
        "dirty": record.dirty if record else None,
    }
