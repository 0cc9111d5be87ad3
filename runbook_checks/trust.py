"""Which records may be believed: those that a trusted key signed, as they stand, for the procedure they lie with.

Lack of trust never makes a status greener: a pass that is not signed counts for nothing, a failure counts all the same
without its figures, and a signed failure whose record is gone or was changed still is one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from runbook_checks.need import SUBJECT, distrusted, signed_as
from runbook_checks.record import Evidence, Outcome, Record
from runbook_checks.signing import read_envelope, sha256_of, short, subject_of, subject_sha256_of
from runbook_checks.store import Line
from runbook_checks.unseen import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

    from runbook_checks.need import Proof
    from runbook_checks.signing import Claim
    from runbook_checks.store import Store

log = logging.getLogger(__name__)

_WORSE = {Outcome.FAILED, Outcome.BLOCKED}


class Worth(Enum):
    """How far a record can be believed."""

    SIGNED = "signed"
    UNSIGNED = "unsigned"  # or signed by nobody whom we know: it may be true
    REFUSED = "refused"  # forged, changed, copied: somebody wants us to believe it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line of the evidence is worth, and why; ``reason`` is empty for a signed one."""

    place: str  # file:line
    record: Record
    worth: Worth
    reason: str = ""
    signed_by: str = ""
    raw: bytes = b""  # the line, without its newline; empty for a record that is gone


@dataclass(frozen=True, slots=True)
class Examined:
    """Verdicts on every line of a procedure's evidence, and the evidence that they leave, oldest first.

    ``lost`` are trusted claims about lines that are not there any more, and ``signatures`` is the file of all claims.
    """

    verdicts: tuple[Verdict, ...]
    evidence: tuple[Evidence, ...]
    lost: tuple[Claim, ...] = ()
    signatures: Path | None = None

    @property
    def forged(self) -> tuple[str, ...]:
        """Return ``file:line: reason`` for all that was refused."""
        return tuple(f"{each.place}: {each.reason}" for each in self.verdicts if each.worth is Worth.REFUSED)


def believe(
    store: Store, environment: str, procedure: str, keys: Sequence[SSlibKey]
) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Return the evidence of a procedure, oldest first, and what of it is forged; without keys all of it is taken."""
    if not keys:
        return tuple(map(Evidence, store.read(environment, procedure))), ()
    examined = examine(store, environment, procedure, keys)
    return examined.evidence, examined.forged


def believe_need(
    store: Store, environment: str, procedure: str, keys: Sequence[SSlibKey]
) -> tuple[tuple[Proof, ...], str, tuple[str, ...]]:
    """Return the proofs of need that count, why one does not, or '', and what is forged; without keys all count.

    Of a proof that no key signed only what it could not prove is believed. A signed one that was not whole, and is gone
    or changed, leaves no older one of the same text to be believed.
    """
    kept = store.proofs(environment, procedure)
    if not keys:
        return tuple(line.proof for line in kept if not line.stray), "", ()
    examined = examine_need(store, environment, procedure, keys)
    signed = {verdict.raw for verdict in examined.verdicts if verdict.worth is Worth.SIGNED}
    ours = subject_of(procedure + SUBJECT, environment)
    gone = [claim for claim in examined.lost if claim.subject == ours and claim.outcome in _WORSE]
    counted, doubt = [], "a newer proof, which was not whole, is gone or was changed" if gone else ""
    for proof, raw in ((line.proof, line.raw) for line in kept if not line.stray):
        if raw in signed:
            if not any(_outdates(claim, proof) for claim in gone):
                counted.append(proof)
            continue
        doubt = "a proof is not signed by a trusted key, or not as it stands"
        if not all(one.proven for one in proof.blocks):
            counted.append(distrusted(proof, "the proof is not signed by a trusted key"))
    return tuple(counted), doubt, examined.forged


def _outdates(claim: Claim, proof: Proof) -> bool:
    """Return whether what a claim speaks of is a newer proof of the same text."""
    newer = datetime.fromisoformat(claim.ended_at) >= datetime.fromisoformat(proof.ended_at)
    return newer and claim.subject_sha256 == subject_sha256_of(proof.digest)


def examine(store: Store, environment: str, procedure: str, keys: Sequence[SSlibKey]) -> Examined:
    """Return what the evidence of a procedure is worth to one who trusts these keys; raises StoreError.

    A line of the file of signatures that is none is skipped with a warning.
    """
    path = store.signatures_path(environment, procedure)
    claims = _claims(store, path, keys)
    return replace(judge_lines(store.lines(environment, procedure), claims, environment, procedure), signatures=path)


def examine_need(store: Store, environment: str, procedure: str, keys: Sequence[SSlibKey]) -> Examined:
    """Return what the proofs of need of a procedure are worth, each as signed_as() has it, as examine() does."""
    path = store.need_signatures_path(environment, procedure)
    claims = _claims(store, path, keys)
    lines = [
        Line(line.path, line.number, line.raw, signed_as(line.proof), line.stray)
        for line in store.proofs(environment, procedure)
    ]
    return replace(judge_lines(lines, claims, environment, procedure + SUBJECT), signatures=path)


def _claims(store: Store, path: Path, keys: Sequence[SSlibKey]) -> list[tuple[str, Claim]]:
    claims = []
    for number, line in store.envelopes(path):
        try:
            claims.append((f"{path}:{number}", read_envelope(line, keys)))
        except ValueError as error:
            log.warning("%s:%d: skipped a line that is no signature: %s", path, number, error)
    return claims


def judge_lines(
    lines: Sequence[Line], claims: Sequence[tuple[str, Claim]], environment: str, procedure: str
) -> Examined:
    """Return what the lines kept for a procedure are worth, given the claims about them, each with its place."""
    hashed = [(line, sha256_of(line.raw)) for line in lines]
    kept = {sha256 for _, sha256 in hashed}
    about: dict[str, list[Claim]] = {}
    lost: dict[str, tuple[str, Claim]] = {}  # signed records that are not there any more, each once
    for place, claim in claims:
        about.setdefault(claim.record_sha256, []).append(claim)
        if claim.signed_by and claim.record_sha256 not in kept:
            lost.setdefault(claim.record_sha256, (place, claim))
    verdicts, evidence = [], []
    for line, sha256 in hashed:
        verdict = _verdict(line, about.get(sha256, ()), [claim for _, claim in lost.values()])
        verdicts.append(verdict)
        if not line.stray:
            refused = verdict.reason if line.record.outcome is Outcome.PASSED else ""
            believed = verdict.worth is Worth.SIGNED
            record = line.record if believed else replace(line.record, figures=())
            evidence.append(Evidence(record, short(verdict.signed_by), refused))
    changed = {verdict.record.run for verdict in verdicts if verdict.worth is Worth.REFUSED}
    failed = {(one.record.run, one.record.ended_at) for one in evidence if one.record.outcome in _WORSE}
    for place, claim in lost.values():
        ours = claim.subject == subject_of(procedure, environment)
        verdict = _missing(place, claim, environment, procedure)
        if not ours or claim.run not in changed:  # else the changed record's own verdict says so
            verdicts.append(verdict)
        if ours and claim.outcome in _WORSE and (claim.run, claim.ended_at) not in failed:
            evidence.append(Evidence(verdict.record))
    evidence.sort(key=lambda one: _ended_at(one.record))
    return Examined(tuple(verdicts), tuple(evidence), tuple(claim for _, claim in lost.values()))


def why_newest_is_refused(evidence: Sequence[Evidence]) -> str:
    """Return why the newest run counts for nothing; empty when it counts, or when there is none."""
    return max(evidence, key=lambda one: _ended_at(one.record)).refused if evidence else ""


def _verdict(line: Line, claims: Sequence[Claim], lost: Sequence[Claim]) -> Verdict:
    """Return what a line is worth, given the claims about its very bytes, and signed ones whose record is not there."""
    record, place = line.record, f"{line.path}:{line.number}"
    what = "its pass" if record.outcome is Outcome.PASSED else "it"
    if line.stray:
        return Verdict(place, record, Worth.REFUSED, f"a record of {printable(_subject(record))} was put here")
    signed = [claim for claim in claims if claim.signed_by]
    for claim in signed:
        if not _contradiction(claim, record):
            return Verdict(place, record, Worth.SIGNED, "", claim.signed_by, line.raw)
    if signed:
        return Verdict(place, record, Worth.REFUSED, _contradiction(signed[0], record))
    if any(claim.forged for claim in claims):
        return Verdict(place, record, Worth.REFUSED, "its signature is not valid")
    for claim in lost:
        if claim.run == record.run:
            changed = claim.subject == _subject(record)
            why = "the record was changed after it was signed" if changed else f"its signature is of {claim.subject}"
            return Verdict(place, record, Worth.REFUSED, why)
    signers = [signer for claim in claims for signer in claim.signers]
    why = f"signed by an unknown key ({short(signers[0])})" if signers else "not signed by a trusted key"
    return Verdict(place, record, Worth.UNSIGNED, f"{what} is {why}", raw=line.raw)


def _contradiction(claim: Claim, record: Record) -> str:
    """Return how a claim about a record's very bytes speaks of another one; empty when it does not."""
    if claim.subject != _subject(record):
        return f"its signature is of {claim.subject}"
    if claim.subject_sha256 != subject_sha256_of(record.digest):
        return "its signature is of another digest"
    if claim.outcome is not record.outcome:
        return f"its signature is of a run that {claim.outcome.value}"
    return ""


def _missing(place: str, claim: Claim, environment: str, procedure: str) -> Verdict:
    """Return what a signed record that is gone is worth: of a failure, that it was one."""
    if claim.subject != subject_of(procedure, environment):
        why = f"a signature of {claim.subject} was put here"
    else:
        why = f"the run of {claim.ended_at} was signed as {claim.outcome.value}, and its record is gone or changed"
    record = Record(
        run=claim.run,
        procedure=procedure,
        page=claim.page,
        title=procedure,
        outcome=claim.outcome,
        reason=why,
        digest=f"sha256:{claim.subject_sha256}",
        environment=environment,
        started_at=claim.ended_at,
        ended_at=claim.ended_at,
        duration_s=0.0,
        no_earlier_than=claim.no_earlier_than,
    )
    return Verdict(place, record, Worth.REFUSED, why)


def _subject(record: Record) -> str:
    return subject_of(record.procedure, record.environment)


def _ended_at(record: Record) -> datetime:
    return datetime.fromisoformat(record.ended_at)
