"""Every way to make a proof of need look better than it is, and that it does not work."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from records import NOW
from signatures import CI, KEYS, OTHER, rewrite
from test_need import IDLE, LOOK, STEP, proof, written

from runbook_checks.need import Standing, signed_as, to_line, worth
from runbook_checks.signing import sign
from runbook_checks.store import Store
from runbook_checks.trust import Worth, believe_need, examine_need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runbook_checks.need import Need, Proof

AT = ("staging", "page/one")
GOOD = proof(STEP, LOOK, age_h=5)
BAD = proof(STEP, replace(LOOK, proven=False, reason="never refused anything"), age_h=1, run="r2")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def keep(store: Store, *proofs: Proof, signer: Any = CI) -> None:
    for one in proofs:
        line = to_line(one).encode().removesuffix(b"\n")
        store.append_need(one, sign(signed_as(one), line, signer) if signer else b"")


def need_of(store: Store, keys: Sequence[Any] = KEYS) -> Need:
    proofs, doubt, _ = believe_need(store, *AT, keys)
    return worth(proofs, written(STEP, LOOK), digest="now", now=NOW, strict=False, doubt=doubt)


def without(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: number - 1] + lines[number:]))


def test_the_newest_signed_proof_decides(store: Store) -> None:
    keep(store, GOOD)
    assert need_of(store).standing is Standing.PROVEN
    keep(store, BAD)
    assert need_of(store).standing is Standing.UNPROVEN
    assert believe_need(store, *AT, KEYS)[2] == ()


def test_a_bad_proof_that_was_deleted_brings_no_older_good_one_back(store: Store) -> None:
    keep(store, GOOD, BAD)
    without(store.need_path(*AT), 2)
    need = need_of(store)
    assert (need.standing, need.doubt) == (
        Standing.NEVER,
        "a newer proof, which was not whole, is gone or was changed",
    )
    (forged,) = believe_need(store, *AT, KEYS)[2]
    assert forged.startswith(f"{store.need_signatures_path(*AT)}:2: ")
    assert "was signed as failed, and its record is gone or changed" in forged


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"proven":false', '"proven":true'),
        ('"digest":"now"', '"digest":"then"'),
        ("page/one", "page/two"),
        ('"ended_at":"', '"ended_at":"torn'),
    ],
)
def test_nor_does_one_that_was_edited_away(store: Store, old: str, new: str) -> None:
    keep(store, BAD)
    rewrite(store.need_path(*AT), old, new)
    keep(store, GOOD)
    assert need_of(store).proven == 0


def test_a_newer_good_proof_stands_whatever_is_gone_before_it(store: Store) -> None:
    keep(store, BAD, replace(GOOD, ended_at=NOW.isoformat()))
    without(store.need_path(*AT), 1)
    assert need_of(store).standing is Standing.PROVEN


def test_a_bad_proof_of_another_text_that_is_gone_says_nothing_of_this_one(store: Store) -> None:
    keep(store, GOOD, replace(BAD, digest="then"))
    without(store.need_path(*AT), 2)
    assert need_of(store).standing is Standing.PROVEN


def test_one_deleted_with_its_signature_cannot_be_seen(store: Store) -> None:
    keep(store, GOOD, BAD)
    without(store.need_path(*AT), 2)
    without(store.need_signatures_path(*AT), 2)
    assert need_of(store).standing is Standing.PROVEN


def test_a_lost_proof_that_a_stranger_signed_says_nothing(store: Store) -> None:
    keep(store, GOOD)
    keep(store, BAD, signer=OTHER)
    without(store.need_path(*AT), 2)
    assert need_of(store).standing is Standing.PROVEN


@pytest.mark.parametrize(
    ("signer", "edit", "worth_is"),
    [
        (CI, ("", ""), Worth.SIGNED),
        (None, ("", ""), Worth.UNSIGNED),
        (OTHER, ("", ""), Worth.UNSIGNED),
        (CI, ('"duration_s":60.0', '"duration_s":61.0'), Worth.REFUSED),
        (CI, ("page/one", "page/two"), Worth.REFUSED),
    ],
)
def test_a_proof_is_examined_as_a_record_is(store: Store, signer: Any, edit: tuple[str, str], worth_is: Worth) -> None:
    keep(store, proof(STEP, IDLE), signer=signer)
    rewrite(store.need_path(*AT), *edit)
    (verdict, *_) = examine_need(store, *AT, KEYS).verdicts
    assert (verdict.worth, verdict.place) == (worth_is, f"{store.need_path(*AT)}:1")
