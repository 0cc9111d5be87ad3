"""The tables that the command line prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from rich.table import Table
from rich.text import Text

from runbook_checks.alerts import last_drill
from runbook_checks.need import Standing
from runbook_checks.record import Outcome
from runbook_checks.status import Status
from runbook_checks.trust import Worth
from runbook_checks.unseen import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.alerts import Coverage, LastDrill
    from runbook_checks.config import Exemption
    from runbook_checks.model import Procedure
    from runbook_checks.need import Need, Proof
    from runbook_checks.progress import Ended
    from runbook_checks.report import Entry
    from runbook_checks.trust import Verdict

_STATUS_STYLES = {
    Status.VERIFIED: "green",
    Status.FAILED: "bold red",
    Status.STALE: "yellow",
    Status.EXPIRED: "yellow",
    Status.UNVERIFIED: "dim",
    Status.BLOCKED: "magenta",
}


def ended_table(ended: Iterable[Ended]) -> Table:
    """Return what ran: outcome, procedure, duration, figures, and the first line of the reason."""
    table = Table(box=None, pad_edge=False)
    for heading in ("outcome", "procedure", "took", "figures", "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "procedure")
    for one in ended:
        style = "green" if one.outcome is Outcome.PASSED else "bold red"
        figures = ", ".join(f"{figure.name} {figure.value:.4g} {figure.unit}".rstrip() for figure in one.figures)
        table.add_row(
            Text(one.outcome.value, style),
            one.procedure,
            f"{one.duration_s:.1f} s",
            printable(figures),
            Text(printable(one.reason.partition("\n")[0])),
        )
    return table


def proofs_table(proofs: Iterable[Proof]) -> Table:
    """Return what was left out of procedures, and what noticed; then, for each check, without what it said no."""
    table = Table(box=None, pad_edge=False)
    for heading in ("block", "role", "proven by", "why not"):
        table.add_column(heading, overflow="fold")
    for proof in proofs:
        proven = sum(one.proven for one in proof.blocks)
        words = f"{proven} of {len(proof.blocks)} proven" if proof.blocks else "nothing to leave out"
        table.add_row(Text(proof.procedure, "bold"), "", Text(words, "bold"), "")
        for one in proof.blocks:
            by = f"{one.by} {one.place}" if one.role != "check" or not one.by else f"without {one.by} {one.place}"
            table.add_row(
                Text(f"  {one.id}:{one.line}", "" if one.proven else "bold red"),
                one.role,
                printable(by.strip()),
                Text(printable(one.reason)),
            )
    return table


def status_table(entries: Iterable[Entry]) -> Table:
    """Return what every procedure is worth now; the environment is a column where there are several."""
    entries = tuple(entries)
    several = len({entry.environment for entry in entries}) > 1
    tried = any(entry.need.proof for entry in entries)
    table = Table(box=None, pad_edge=False)
    more = ["need"] if tried else []
    for heading in ("status", "procedure", *(["environment"] if several else []), "verified (UTC)", *more):
        table.add_column(heading, no_wrap=True)
    table.add_column("why", overflow="fold")
    for entry in entries:
        table.add_row(
            Text(entry.status.value, _STATUS_STYLES[entry.status]),
            entry.procedure.id,
            *([entry.environment] if several else []),
            f"{entry.verified_at:%Y-%m-%d %H:%M}" if entry.verified_at else "never",
            *([_need(entry.need)] if tried else []),
            Text(printable(entry.reason.partition("\n")[0])),
        )
    return table


def _need(need: Need) -> Text:
    """Return the proof of need of a procedure in one word."""
    counts = f"{need.proven}/{need.total}"
    match need.standing:
        case Standing.PROVEN:
            return Text(counts)
        case Standing.UNPROVEN:
            return Text(f"{counts} !", "bold red")
        case Standing.STALE:
            return Text("stale", "yellow")
        case Standing.NOTHING:
            return Text("-", "dim")
        case Standing.NEVER:
            return Text("never", "dim")
        case _:
            assert_never(need.standing)


def alerts_table(covered: Coverage) -> Table:
    """Return a row per alert and procedure that answers it; what is missing is in words, not only in red."""
    table = Table(box=None, pad_edge=False)
    for heading in ("alert", "severity", "procedure", "status", "last drill"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "alert")
    for answer in covered.answers:
        severity = answer.severity if answer.rules else Text("no rule", "bold red")
        for entry in answer.entries:
            status = Text(entry.status.value, _STATUS_STYLES[entry.status])
            table.add_row(answer.name, severity, entry.procedure.id, status, _drilled(last_drill(entry)))
        for public_id in answer.elsewhere:
            table.add_row(answer.name, severity, public_id, Text("not run here", "yellow"))
        if not answer.covered:
            table.add_row(answer.name, severity, *_without_procedure(answer.exemption))
    return table


def _drilled(drill: LastDrill | None) -> Text:
    if drill is None:
        return Text("never", "yellow")
    if drill.outcome is Outcome.FAILED:
        return Text(drill.words, "bold red")
    return Text(drill.words, "green" if drill.current else "yellow")


def _without_procedure(exemption: Exemption | None) -> tuple[Text, str]:
    if exemption is None:
        return Text("none", "bold red"), ""
    return Text(f"none until {exemption.until}: {exemption.reason} ({exemption.owner})", "yellow"), ""


def verdicts_table(verdicts: Iterable[Verdict]) -> Table:
    """Return per procedure and environment how many records are signed, unsigned and refused, and the newest reason."""
    table = Table(box=None, pad_edge=False)
    for heading in ("procedure", "environment", *(worth.value for worth in Worth), "why"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "procedure")
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.record.procedure, verdict.record.environment), []).append(verdict)
    for names, group in groups.items():
        counts = [sum(one.worth is worth for one in group) for worth in Worth]
        reasons = [one.reason for one in group if one.reason]
        table.add_row(*map(printable, names), *map(str, counts), Text(printable(reasons[-1]) if reasons else ""))
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
