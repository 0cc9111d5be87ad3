"""A proof of need as one line, and what it is worth: never more than it says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from records import NOW

from runbook_checks.model import Block, Card, Procedure, Role, Span
from runbook_checks.need import NEVER, Came, Proof, Standing, Trial, Tried, from_line, signed_as, to_line, worth
from runbook_checks.record import OtherSchemaError, Outcome, Service
from runbook_checks.store import Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.need import Need

STEP = Tried("make", "step", 7, proven=True, by="look", place="docs/p.md:12")
LOOK = Tried("look", "check", 12, proven=True, by="make", place="docs/p.md:7")
IDLE = Tried("idle", "step", 20, proven=False, reason="left out, and nothing noticed")


def proof(*blocks: Tried, age_h: float = 1, **changes: Any) -> Proof:
    ended = NOW - timedelta(hours=age_h)
    fields: dict[str, Any] = {
        "run": "r1",
        "procedure": "page/one",
        "page": "docs/page.md",
        "title": "One",
        "digest": "now",
        "environment": "staging",
        "started_at": ended.isoformat(),
        "ended_at": ended.isoformat(),
        "duration_s": 60.0,
        "commit": "abc",
        "dirty": False,
        "services": (Service("web", "1.0"),),
        "trials": (Trial("step", ("make",), Came.CAUGHT, "look", "docs/p.md:12", "é", ("look",), 2.0),),
        "blocks": blocks,
    }
    return Proof(**{**fields, **changes})


def written(*blocks: Tried, **reasons: str) -> Procedure:
    """Return a procedure that has these blocks, and reasons."""
    page = tuple(Block(one.id, Role(one.role), "bash", "", Span(one.line, one.line)) for one in blocks)
    return Procedure("docs/p.md", "one", "One", 1, Card(unproven=tuple(reasons.items())), page)


def need_of(*proofs: Proof, strict: bool = False, **reasons: str) -> Need:
    procedure = written(*max((one.blocks for one in proofs), key=len, default=()), **reasons)
    return worth(proofs, procedure, digest="now", now=NOW, strict=strict)


def judged(*proofs: Proof, strict: bool = False, **reasons: str) -> tuple[Standing, int, int]:
    need = need_of(*proofs, strict=strict, **reasons)
    return need.standing, need.proven, need.total


def test_a_line_is_read_as_it_was_written() -> None:
    written = proof(STEP, IDLE)
    line = to_line(written)
    assert from_line(line) == written
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("blocks", 0, "proven"), "yes"),
        (("blocks", 0, "line"), True),
        (("trials", 0, "came"), "fine"),
        (("trials", 0, "refused"), [1]),
        (("duration_s",), "1"),
        (("ended_at",), "2026-11-21T12:00:00"),
        (("ended_at",), "soon"),
        (("ended_at",), "0001-01-01T00:00:00+14:00"),
        (("started_at",), "9999-12-31T23:59:59-14:00"),
        (("duration_s",), float("nan")),
        (("more",), 1),
    ],
)
def test_what_is_no_proof_is_refused(path: tuple[str | int, ...], value: object) -> None:
    data = json.loads(to_line(proof(STEP)))
    part = data
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ValueError, match=r".") as caught:
        from_line(json.dumps(data))
    assert not isinstance(caught.value, OtherSchemaError)


@pytest.mark.parametrize("line", ["", "[]", "1", "{}", "{torn", '{"schema_version":1}'])
def test_a_torn_line_is_no_proof(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)


def test_no_proof_is_never_taken_for_one() -> None:
    assert judged() == (Standing.NEVER, 0, 0)
    assert judged(proof(STEP, age_h=-1)) == (Standing.NEVER, 0, 0), "it is dated in the future"
    assert judged(proof(STEP, dirty=True), strict=True) == (Standing.NEVER, 0, 0)
    assert judged(proof(STEP, dirty=True)) == (Standing.PROVEN, 1, 1)
    assert NEVER.standing is Standing.NEVER


@pytest.mark.parametrize(
    "named", [(STEP,), (), (STEP, IDLE, LOOK), (STEP, LOOK, LOOK), (STEP, IDLE, IDLE), (STEP, STEP)]
)
def test_a_proof_that_does_not_name_every_block_once_is_none(named: tuple[Tried, ...]) -> None:
    older = proof(STEP, LOOK, age_h=2)
    need = worth((older, proof(*named)), written(STEP, LOOK), digest="now", now=NOW, strict=False)
    assert (need.standing, need.doubt) == (Standing.NEVER, "it does not name the blocks that the procedure has")
    assert worth((older,), written(STEP, LOOK), digest="now", now=NOW, strict=False).standing is Standing.PROVEN


def test_only_what_is_proven_or_excepted_is_whole() -> None:
    assert judged(proof(STEP)) == (Standing.PROVEN, 1, 1)
    assert judged(proof(STEP, IDLE)) == (Standing.UNPROVEN, 1, 2)
    assert judged(proof(STEP, IDLE), idle="for show") == (Standing.PROVEN, 1, 2)
    assert judged(proof(STEP, IDLE), idle="for show", make="no idea") == (Standing.UNPROVEN, 1, 2)
    assert judged(proof()) == (Standing.NOTHING, 0, 0)


def test_a_proof_of_another_text_is_stale_and_the_newest_of_this_text_decides() -> None:
    other = proof(STEP, digest="then")
    assert judged(other) == (Standing.STALE, 1, 1)
    assert judged(proof(STEP, IDLE, age_h=3), other) == (Standing.UNPROVEN, 1, 2)
    assert judged(proof(STEP, age_h=3), proof(STEP, IDLE, age_h=2), other) == (Standing.UNPROVEN, 1, 2)
    assert judged(proof(STEP, digest="changed while it ran")) == (Standing.STALE, 1, 1)


def test_what_uncommitted_changes_could_not_prove_counts_when_strict_too() -> None:
    """As a failure does: an older proof from a clean tree is not the last word."""
    clean, dirty = proof(STEP, LOOK, age_h=3), replace(proof(STEP, replace(LOOK, proven=False)), dirty=True)
    assert judged(clean, dirty, strict=True) == (Standing.UNPROVEN, 1, 2)
    assert judged(clean, dirty, strict=True, look="for show") == (Standing.UNPROVEN, 2, 2), "needless: the clean one"
    assert judged(clean, replace(dirty, digest="then"), strict=True) == (Standing.PROVEN, 2, 2)
    assert judged(replace(dirty, digest="then"), strict=True) == (Standing.NEVER, 0, 0)


def test_blocks_have_the_ids_and_lines_that_the_page_gives_them_now() -> None:
    look = Tried("look", "check", 12, proven=True, by="make", place="docs/p.md:7")
    now = written(
        replace(STEP, id="made", line=8), replace(look, id="looked", line=14), replace(IDLE, line=30), idle="x"
    )
    need = worth([proof(STEP, look, IDLE)], now, digest="now", now=NOW, strict=False)
    assert need.proof is not None
    assert [(one.id, one.line, one.by, one.place) for one in need.proof.blocks] == [
        ("made", 8, "looked", "docs/p.md:14"),
        ("looked", 14, "made", "docs/p.md:8"),
        ("idle", 30, "", ""),
    ]
    assert need.standing is Standing.PROVEN


def test_a_signature_of_a_proof_speaks_of_no_run() -> None:
    assert signed_as(proof(STEP)).procedure == "page/one#need"
    assert signed_as(proof(STEP)).outcome is Outcome.PASSED
    assert signed_as(proof(STEP, IDLE)).outcome is Outcome.FAILED


def test_proofs_lie_beside_the_records_and_what_is_none_is_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    store.append_need(proof(STEP))
    path = store.need_path("staging", "page/one")
    assert path == tmp_path / "staging/page/one.need.jsonl"
    path.write_text('{"torn' + "\n" + path.read_text() + to_line(proof(procedure="page/other")))
    assert [one.proof for one in store.proofs("staging", "page/one") if not one.stray] == [proof(STEP)]
    assert "one.need.jsonl:1: skipped a line that is not a proof" in caplog.text
    assert "one.need.jsonl:3: skipped a proof of page/other" in caplog.text
    assert store.read("staging", "page/one") == ()


def test_a_procedure_whose_id_looks_like_the_file_of_a_proof_has_another_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.path("staging", "page/one.need") != store.need_path("staging", "page/one")
    assert store.path("staging", "page/one.need").name == "one%2Eneed.jsonl"


def test_a_proof_of_another_schema_version_is_an_error(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append_need(replace(proof(STEP), schema_version=2))
    with pytest.raises(StoreError, match=r"one\.need\.jsonl:1: schema version 2 of a proof is not 1"):
        store.proofs("staging", "page/one")
