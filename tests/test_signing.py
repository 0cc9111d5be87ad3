"""A statement says what the record says, in the form of in-toto, and an envelope is read strictly."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from records import record
from signatures import CI, KEYS, OTHER, envelope, opened, raw, sealed

from runbook_checks.record import CHANGED, BlockRecord, Outcome, Record
from runbook_checks.signing import LARGEST_BYTES, read_envelope, statement

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "ab" * 32
ONE = record(digest=f"sha256:{DIGEST}", commit="c" * 40)


@pytest.mark.parametrize("one", [ONE, record(commit=""), record(digest=CHANGED, procedure="p/é\ud800", blocks=())])
def test_the_official_package_finds_nothing_wrong(one: Record) -> None:
    said = statement(one, raw(one))
    text = json.dumps(said)
    if "\\ud800" in text:  # no text for protobuf; ids come from pages in UTF-8, which holds none
        text = text.replace("\\ud800", "?")
    parsed = json_format.Parse(text, statement_pb2.Statement())  # refuses unknown fields
    Statement.copy_from_pb(parsed).validate()
    json_format.ParseDict(said["predicate"], test_result_pb2.TestResult())


def test_a_statement_is_about_what_was_run_and_binds_the_exact_record() -> None:
    said = opened(envelope(ONE))
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert said["subject"] == [{"name": "page/one@staging", "digest": {"sha256": DIGEST}}]
    bound, source = said["predicate"]["configuration"]
    assert bound["digest"]["sha256"] == hashlib.sha256(raw(ONE)).hexdigest()
    assert (source["digest"], source["annotations"]["page"]) == ({"gitCommit": "c" * 40}, "docs/page.md")


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, "PASSED"),
        ({"dirty": True}, "WARNED"),
        ({"digest": CHANGED}, "WARNED"),
        ({"outcome": Outcome.FAILED}, "FAILED"),
        ({"outcome": Outcome.BLOCKED}, "FAILED"),
        ({"outcome": Outcome.INTERRUPTED}, "FAILED"),
    ],
)
def test_only_a_clean_pass_is_passed(changes: dict[str, Any], result: str) -> None:
    one = record(**changes)
    assert statement(one, raw(one))["predicate"]["result"] == result


def test_blocks_are_the_tests() -> None:
    blocks = tuple(BlockRecord(each.value, "step", "bash", 7, "true\n", each) for each in Outcome)
    said = statement(record(blocks=blocks), b"")["predicate"]
    assert (said["passedTests"], said["warnedTests"], said["failedTests"]) == (["passed"], [], ["failed"])


def test_an_envelope_is_signed_as_dsse_says() -> None:
    """https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, put together by hand."""
    line = envelope(ONE)
    assert line.count(b"\n") == 1
    found = json.loads(line)
    (signature,) = found["signatures"]
    payload = json.dumps(opened(line)).encode()
    kind = b"application/vnd.in-toto+json"
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(CI.public_key.keyval["public"]))
    public.verify(base64.b64decode(signature["sig"]), message)  # raises when it does not hold
    assert signature["keyid"] == CI.public_key.keyid


def test_a_claim_says_who_signed() -> None:
    claim = read_envelope(envelope(ONE), KEYS)
    assert (claim.signed_by, claim.subject, claim.outcome) == (CI.public_key.keyid, "page/one@staging", Outcome.PASSED)
    stranger = read_envelope(envelope(ONE, OTHER), KEYS)
    assert (stranger.signed_by, stranger.signers, stranger.forged) == ("", (OTHER.public_key.keyid,), False)
    assert read_envelope(envelope(ONE), ()).signed_by == ""


def test_one_trusted_signature_among_others_is_enough_and_a_bad_one_beside_it_harmless() -> None:
    both = sealed(text_of(ONE).encode(), OTHER, CI)
    assert read_envelope(both, KEYS).signed_by == CI.public_key.keyid
    bad = json.loads(both)
    bad["signatures"][0]["sig"] = "AAAA"
    assert read_envelope(json.dumps(bad).encode(), (OTHER.public_key, *KEYS)).signed_by == CI.public_key.keyid


@pytest.mark.parametrize("sig", ["", "AAAA", "A" * 86 + "=="])
def test_a_signature_in_a_trusted_name_that_does_not_hold_is_forged(sig: str) -> None:
    found = json.loads(envelope(ONE))
    found["signatures"][0]["sig"] = sig
    claim = read_envelope(json.dumps(found).encode(), KEYS)
    assert (claim.signed_by, claim.forged) == ("", True)


def test_a_key_id_is_only_a_name() -> None:
    found = json.loads(envelope(ONE, OTHER))
    found["signatures"][0]["keyid"] = CI.public_key.keyid
    claim = read_envelope(json.dumps(found).encode(), KEYS)
    assert (claim.signed_by, claim.forged) == ("", True)


def test_an_envelope_without_a_signature_is_signed_by_nobody() -> None:
    claim = read_envelope(sealed(text_of(ONE).encode()), KEYS)
    assert (claim.signed_by, claim.signers, claim.forged) == ("", (), False)


def text_of(one: Record) -> str:
    return json.dumps(statement(one, raw(one)))


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a really signed envelope of a statement with a change."""
    said = statement(ONE, raw(ONE))
    change(said)
    return sealed(json.dumps(said).encode(), CI)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"payload": 1, "payloadType": 2, "signatures": 3}',
        envelope(ONE)[:-20],
        b" " * LARGEST_BYTES + envelope(ONE),
        envelope(ONE).replace(b'{"payload"', b'{"payload":"","payload"'),
        envelope(ONE).replace(b'"signatures":[', b'"signatures":["x",'),
        envelope(ONE).replace(b'"keyid":"', b'"keyid":7,"x":"'),
        json.dumps({**json.loads(envelope(ONE)), "signatures": json.loads(envelope(ONE))["signatures"] * 2}).encode(),
        sealed(text_of(ONE).encode(), CI, payload_type="application/json"),
        sealed(b"not json", CI),
        sealed(b"[]", CI),
        sealed(text_of(ONE).replace('"predicate":', '"predicate": {}, "predicate":').encode(), CI),
        sealed(text_of(ONE).replace("false", "NaN").encode(), CI),
        changed(lambda said: said.update(_type="https://in-toto.io/Statement/v0.1")),
        changed(lambda said: said.update(predicateType="https://slsa.dev/provenance/v1")),
        changed(lambda said: said.update(subject=said["subject"] * 2)),
        changed(lambda said: said.update(subject=[])),
        changed(lambda said: said["subject"][0].update(name=7)),
        changed(lambda said: said["subject"][0].update(digest={"sha512": "0"})),
        changed(lambda said: said["predicate"].update(configuration=said["predicate"]["configuration"] * 2)),
        changed(lambda said: said["predicate"].update(configuration=[])),
        changed(lambda said: said["predicate"]["configuration"][0]["annotations"].update(outcome="fine")),
        changed(lambda said: said["predicate"]["configuration"][0]["annotations"].update(endedAt="yesterday")),
        changed(lambda said: said["predicate"]["configuration"][0]["annotations"].update(endedAt="2026-11-21T12:00")),
    ],
)
def test_what_is_no_envelope_of_a_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_envelope(line, KEYS)


@given(st.integers(0, len(envelope(ONE)) - 2), st.integers(1, 255))
def test_no_byte_of_an_envelope_can_change_what_it_says(place: int, flip: int) -> None:
    line = bytearray(envelope(ONE))
    line[place] ^= flip
    try:
        claim = read_envelope(bytes(line), KEYS)
    except ValueError:
        return
    assert claim == read_envelope(envelope(ONE), KEYS) or not claim.signed_by


def test_fields_that_we_do_not_know_are_no_reason_to_refuse() -> None:
    """https://github.com/in-toto/attestation/blob/main/spec/v1/README.md#parsing-rules"""
    assert read_envelope(changed(lambda said: said["predicate"].update(surprise=1)), KEYS).signed_by


def test_what_is_bound_is_the_line_not_its_meaning() -> None:
    same = replace(ONE)
    spaced = json.dumps(json.loads(raw(same))).encode()
    assert statement(same, spaced) != statement(same, raw(same))


def test_nobody_who_does_not_sign_pays_for_cryptography() -> None:
    modules = "runbook_checks.cli, runbook_checks.report, runbook_checks.verify, runbook_checks.pytest_plugin"
    code = f"import {modules}, sys; sys.exit(bool({{'cryptography', 'securesystemslib'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
