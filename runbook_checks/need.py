"""The proof of need: what came of leaving out blocks of a procedure in turn, its one-line form, and its worth now."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from runbook_checks.model import Procedure, Role, acts, runs_in
from runbook_checks.record import BlockRecord, OtherSchemaError, Outcome, Record, Service

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION = 1
SUBJECT = "#need"  # behind a public id: what a signature of a proof is about
_CLOCK_SKEW = timedelta(minutes=5)


class Came(Enum):
    """What came of a run without a block."""

    CAUGHT = "caught"  # something noticed
    UNNOTICED = "unnoticed"  # the procedure passed all the same
    UNDECIDED = "undecided"  # it failed before the block could have been missed, or monitoring gave no answer


@dataclass(frozen=True, slots=True)
class Trial:
    """One run without some blocks; ``place`` is the page:line of what noticed, ``refused`` the checks that said no."""

    kind: str
    left_out: tuple[str, ...]
    came: Came
    caught_by: str = ""
    place: str = ""
    reason: str = ""
    refused: tuple[str, ...] = ()
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tried:
    """A block that a reader runs, and whether anything depends on it.

    ``by`` is what noticed that a step was missing, or what was left out when a check refused; ``place`` is its
    page:line.
    """

    id: str
    role: str
    line: int
    proven: bool
    by: str = ""
    place: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """The proof of need of one procedure, from one run; times are UTC, ISO 8601."""

    run: str
    procedure: str
    page: str
    title: str
    digest: str
    environment: str
    started_at: str
    ended_at: str
    duration_s: float
    commit: str
    dirty: bool
    services: tuple[Service, ...]
    trials: tuple[Trial, ...]
    blocks: tuple[Tried, ...]
    schema_version: int = SCHEMA_VERSION


class Standing(Enum):
    """What the proof of need of a procedure is worth now."""

    PROVEN = "proven"  # every block is, or has a written reason why not
    UNPROVEN = "unproven"  # some are not, or a reason is not needed
    STALE = "stale"
    NOTHING = "nothing to leave out"
    NEVER = "never tried"


@dataclass(frozen=True, slots=True)
class Need:
    """The worth of a proof, given the card: ``left`` are unproven blocks without a reason, ``needless`` are reasons."""

    standing: Standing = Standing.NEVER
    proof: Proof | None = None
    excepted: tuple[tuple[Tried, str], ...] = ()
    left: tuple[Tried, ...] = ()
    needless: tuple[str, ...] = ()  # ids of blocks that have a reason and are proven
    doubt: str = ""  # why a proof does not count

    @property
    def proven(self) -> int:
        """Return how many blocks are proven."""
        return sum(one.proven for one in self.proof.blocks) if self.proof else 0

    @property
    def total(self) -> int:
        """Return how many blocks there are to prove."""
        return len(self.proof.blocks) if self.proof else 0

    @property
    def tried_at(self) -> datetime | None:
        """Return when it was tried, UTC."""
        return datetime.fromisoformat(self.proof.ended_at).astimezone(UTC) if self.proof else None


NEVER = Need()


def worth(  # noqa: PLR0913 - what decides
    proofs: Iterable[Proof], procedure: Procedure, *, digest: str, now: datetime, strict: bool, doubt: str = ""
) -> Need:
    """Return what proofs say of a procedure whose digest is now ``digest``; ``doubt`` is why others do not count.

    The newest of this digest decides, else the newest, which is stale. One dated in the future counts for nothing, nor
    one that does not name the blocks that there are, nor, when ``strict``, one from a tree with uncommitted changes,
    but for what it could not prove of what is written now.
    """
    found = sorted(proofs, key=_ended_at)
    past = [one for one in found if _ended_at(one) <= now + _CLOCK_SKEW]
    counted = [one for one in past if not (strict and one.dirty) or _says_no(one, procedure, digest)]
    if not counted:
        return Need(doubt="it is from a tree with uncommitted changes, or dated in the future" if found else doubt)
    same = [one for one in counted if one.digest == digest]
    if not same:
        return Need(Standing.STALE, counted[-1])
    if not _names_all(same[-1], procedure):
        return Need(doubt="it does not name the blocks that the procedure has")
    return held(same[-1], procedure)


def _says_no(proof: Proof, procedure: Procedure, digest: str) -> bool:
    """Return whether a proof of what is written now left a block unproven for which there is no reason."""
    return proof.digest == digest and _names_all(proof, procedure) and bool(held(proof, procedure).left)


def _names_all(proof: Proof, procedure: Procedure) -> bool:
    """Return whether a proof of what is written now names every block once that there is to prove."""
    here = [one for one in procedure.blocks if runs_in(one, proof.environment)]
    if not proof.blocks:
        return all(one.role in {Role.CHECK, Role.CLEANUP} for one in here)
    ids = {one.id for one in proof.blocks}
    roles = [one.role for one in proof.blocks]
    return len(ids) == len(roles) and roles == [one.role.value for one in here if acts(one)]


def held(proof: Proof, procedure: Procedure) -> Need:
    """Return a proof of what is written now, held against the reasons of the procedure's card."""
    reasons = dict(procedure.card.unproven)
    proof = _as_named_now(proof, procedure)
    excepted = tuple((one, reasons[one.id]) for one in proof.blocks if not one.proven and one.id in reasons)
    left = tuple(one for one in proof.blocks if not one.proven and one.id not in reasons)
    needless = tuple(one.id for one in proof.blocks if one.proven and one.id in reasons)
    if not proof.blocks:
        return Need(Standing.NOTHING, proof)
    standing = Standing.UNPROVEN if left or needless else Standing.PROVEN
    return Need(standing, proof, excepted, left, needless)


def _as_named_now(proof: Proof, procedure: Procedure) -> Proof:
    """Return a proof with the ids and lines that its blocks have now: neither is in the digest, their order is."""
    blocks = [one for one in procedure.blocks if acts(one) and runs_in(one, proof.environment)]
    if len(blocks) != len(proof.blocks):  # nothing was to be left out
        return proof
    now = {old.id: new for old, new in zip(proof.blocks, blocks, strict=True)}
    named = []
    for one in proof.blocks:
        by = now.get(one.by)
        place = f"{procedure.page}:{by.span.first}" if by else one.place
        new = now[one.id]
        named.append(replace(one, id=new.id, line=new.span.first, by=by.id if by else one.by, place=place))
    return replace(proof, blocks=tuple(named))


def to_line(proof: Proof) -> str:
    """Return the proof as one line of JSON, with a final newline."""
    return json.dumps(asdict(proof), default=lambda value: value.value, separators=(",", ":")) + "\n"


def from_line(line: str) -> Proof:
    """Return the proof that a line holds; raise ValueError for what is none, OtherSchemaError for another version."""
    try:
        data = json.loads(line, parse_constant=_no_number)
        if data["schema_version"] != SCHEMA_VERSION:
            raise OtherSchemaError(f"schema version {data['schema_version']} of a proof is not {SCHEMA_VERSION}")
        data["services"] = tuple(Service(**one) for one in data["services"])
        data["trials"] = tuple(_trial(one) for one in data["trials"])
        data["blocks"] = tuple(Tried(**one) for one in data["blocks"])
        proof = Proof(**data)
        for part in (proof, *proof.services, *proof.trials, *proof.blocks):
            _check_types(part)
        for at in (proof.started_at, proof.ended_at):
            if datetime.fromisoformat(at).tzinfo is None:
                raise ValueError(f"{at!r} has no time zone")
            datetime.fromisoformat(at).astimezone(UTC)
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a proof: {error!r}") from error
    return proof


def distrusted(proof: Proof, why: str) -> Proof:
    """Return a proof that proves nothing, for a reason."""
    return replace(
        proof,
        blocks=tuple(replace(one, proven=False, by="", place="", reason=one.reason or why) for one in proof.blocks),
    )


def signed_as(proof: Proof) -> Record:
    """Return the record that a signature of a proof speaks of: nobody can take it for one of a run."""
    outcome = Outcome.PASSED if all(one.proven for one in proof.blocks) else Outcome.FAILED
    return Record(
        run=proof.run,
        procedure=proof.procedure + SUBJECT,
        page=proof.page,
        title=proof.title,
        outcome=outcome,
        reason="",
        digest=proof.digest,
        environment=proof.environment,
        started_at=proof.started_at,
        ended_at=proof.ended_at,
        duration_s=proof.duration_s,
        commit=proof.commit,
        dirty=proof.dirty,
        blocks=tuple(
            BlockRecord(one.id, one.role, "", one.line, "", Outcome.PASSED if one.proven else Outcome.FAILED)
            for one in proof.blocks
        ),
    )


def _trial(data: dict[str, Any]) -> Trial:
    texts = {name: tuple(data[name]) for name in ("left_out", "refused")}
    if not all(isinstance(one, str) for found in texts.values() for one in found):
        raise TypeError("an id is no text")
    return Trial(**{**data, **texts, "came": Came(data["came"])})


def _check_types(part: Any) -> None:  # noqa: ANN401 - one of our own classes
    """Raise TypeError for a text where a number should be, and the like."""
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}
    for one in fields(part):
        wanted = kinds.get(str(one.type))
        value = getattr(part, one.name)
        if wanted is not None and type(value) not in wanted:
            raise TypeError(f"{one.name} is not of type {one.type}")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _ended_at(proof: Proof) -> datetime:
    return datetime.fromisoformat(proof.ended_at).astimezone(UTC)
