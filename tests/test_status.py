"""What records say: absence of proof never looks green."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from records import DIGEST, NOW, record

from runbook_checks.record import CHANGED, Outcome, Record, kept_at
from runbook_checks.status import Judgement, Status, judge

DAY_S = 86400.0


def judged(*records: Record, **changes: Any) -> Judgement:
    return judge(records, **{"digest": DIGEST, "verify_every_s": 7 * DAY_S, "now": NOW, **changes})


def test_a_recent_pass_of_what_is_written_is_verified() -> None:
    judgement = judged(record())
    assert judgement.status is Status.VERIFIED
    assert judgement.verified_at == NOW - timedelta(hours=1)
    assert judgement.expires_at == NOW - timedelta(hours=1) + timedelta(days=7)


@pytest.mark.parametrize(
    ("records", "changes", "status", "reason"),
    [
        ((), {}, Status.UNVERIFIED, "never run"),
        ((record(outcome=Outcome.INTERRUPTED),), {}, Status.UNVERIFIED, "interrupted"),
        ((record(ended=NOW + timedelta(hours=1)),), {}, Status.UNVERIFIED, "future"),
        ((record(dirty=True),), {"strict": True}, Status.UNVERIFIED, "uncommitted"),
        ((record(),), {"digest": "sha256:2"}, Status.STALE, "no longer what is written"),
        ((record(ended=NOW - timedelta(days=7)),), {}, Status.EXPIRED, "too long ago"),
        ((record(outcome=Outcome.FAILED, reason="p:1: it broke"),), {}, Status.FAILED, "p:1: it broke"),
        ((record(outcome=Outcome.BLOCKED, reason="needs page/two"),), {}, Status.BLOCKED, "page/two"),
        (
            (record(outcome=Outcome.FAILED, reason="r\n- a"),),
            {"digest": "sha256:2"},
            Status.FAILED,
            "r; edited since\n- a",
        ),
    ],
)
def test_everything_else_is_not_green_and_says_why(
    records: tuple[Record, ...], changes: dict[str, Any], status: Status, reason: str
) -> None:
    judgement = judged(*records, **changes)
    assert judgement.status is status
    assert reason in judgement.reason


def test_a_failure_after_a_pass_wins_and_the_pass_is_still_dated() -> None:
    passed, failed = record(ended=NOW - timedelta(days=1)), record(outcome=Outcome.FAILED)
    judgement = judged(passed, failed)
    assert (judgement.status, judgement.record) == (Status.FAILED, failed)
    assert judgement.verified_at == NOW - timedelta(days=1)


def test_a_failure_from_a_dirty_tree_counts_even_when_strict() -> None:
    clean, dirty = record(ended=NOW - timedelta(days=1)), record(outcome=Outcome.FAILED, dirty=True)
    assert judged(clean, dirty, strict=True).status is Status.FAILED


def test_an_older_clean_pass_carries_a_strict_judgement() -> None:
    clean, dirty = record(ended=NOW - timedelta(days=1)), record(dirty=True)
    judgement = judged(clean, dirty, strict=True)
    assert (judgement.status, judgement.record) == (Status.VERIFIED, clean)


def test_a_pass_from_a_dirty_tree_says_so() -> None:
    assert judged(record(dirty=True)).reason == "from a tree with uncommitted changes"


def test_an_interrupted_run_changes_nothing() -> None:
    assert judged(record(ended=NOW - timedelta(days=1)), record(outcome=Outcome.INTERRUPTED)).status is Status.VERIFIED


def test_a_pass_dated_in_the_future_does_not_hide_a_failure() -> None:
    assert judged(record(outcome=Outcome.FAILED), record(ended=NOW + timedelta(days=1))).status is Status.FAILED


@pytest.mark.parametrize("ahead_s", [0, 1, 240, 300])
def test_a_pass_by_a_clock_that_is_ahead_does_not_hide_a_failure_of_now(ahead_s: float) -> None:
    passed, failed = record(ended=NOW + timedelta(seconds=ahead_s)), record(outcome=Outcome.FAILED, ended=NOW)
    assert judged(passed, failed).status is Status.FAILED
    assert judged(passed, record(outcome=Outcome.FAILED, ended=NOW - timedelta(hours=1))).status is Status.VERIFIED


@pytest.mark.parametrize("worse", [Outcome.BLOCKED, Outcome.FAILED])
def test_of_runs_that_ended_together_the_worse_counts(worse: Outcome) -> None:
    records = record(), record(outcome=worse)
    assert judged(*records).status is judged(*reversed(records)).status is Status(worse.value)


def test_a_pass_whose_files_changed_while_it_ran_is_stale_and_says_so() -> None:
    judgement = judged(record(digest=CHANGED, reason=f"{CHANGED}: p.md"))
    assert (judgement.status, judgement.reason) == (Status.STALE, f"{CHANGED}: p.md")
    assert (judgement.verified_at, judgement.expires_at, judgement.proven) == (None, None, None)


def test_a_pass_that_proves_nothing_does_not_date_the_last_proof() -> None:
    proof = record(ended=NOW - timedelta(days=6))
    judgement = judged(proof, record(digest=CHANGED, reason=f"{CHANGED}: p.md"))
    assert judgement.status is Status.STALE
    assert (judgement.verified_at, judgement.proven) == (NOW - timedelta(days=6), proof)


def kept_after(one: Record, other: Record) -> Record:
    """Return a record as it is kept after another one that is dated later."""
    return replace(one, no_earlier_than=(kept_at(other) + timedelta(milliseconds=1)).isoformat())


PASSED = record(ended=NOW - timedelta(hours=2))
BROKE = record(outcome=Outcome.FAILED, reason="p:1: it broke", ended=NOW - timedelta(hours=5))


@pytest.mark.parametrize("worse", [Outcome.BLOCKED, Outcome.FAILED])
def test_a_failure_by_a_clock_that_was_put_back_is_not_hidden_by_the_pass_before_it(worse: Outcome) -> None:
    failed = kept_after(replace(BROKE, outcome=worse), PASSED)
    for records in ((PASSED, failed), (failed, PASSED)):  # merged evidence has no order
        judgement = judged(*records)
        assert judgement.status is Status(worse.value)
        assert judgement.record == failed
        assert judgement.verified_at == NOW - timedelta(hours=2)
        assert judgement.reason.startswith("p:1: it broke\n(dated before the last pass, but kept after it:")


def test_merged_evidence_goes_by_its_dates() -> None:
    for records in ((PASSED, BROKE), (BROKE, PASSED)):
        assert judged(*records).status is Status.VERIFIED


def test_a_pass_ends_a_failure_only_when_it_is_both_dated_and_kept_later() -> None:
    failed = kept_after(BROKE, PASSED)
    put_back = kept_after(record(ended=NOW - timedelta(hours=4)), failed)
    right = record(ended=NOW - timedelta(hours=1))
    assert judged(PASSED, failed, put_back).status is Status.FAILED
    assert judged(PASSED, failed, put_back, right).status is Status.VERIFIED
    assert judged(record(outcome=Outcome.FAILED, ended=NOW - timedelta(hours=2)), put_back).status is Status.FAILED


def test_beside_a_record_dated_far_ahead_failures_count_and_a_pass_ends_them() -> None:
    nonsense = record(ended=NOW + timedelta(days=20_000))
    passed = kept_after(PASSED, nonsense)
    failed = kept_after(BROKE, passed)
    mended = kept_after(record(), failed)
    assert judged(nonsense, passed).status is Status.VERIFIED
    assert judged(nonsense, passed, failed).status is Status.FAILED
    assert judged(nonsense, passed, failed, mended).status is Status.VERIFIED


def test_what_the_newest_run_was_is_said_and_not_that_there_was_no_other() -> None:
    runs = (record(dirty=True, ended=NOW - timedelta(days=1)), record(outcome=Outcome.INTERRUPTED))
    assert judged(*runs, strict=True).reason == "its newest run was interrupted"


def test_a_small_clock_skew_between_machines_is_no_future() -> None:
    assert judged(record(ended=NOW + timedelta(minutes=1))).status is Status.VERIFIED
