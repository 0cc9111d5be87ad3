"""The JSON documents that others read; their form changes only with the schema version."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from runbook_checks.alerts import Answer, Coverage
    from runbook_checks.errors import Problem
    from runbook_checks.model import Procedure
    from runbook_checks.need import Need, Proof
    from runbook_checks.report import Entry

SCHEMA_VERSION = 1


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


def records_document(lines: Iterable[str], errors: list[dict[str, Any]]) -> Iterator[str]:
    """Yield, in pieces, the document of ``verify --json``: records, given as lines of JSON, and errors."""
    yield f'{{\n  "schema_version": {SCHEMA_VERSION},\n  "records": ['
    count = 0
    for count, line in enumerate(lines, 1):
        record = json.dumps(json.loads(line), indent=2).replace("\n", "\n    ")
        yield f"{',' if count > 1 else ''}\n    {record}"
    end = "\n  ]" if count else "]"
    listed = json.dumps(errors, indent=2).replace("\n", "\n  ")
    yield f'{end},\n  "errors": {listed}\n}}\n'


def alerts_document(environment: str, covered: Coverage, holes: Iterable[Problem]) -> dict[str, Any]:
    """Return what ``alerts --json`` says: each alert with what answers it in an environment, and every hole."""
    return {
        "schema_version": SCHEMA_VERSION,
        "environment": environment,
        "alerts": [_alert(answer) for answer in covered.answers],
        "holes": [asdict(hole) for hole in holes],
    }


def _alert(answer: Answer) -> dict[str, Any]:
    without = answer.exemption
    return {
        "name": answer.name,
        "severity": answer.severity,
        "rules": [{"path": rule.path, "line": rule.line, "runbook_url": rule.runbook_url} for rule in answer.rules],
        "procedures": [
            {"id": entry.procedure.id, "status": entry.status.value, "last_drill": _last_drill(entry)}
            for entry in answer.entries
        ]
        + [{"id": public_id, "status": None, "last_drill": None} for public_id in answer.elsewhere],
        "exception": {"owner": without.owner, "until": without.until.isoformat(), "reason": without.reason}
        if without
        else None,
    }


def proofs_document(proofs: Iterable[Proof], not_tried: Iterable[str], errors: Iterable[str]) -> dict[str, Any]:
    """Return what ``mutate --json`` says: every proof of need, and the procedures for which there was no time."""
    from runbook_checks.need import to_line  # noqa: PLC0415 - only what the document needs

    return {
        "schema_version": SCHEMA_VERSION,
        "proofs": [json.loads(to_line(proof)) for proof in proofs],
        "not_tried": list(not_tried),
        "errors": [{"path": "", "line": 0, "reason": message, "suggestion": ""} for message in errors],
    }


def need_document(need: Need) -> dict[str, Any] | None:
    """Return what a status document says of a proof of need; None when it was never tried."""
    if need.proof is None:
        return None
    return {
        "standing": need.standing.value,
        "proven": need.proven,
        "total": need.total,
        "tried_at": need.tried_at.isoformat() if need.tried_at else None,
        "dirty": need.proof.dirty,
        "unproven": [{"id": one.id, "line": one.line, "reason": one.reason} for one in need.left],
        "excepted": [{"id": one.id, "line": one.line, "reason": reason} for one, reason in need.excepted],
    }


def _last_drill(entry: Entry) -> dict[str, Any] | None:
    from runbook_checks.alerts import last_drill  # noqa: PLC0415 - only what the document needs

    drill = last_drill(entry)
    return {"at": drill.at.isoformat(), "outcome": drill.outcome.value, "current": drill.current} if drill else None


def _nowhere(_: Procedure) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a procedure, its evidence and its permalink stand on the site; nowhere without one."""

    url: Callable[[Procedure], str] = _nowhere
    evidence: Callable[[Procedure], str] = _nowhere
    permalink: Callable[[Procedure], str] = _nowhere


_NO_SITE = Addresses()


def status_document(
    entries: Iterable[Entry], generated_at: datetime, addresses: Addresses = _NO_SITE
) -> dict[str, Any]:
    """Return ``status.json``, which ``status --json`` prints too: one object per procedure and environment.

    Its form is that of ``site/schemas/status.json``.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "generated_at": generated_at.isoformat(timespec="seconds"),
        "procedures": [_entry(entry, addresses) for entry in entries],
    }


def _entry(entry: Entry, addresses: Addresses) -> dict[str, Any]:
    record = entry.record
    return {
        "id": entry.procedure.id,
        "page": entry.procedure.page,
        "title": entry.procedure.title,
        "url": addresses.url(entry.procedure),
        "status": entry.status.value,
        "reason": entry.reason,
        "environment": entry.environment,
        "verified_at": entry.verified_at.isoformat() if entry.verified_at else None,
        "expires_at": entry.expires_at.isoformat() if entry.expires_at else None,
        "duration_s": entry.took_s,
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
        "evidence_url": addresses.evidence(entry.procedure),
        "permalink": addresses.permalink(entry.procedure),
        "signed": bool(entry.decided.signed_by) if entry.decided else None,
        "need": need_document(entry.need),
        "tags": list(dict.fromkeys((*entry.runbook.tags, *entry.procedure.card.tags))),
    }
