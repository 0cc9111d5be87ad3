"""What a procedure's records say about it now. Absence of proof never looks green."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from runbook_checks.record import CHANGED, Outcome, Record, kept_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CLOCK_SKEW = timedelta(minutes=5)  # between the machine that ran and the one that judges
_KEPT_LATER = "(dated before the last pass, but kept after it: its clock was behind, or that of the pass was ahead)"
_BADNESS = {
    Outcome.PASSED: 0,
    Outcome.BLOCKED: 1,
    Outcome.FAILED: 2,
}  # of two runs that ended together the worse counts


class Status(Enum):
    """The words of the glossary for how far a procedure can be trusted."""

    VERIFIED = "verified"
    FAILED = "failed"
    STALE = "stale"
    EXPIRED = "expired"
    UNVERIFIED = "unverified"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A status, why, the record that decides it, when it was last verified and when that expires (both UTC).

    ``proven`` is the record of the last pass that counts: what changed, changed since then.
    """

    status: Status
    reason: str = ""
    record: Record | None = None
    verified_at: datetime | None = None
    expires_at: datetime | None = None
    proven: Record | None = None


def judge(
    records: Sequence[Record],
    *,
    digest: str,
    verify_every_s: float,
    now: datetime,
    strict: bool = False,
) -> Judgement:
    """Return what the records prove about a procedure whose digest is now ``digest``.

    Interrupted runs and runs dated in the future never count; when ``strict``, neither does a pass from a tree with
    uncommitted changes. A pass of what changed while it ran is no proof: it makes stale, and is not dated as verified.
    """
    found = counted(records, now=now, strict=strict)
    if not found:
        return Judgement(Status.UNVERIFIED, _why_unverified(records, now=now))
    newest = found[-1]
    proven = next((record for record in reversed(found) if proves_something(record)), None)
    verified_at = _ended_at(proven) if proven else None
    expires_at = verified_at + timedelta(seconds=verify_every_s) if verified_at else None
    status, reason = _decide(newest, digest=digest, expires_at=expires_at, now=now)
    if (
        newest.outcome is not Outcome.PASSED
        and newest.no_earlier_than
        and verified_at
        and _ended_at(newest) < verified_at
    ):
        reason += f"\n{_KEPT_LATER}"
    return Judgement(status, reason, newest, verified_at, expires_at, proven)


def enough(records: Sequence[Record], older: datetime, *, now: datetime, strict: bool = False) -> bool:
    """Return whether judge() says of these, the newest records, what it says with those kept_at() ``older`` or before.

    By a clock that was ahead a pass may count as older than it says, by as much as we allow.
    """
    found = counted(records, now=now, strict=strict)
    proven = next((record for record in reversed(found) if proves_something(record)), None)
    return proven is not None and older.astimezone(UTC) < _ended_at(proven) - 2 * _CLOCK_SKEW


def counted(records: Iterable[Record], *, now: datetime, strict: bool = False) -> tuple[Record, ...]:
    """Return the records that count, in the order in which they decide: the last one makes the status.

    That is the order of their dates, but that a failure which was kept after a pass also comes after it: its clock may
    have been put back. A pass comes after a failure by both only, since either may be wrong.
    """
    found = [record for record in records if _counts(record, now=now, strict=strict)]
    passed = [(kept_at(one), _surely_at(one, now=now)) for one in found if one.outcome is Outcome.PASSED]

    def decides_at(record: Record) -> datetime:
        at = _surely_at(record, now=now)
        if record.outcome is Outcome.PASSED or not record.no_earlier_than:
            return at
        return max([at, *(ended_at for kept, ended_at in passed if kept < kept_at(record))])

    return tuple(sorted(found, key=lambda one: (decides_at(one), _BADNESS[one.outcome], kept_at(one), _ended_at(one))))


def proves_something(record: Record) -> bool:
    """Return whether a record is a pass of which it is known what passed."""
    return record.outcome is Outcome.PASSED and record.digest != CHANGED


def told(judgement: Judgement, refused: str) -> Judgement:
    """Return a judgement that also says why a newer run, which it does not count, is not believed."""
    if not refused:
        return judgement
    if judgement.record is None:
        return replace(judgement, reason=refused)
    newer = f"a newer run does not count: {refused}"
    return replace(judgement, reason=f"{judgement.reason}; {newer}" if judgement.reason else newer)


def _decide(newest: Record, *, digest: str, expires_at: datetime | None, now: datetime) -> tuple[Status, str]:
    edited = newest.digest != digest
    if newest.outcome is Outcome.FAILED:
        first, newline, rest = newest.reason.partition("\n")
        return Status.FAILED, first + ("; edited since" if edited else "") + newline + rest
    if newest.outcome is Outcome.BLOCKED:
        return Status.BLOCKED, newest.reason
    if edited:
        return Status.STALE, newest.reason or "what was verified is no longer what is written"
    if expires_at is None or now >= expires_at:
        return Status.EXPIRED, "verified too long ago"
    return Status.VERIFIED, "from a tree with uncommitted changes" if newest.dirty else ""


def _counts(record: Record, *, now: datetime, strict: bool) -> bool:
    if record.outcome not in {Outcome.PASSED, Outcome.FAILED, Outcome.BLOCKED}:
        return False
    if _ended_at(record) > now + _CLOCK_SKEW:
        return False
    return not (strict and record.dirty and record.outcome is Outcome.PASSED)


def _surely_at(record: Record, *, now: datetime) -> datetime:
    """Return when a run ended at the latest, or, for a pass by a clock ahead of ours, at the earliest."""
    ended_at = _ended_at(record)
    ahead = record.outcome is Outcome.PASSED and ended_at > now
    return ended_at - _CLOCK_SKEW if ahead else ended_at


def _why_unverified(records: Sequence[Record], *, now: datetime) -> str:
    if not records:
        return "never run"
    newest = max(records, key=lambda record: (_ended_at(record), kept_at(record)))
    if _ended_at(newest) > now + _CLOCK_SKEW:
        return "its newest run is dated in the future"
    if newest.outcome is Outcome.PASSED:
        return "its newest run is from a tree with uncommitted changes"
    return "its newest run was interrupted"


def _ended_at(record: Record) -> datetime:
    return datetime.fromisoformat(record.ended_at).astimezone(UTC)
