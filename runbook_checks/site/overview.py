"""What a home page says first: how many procedures are worth what, what needs attention, which alerts are covered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from runbook_checks.alerts import last_drill
from runbook_checks.record import Outcome
from runbook_checks.site.render import uncommitted, urgency
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook_checks.alerts import Answer, Coverage, LastDrill
    from runbook_checks.record import Record
    from runbook_checks.report import Entry


MOST = 5  # procedures that a list of what needs attention shows unfolded


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest run: the entry that it ended with, that entry's record, and how its procedures ended."""

    entry: Entry
    record: Record
    outcomes: tuple[tuple[Outcome, int], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All procedures of one environment at a glance."""

    environment: str
    entries: tuple[Entry, ...]  # what needs attention first
    counts: tuple[tuple[Status, int], ...]  # every status, the calm one first
    newest: Newest | None
    coverage: Coverage
    as_of: datetime

    @property
    def oldest(self) -> datetime | None:
        """Return when the procedure was verified whose proof is the oldest; None when none ever was."""
        return min((entry.verified_at for entry in self.entries if entry.verified_at), default=None)

    @property
    def dirty(self) -> int:
        """Return how many are shown by a run from a tree with uncommitted changes."""
        return uncommitted(self.entries)

    @property
    def attention(self) -> int:
        """Return how many procedures are not verified."""
        return sum(count for status, count in self.counts if status is not Status.VERIFIED)

    @property
    def first(self) -> tuple[Entry, ...]:
        """Return the most urgent of them."""
        return self.entries[: min(self.attention, MOST)]

    @property
    def rest(self) -> tuple[Entry, ...]:
        """Return all others, the verified ones too: they may expire while the site is read."""
        return self.entries[len(self.first) :]

    @property
    def further(self) -> int:
        """Return how many of the others need attention."""
        return self.attention - len(self.first)


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert and one procedure that answers it, or none."""

    answer: Answer
    entry: Entry | None

    @property
    def drill(self) -> LastDrill | None:
        """Return the last drill of the procedure."""
        return last_drill(self.entry) if self.entry else None

    @property
    def loud(self) -> bool:
        """Return whether an alert has no procedure and no exception, or a card names one that no rule raises."""
        return not self.answer.rules or (self.entry is None and self.answer.exemption is None)


def overview(environment: str, entries: Sequence[Entry], coverage: Coverage, now: datetime) -> Overview:
    """Return what a home page says ``now`` of the entries of one environment."""
    first = sorted(entries, key=lambda entry: urgency(entry.status))
    order = (Status.VERIFIED, *sorted(set(Status) - {Status.VERIFIED}, key=urgency))
    counts = tuple((status, sum(entry.status is status for entry in entries)) for status in order)
    return Overview(environment, tuple(first), counts, _newest(entries, now), coverage, now)


def alert_rows(coverage: Coverage, *, rules: bool) -> tuple[AlertRow, ...]:
    """Return a row per alert and procedure, what is wrong first; ``rules`` says whether rule files are known at all."""
    rows = [
        AlertRow(answer, entry)
        for answer in coverage.answers
        for entry in (answer.entries or (None,))
        if rules or entry is not None
    ]
    return tuple(sorted(rows, key=lambda row: _worry(row) if rules else 1))


def until(answers: Iterable[Answer]) -> tuple[int, ...]:
    """Return, for each answer that is verified, when it stops to be, in seconds since 1970."""
    return tuple(
        int(min(entry.expires_at.timestamp() for entry in answer.entries if entry.expires_at))
        for answer in answers
        if answer.verified
    )


def _worry(row: AlertRow) -> int:
    return 0 if row.loud else urgency(row.entry.status) + 1 if row.entry else 1


def _newest(entries: Sequence[Entry], now: datetime) -> Newest | None:
    ran = [(entry, record) for entry in entries if (record := _last_run(entry, now)) is not None]
    if not ran:
        return None
    entry, newest = max(ran, key=lambda pair: _ended_at(pair[1]))
    of_run = [record.outcome for _, record in ran if record.run == newest.run]
    counts = tuple((outcome, of_run.count(outcome)) for outcome in Outcome if outcome in of_run)
    return Newest(entry, newest, counts)


def _last_run(entry: Entry, now: datetime) -> Record | None:
    """Return the record that decides, or the one of a later run that was interrupted: that one ran too."""
    stopped = (each.record for each in reversed(entry.history) if each.record.outcome is Outcome.INTERRUPTED)
    interrupted = next((record for record in stopped if _ended_at(record) <= now), None)
    return max((record for record in (entry.record, interrupted) if record), key=_ended_at, default=None)


def _ended_at(record: Record) -> datetime:
    return datetime.fromisoformat(record.ended_at)
