"""Signatures of records: an in-toto test-result statement about each, in a DSSE envelope, by an Ed25519 key.

The forms: https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md and
https://github.com/secure-systems-lab/dsse. A statement binds the exact bytes of a record's line.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runbook_checks.record import CHANGED, Outcome, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
LARGEST_BYTES = 1 << 20  # of an envelope; ours are some KiB
_RECORD = "record"  # the name of the descriptor that binds the record
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Claim:
    """What an envelope says of a record; only one with ``signed_by``, the id of a trusted key, may be believed."""

    subject: str  # <public id>@<environment>
    subject_sha256: str  # of what was run
    record_sha256: str
    run: str
    outcome: Outcome
    page: str
    ended_at: str
    no_earlier_than: str = ""
    signers: tuple[str, ...] = ()  # the ids of keys that its signatures name, whoever made them
    signed_by: str = ""
    forged: bool = False  # a signature names a trusted key that did not make it


def subject_of(procedure: str, environment: str) -> str:
    """Return the name of what a statement is about; no environment's name has an ``@``, so the last one parts them."""
    return f"{procedure}@{environment}"


def sha256_of(line: bytes) -> str:
    """Return the hash that binds a record's line, given without its newline."""
    return hashlib.sha256(line).hexdigest()


def short(key_id: str) -> str:
    """Return as much of a key's id as people compare."""
    return key_id[:8]


def subject_sha256_of(digest: str) -> str:
    """Return the hash of a record's digest; of words that are no digest, such as ``CHANGED``, their own."""
    found = _SHA256.fullmatch(digest)
    return found[1] if found else sha256_of(digest.encode(errors="surrogatepass"))


def statement(record: Record, line: bytes) -> dict[str, Any]:
    """Return the in-toto statement about a record, whose line is given without its newline."""
    source: dict[str, Any] = {"name": "source", "annotations": {"page": record.page, "dirty": record.dirty}}
    if record.commit:
        source["digest"] = {"gitCommit": record.commit}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {
                "name": subject_of(record.procedure, record.environment),
                "digest": {"sha256": subject_sha256_of(record.digest)},
            }
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": _result(record),
            "configuration": [
                {
                    "name": _RECORD,
                    "mediaType": "application/json",
                    "digest": {"sha256": sha256_of(line)},
                    "annotations": {
                        "run": record.run,
                        "outcome": record.outcome.value,
                        "page": record.page,
                        "endedAt": record.ended_at,
                        **({"noEarlierThan": record.no_earlier_than} if record.no_earlier_than else {}),
                    },
                },
                source,
            ],
            "passedTests": [block.id for block in record.blocks if block.outcome is Outcome.PASSED],
            "warnedTests": [],
            "failedTests": [block.id for block in record.blocks if block.outcome is Outcome.FAILED],
        },
    }


def sign(record: Record, line: bytes, signer: CryptoSigner) -> bytes:
    """Return the signed envelope about a record, whose line is given without its newline, as a line of JSON."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - loading it costs more than most commands

    envelope = Envelope(json.dumps(statement(record, line)).encode(), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode() + b"\n"


def read_envelope(line: bytes, keys: Sequence[SSlibKey]) -> Claim:
    """Return what an envelope claims, and whether one of the keys signed it; raise ValueError for what is none."""
    from securesystemslib.dsse import Envelope  # noqa: PLC0415 - loading it costs more than most commands

    if len(line) > LARGEST_BYTES:
        raise ValueError(f"larger than {LARGEST_BYTES >> 20} MiB")
    try:
        envelope = Envelope.from_dict(_parsed(line))
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError(f"its payload type is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}")
        claim = _claim(_parsed(envelope.payload), **_signed_by(envelope, keys))
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"not the envelope of a record: {error!r}") from error
    return claim


def _result(record: Record) -> str:
    """Return the word of the test-result predicate; only a clean pass is one, what an interrupt hit is none."""
    if record.outcome is not Outcome.PASSED:
        return "FAILED"
    return "WARNED" if record.dirty or record.digest == CHANGED else "PASSED"


def _signed_by(envelope: Any, keys: Sequence[SSlibKey]) -> dict[str, Any]:  # noqa: ANN401 - imported lazily
    """Return the fields of a claim that say who signed it: one signature of a trusted key is enough."""
    from securesystemslib.exceptions import VerificationError  # noqa: PLC0415

    named = tuple(envelope.signatures)
    of_ours = [key for key in keys if key.keyid in named]
    if not of_ours:
        return {"signers": named}
    try:
        (key_id,) = envelope.verify(of_ours, 1)
    except VerificationError:
        return {"signers": named, "forged": True}
    return {"signers": named, "signed_by": key_id}


def _claim(statement: dict[str, Any], **signed: Any) -> Claim:  # noqa: ANN401 - the fields of a claim
    if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError("not a test-result statement")
    (subject,) = statement["subject"]
    (record,) = (one for one in statement["predicate"]["configuration"] if one.get("name") == _RECORD)
    noted = record["annotations"]
    claim = Claim(
        subject=subject["name"],
        subject_sha256=subject["digest"]["sha256"],
        record_sha256=record["digest"]["sha256"],
        run=noted["run"],
        outcome=Outcome(noted["outcome"]),
        page=noted["page"],
        ended_at=noted["endedAt"],
        no_earlier_than=noted.get("noEarlierThan", ""),
        **signed,
    )
    times = (claim.ended_at, *([claim.no_earlier_than] if "noEarlierThan" in noted else []))
    texts = (claim.subject, claim.subject_sha256, claim.record_sha256, claim.run, claim.page, *times)
    if not all(isinstance(text, str) for text in (*texts, *claim.signers)):
        raise ValueError("something in it is no text")
    for at in times:
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError(f"{at!r} has no time zone")
    return claim


def _parsed(data: bytes) -> dict[str, Any]:
    """Return a JSON object in which each key stands once: two readers must not see two things."""
    found = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    if not isinstance(found, dict):
        raise TypeError("not an object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in it")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
