"""Every way to make a record look better than it is, and that it does not work."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import DIGEST, NOW, record
from signatures import CI, KEYS, OTHER, envelope, keep, raw, rewrite, sealed

from runbook_checks.record import Evidence, Outcome, Record
from runbook_checks.signing import LARGEST_BYTES, short, statement
from runbook_checks.status import Judgement, Status, judge, told
from runbook_checks.store import Store, StoreError
from runbook_checks.trust import Worth, believe, examine, why_newest_is_refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from securesystemslib.signer import SSlibKey

DAY = timedelta(days=1)
AT = ("staging", "page/one")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def worths(store: Store, keys: Sequence[SSlibKey] = KEYS) -> list[tuple[Worth, str]]:
    return [(each.worth, each.reason) for each in examine(store, *AT, keys).verdicts]


def judged(store: Store, keys: Sequence[SSlibKey] = KEYS, **changes: Any) -> Judgement:
    """Return the status as a report has it."""
    evidence, _ = believe(store, *AT, keys)
    records = [one.record for one in evidence if not one.refused]
    arguments: dict[str, Any] = {"digest": DIGEST, "verify_every_s": 7 * DAY.total_seconds(), "now": NOW, **changes}
    return told(judge(records, **arguments), why_newest_is_refused(evidence))


def refused(store: Store) -> str:
    """Return why the only record, a pass, is refused; it must leave the status unverified."""
    judgement = judged(store)
    assert (judgement.status, judgement.verified_at) == (Status.UNVERIFIED, None)
    (one,) = (one for one in believe(store, *AT, KEYS)[0] if one.record.outcome is Outcome.PASSED)
    assert judgement.reason == one.refused
    return one.refused


def test_a_signed_pass_counts_and_says_by_whom(store: Store) -> None:
    keep(store, record())
    assert believe(store, *AT, KEYS) == ((Evidence(record(), short(CI.public_key.keyid)),), ())
    assert (judged(store).status, judged(store).reason) == (Status.VERIFIED, "")


def test_who_trusts_no_key_takes_every_record_and_reads_no_signature(store: Store) -> None:
    keep(store, record(), signer=None)
    store.signatures_path(*AT).mkdir()  # reading it would raise
    assert believe(store, *AT, ()) == ((Evidence(record()),), ())


def test_a_pass_that_is_not_signed_counts_for_nothing(store: Store) -> None:
    keep(store, record(), signer=None)
    assert refused(store) == "its pass is not signed by a trusted key"
    assert believe(store, *AT, KEYS)[1] == ()  # it is not forged: nobody said that it was signed


def test_a_pass_that_somebody_else_signed_counts_for_nothing(store: Store) -> None:
    keep(store, record(), signer=OTHER)
    assert refused(store) == f"its pass is signed by an unknown key ({short(OTHER.public_key.keyid)})"
    assert worths(store, ())[0][0] is Worth.UNSIGNED


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.BLOCKED])
@pytest.mark.parametrize("signer", [None, OTHER])
def test_a_failure_counts_whoever_signed_it(store: Store, outcome: Outcome, signer: Any) -> None:
    keep(store, record(ended=NOW - DAY))
    keep(store, record(outcome=outcome, reason="it broke"), signer=signer)
    assert judged(store).status is Status(outcome.value)


def test_an_older_signed_pass_carries_and_the_refused_one_is_told(store: Store) -> None:
    keep(store, record(ended=NOW - DAY))
    keep(store, record(run="r2"), signer=None)
    judgement = judged(store)
    assert (judgement.status, judgement.verified_at) == (Status.VERIFIED, NOW - DAY)
    assert judgement.reason == "a newer run does not count: its pass is not signed by a trusted key"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"stdout":"\\u00e9\\u0000\\n"', '"stdout":"all is well"'),
        ('"duration_s":2.0', '"duration_s":1.0'),
        (f'"digest":"{DIGEST}"', '"digest":"sha256:2"'),
        ('"commit":"abc"', '"commit":"abd"'),
        ('"dirty":false', '"dirty": false'),  # the same record in other bytes
        ('"page":"docs/page.md"', '"page":"docs/page.md","page":"docs/page.md"'),  # a key that stands twice
    ],
)
def test_an_edited_record_is_refused(store: Store, old: str, new: str) -> None:
    keep(store, record())
    rewrite(store.path(*AT), old, new)
    assert refused(store) == "the record was changed after it was signed"
    (told_of,) = believe(store, *AT, KEYS)[1]
    assert told_of == f"{store.path(*AT)}:1: the record was changed after it was signed"


def test_an_edited_record_of_another_run_is_one_that_nobody_signed(store: Store) -> None:
    keep(store, record())
    rewrite(store.path(*AT), '"run":"r1"', '"run":"r2"')
    assert refused(store) == "its pass is not signed by a trusted key"
    assert [worth for worth, _ in worths(store)] == [Worth.UNSIGNED, Worth.REFUSED]  # the signed one is missing


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.BLOCKED])
@pytest.mark.parametrize("new", ["passed", "interrupted"])
def test_a_signed_failure_that_was_edited_away_still_is_one(store: Store, outcome: Outcome, new: str) -> None:
    keep(store, record(run="r0", ended=NOW - DAY), record(outcome=outcome))
    rewrite(store.path(*AT), f'"outcome":"{outcome.value}","reason"', f'"outcome":"{new}","reason"')
    assert judged(store).status is Status(outcome.value)
    assert "its record is gone or changed" in judged(store).reason


@pytest.mark.parametrize("cover", [None, record(outcome=Outcome.FAILED, ended=NOW - 3 * DAY)])
def test_a_signed_failure_that_was_deleted_still_is_one(store: Store, cover: Record | None) -> None:
    """Nor does another failure of the same run, made up and dated before the pass, take its place."""
    keep(store, record(run="r0", ended=NOW - DAY), record(outcome=Outcome.FAILED))
    path = store.path(*AT)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    if cover is not None:
        keep(store, cover, signer=None)
    assert judged(store).status is Status.FAILED
    assert any("was signed as failed, and its record is gone" in reason for _, reason in worths(store)) or cover


@pytest.mark.parametrize("gone", [False, True])
def test_a_signed_failure_by_a_clock_that_was_put_back_still_is_one(store: Store, gone: bool) -> None:  # noqa: FBT001
    failed = replace(record(outcome=Outcome.FAILED, ended=NOW - 2 * DAY), no_earlier_than=(NOW - DAY / 2).isoformat())
    keep(store, record(run="r0", ended=NOW - DAY), failed)
    if gone:
        path = store.path(*AT)
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert judged(store).status is Status.FAILED


def test_a_failure_deleted_with_its_signature_cannot_be_seen_and_expiry_bounds_that(store: Store) -> None:
    keep(store, record(run="r0", ended=NOW - DAY), record(outcome=Outcome.FAILED))
    for path in (store.path(*AT), store.signatures_path(*AT)):
        path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert judged(store).status is Status.VERIFIED
    assert judged(store, now=NOW + 7 * DAY).status is Status.EXPIRED


def test_a_pass_of_an_older_digest_is_signed_and_stale(store: Store) -> None:
    keep(store, record(digest="sha256:older"))
    assert judged(store).status is Status.STALE


def test_the_figures_of_a_failure_that_is_not_signed_are_no_measurements(store: Store) -> None:
    keep(store, record(outcome=Outcome.FAILED), signer=None)
    assert (judged(store).status, judged(store).record) == (
        Status.FAILED,
        record(outcome=Outcome.FAILED, figures=()),
    )
    keep(store, record(outcome=Outcome.FAILED, run="r2", ended=NOW))
    assert judged(store).record == record(outcome=Outcome.FAILED, run="r2", ended=NOW)


@pytest.mark.parametrize(
    ("theirs", "name"), [({"procedure": "page/two"}, "page/two@staging"), ({"environment": "lab"}, "page/one@lab")]
)
def test_a_record_copied_from_elsewhere_is_refused(store: Store, theirs: dict[str, str], name: str) -> None:
    """With its signature, as it is or with its name changed."""
    other = record(**theirs)
    store.path(*AT).parent.mkdir(parents=True)
    store.path(*AT).write_bytes(raw(other))
    store.signatures_path(*AT).write_bytes(envelope(other))
    assert judged(store).status is Status.UNVERIFIED
    assert worths(store) == [(Worth.REFUSED, f"a record of {name} was put here")]
    store.path(*AT).write_bytes(raw(record()))
    assert refused(store) == f"its signature is of {name}"


def test_swapped_digests_are_refused(store: Store) -> None:
    old, new = record(run="r0", digest="sha256:older", ended=NOW - DAY), record(outcome=Outcome.FAILED)
    keep(store, old, new)
    rewrite(store.path(*AT), '"sha256:older"', f'"{DIGEST}"')
    assert worths(store)[0] == (Worth.REFUSED, "the record was changed after it was signed")
    assert judged(store).verified_at is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"procedure": "page/two"}, "its signature is of page/two@staging"),
        ({"digest": "sha256:2"}, "its signature is of another digest"),
        ({"outcome": Outcome.FAILED}, "its signature is of a run that failed"),
    ],
)
def test_a_trusted_signature_that_speaks_of_something_else_is_refused(
    store: Store, said: dict[str, Any], reason: str
) -> None:
    keep(store, record(), signer=None)
    line = sealed(json.dumps(statement(record(**said), raw(record()))).encode(), CI)
    store.append_signature(record(), line + b"\n")
    assert refused(store) == reason
    store.append_signature(record(), envelope(record()))  # a right one beside it is enough
    assert judged(store).status is Status.VERIFIED


def test_a_signature_that_does_not_hold_is_refused(store: Store) -> None:
    keep(store, record(), signer=OTHER)
    rewrite(store.signatures_path(*AT), OTHER.public_key.keyid, CI.public_key.keyid)
    assert refused(store) == "its signature is not valid"


def test_stripped_signatures_leave_an_unsigned_record(store: Store) -> None:
    keep(store, record())
    found = json.loads(store.signatures_path(*AT).read_text())
    store.signatures_path(*AT).write_text(json.dumps({**found, "signatures": []}))
    assert refused(store) == "its pass is not signed by a trusted key"
    store.signatures_path(*AT).unlink()
    assert refused(store) == "its pass is not signed by a trusted key"


def test_of_several_envelopes_one_that_is_trusted_is_enough(store: Store) -> None:
    keep(store, record(), signer=OTHER)
    broken = envelope(record()).replace(b'"sig":"', b'"sig":"AAAA')
    for line in (broken, envelope(record()), envelope(record())):
        store.append_signature(record(), line)
    assert [worth for worth, _ in worths(store)] == [Worth.SIGNED]


@pytest.mark.parametrize("procedure", ["page/о\u0301ne", "page/ｏne", "page/One", "page/one\u200b", "page/one@staging"])  # noqa: RUF001
def test_names_that_look_alike_are_not_the_same(store: Store, procedure: str) -> None:
    keep(store, record(procedure=procedure))
    lookalike = store.path("staging", procedure)
    store.path(*AT).parent.mkdir(parents=True, exist_ok=True)
    store.path(*AT).write_bytes(lookalike.read_bytes())
    store.signatures_path(*AT).write_bytes(store.signatures_path("staging", procedure).read_bytes())
    assert judged(store).status is Status.UNVERIFIED
    assert worths(store)[0][0] is Worth.REFUSED


def test_a_torn_or_huge_line_of_signatures_costs_only_itself(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    keep(store, record())
    path = store.signatures_path(*AT)
    whole = path.read_bytes()
    path.write_bytes(whole[:50] + b"\n\n" + b"x" * (LARGEST_BYTES + 1) + b"\n" + whole[:70])
    store.append_signature(record(), whole)
    with caplog.at_level(logging.WARNING):
        assert judged(store).status is Status.VERIFIED
    assert [f"{path}:{number}: skipped a line that is no signature" in caplog.text for number in (1, 3, 4)] == [
        True
    ] * 3


def test_merging_by_concatenation_works_and_duplicates_are_harmless(tmp_path: Path) -> None:
    here, there, both = Store(tmp_path / "a"), Store(tmp_path / "b"), Store(tmp_path / "c")
    keep(here, record(run="a", ended=NOW - DAY))
    keep(there, record(run="b"))
    for path in (both.path(*AT), both.signatures_path(*AT)):
        path.parent.mkdir(parents=True, exist_ok=True)
        name = path.relative_to(both.root)
        path.write_bytes(b"".join((one.root / name).read_bytes() for one in (here, there, here)))
    assert [worth for worth, _ in worths(both)] == [Worth.SIGNED] * 3
    assert judged(both).verified_at == NOW - timedelta(hours=1)


def test_two_keys_are_trusted_while_one_replaces_the_other(store: Store) -> None:
    keep(store, record(ended=NOW - DAY), signer=OTHER)
    keep(store, record(run="r2"))
    both = (*KEYS, OTHER.public_key)
    assert [one.signed_by for one in believe(store, *AT, both)[0]] == [
        short(OTHER.public_key.keyid),
        short(CI.public_key.keyid),
    ]


def test_a_file_of_signatures_that_cannot_be_read_is_an_error(store: Store) -> None:
    keep(store, record(), signer=None)
    store.signatures_path(*AT).mkdir()
    with pytest.raises(StoreError, match="could not be read"):
        examine(store, *AT, KEYS)


@settings(max_examples=300)
@given(place=st.integers(0, len(raw(record())) - 1), byte=st.integers(0, 255), data=st.data())
def test_no_byte_of_a_signed_record_can_be_changed(store: Store, place: int, byte: int, data: st.DataObject) -> None:
    """Put in the place of another, inserted, or taken away."""
    line = raw(record())
    changed = data.draw(
        st.sampled_from(
            [
                line[:place] + bytes([byte]) + line[place + 1 :],
                line[:place] + bytes([byte]) + line[place:],
                line[:place] + line[place + 1 :],
            ]
        )
    )
    store.path(*AT).parent.mkdir(parents=True, exist_ok=True)
    store.path(*AT).write_bytes(changed + b"\n")
    store.signatures_path(*AT).write_bytes(envelope(record()))
    same = changed.strip(b"\n") == line
    try:
        assert (judged(store).status is Status.VERIFIED) is same
        assert any(worth is Worth.REFUSED for worth, _ in worths(store)) is not same
    except StoreError:  # another schema version: nothing is judged at all
        assert not same
