"""A condensed procedure says what the whole one says, and keeps less."""

from __future__ import annotations

import tracemalloc
from dataclasses import fields, replace
from pathlib import Path

import pytest

from runbook_checks.catalog import load
from runbook_checks.condensed import Condensed
from runbook_checks.model import Block, Card, Procedure, Role, Span, is_drill

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs/operations").rglob("*.md"))
DRILL = Procedure(
    "docs/a.md",
    "b",
    "B",
    1,
    Card(),
    (Block("f", Role.FAULT, "bash", "exit\n", Span(3, 5), environment="staging"),),
    source="```bash {.fault}\nexit\n```\n",
)


def test_a_condensed_catalog_says_of_each_procedure_what_the_whole_one_says() -> None:
    whole, condensed = load(ROOT, PAGES), load(ROOT, PAGES, condensed=True)
    assert len(whole.procedures) == len(condensed.procedures) > 50
    for one, other in zip(whole.procedures, condensed.procedures, strict=True):
        assert isinstance(other, Condensed)
        assert {each.name: getattr(one, each.name) for each in fields(Procedure)} == {
            each.name: getattr(other, each.name) for each in fields(Procedure)
        }
        assert other.source


def test_what_is_asked_of_it_is_answered_without_its_blocks_where_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    condensed = Condensed.of(DRILL)
    monkeypatch.setattr("runbook_checks.condensed._unpacked", lambda _: pytest.fail("it was unpacked"))
    assert (condensed.id, condensed.node_id) == ("a/b", "docs/a.md::b")
    assert is_drill(condensed, "staging")
    assert not is_drill(condensed, "production")


def test_one_with_other_blocks_can_be_made_of_it() -> None:
    fewer = replace(Condensed.of(DRILL), blocks=())
    assert fewer.blocks == ()
    assert fewer.roles == frozenset()
    assert fewer.source == DRILL.source


def test_it_has_no_other_attributes_than_the_whole_one() -> None:
    with pytest.raises(AttributeError, match="block"):
        _ = Condensed.of(DRILL).block


def test_it_keeps_a_third_of_the_memory_at_most() -> None:
    assert _kept_bytes(condensed=True) < _kept_bytes(condensed=False) / 3


def _kept_bytes(*, condensed: bool) -> int:
    tracemalloc.start()
    try:
        catalog = load(ROOT, PAGES, condensed=condensed)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert catalog.procedures
    return kept
