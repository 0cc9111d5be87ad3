"""The proof of need on the evidence page: what noticed what, and never a word that looks better than it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from test_need import IDLE, STEP, need_of, proof
from test_site_badges import entry
from test_site_evidence import page_of, words

from runbook_checks.documents import need_document
from runbook_checks.need import NEVER, Tried
from runbook_checks.tables import status_table

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.need import Need

LOOK = Tried("look", "check", 12, proven=True, by="make", place="docs/p.md:7")


def told(folder: Path, need: Need) -> str:
    return words(page_of(folder, replace(entry(), need=need))).partition("Proof of need ")[2]


@pytest.mark.parametrize(
    ("need", "said"),
    [
        (need_of(proof(STEP, LOOK)), "2 of 2 proven, 2026-11-21 11:00 UTC ."),
        (need_of(proof(STEP, IDLE), idle="for show"), "1 of 2 proven, and 1 with a written reason why not, 2026-11-21"),
        (need_of(proof(STEP, IDLE)), "Only 1 of 2 proven, 2026-11-21"),
        (need_of(proof(STEP), make="x"), "1 of 1 proven, and the card still gives a reason why some of them are not"),
        (need_of(proof(STEP, digest="then")), "Out of date: 1 of 1 were proven, and something has changed since"),
        (need_of(proof()), "Nothing to leave out: it has no step, no rollback and no trouble, 2026"),
        (need_of(proof(STEP, dirty=True)), "1 of 1 proven, 2026-11-21 11:00 UTC . uncommitted changes"),
        (NEVER, "Never tried."),
        (
            need_of(proof(STEP, age_h=-5)),
            "Never tried: it is from a tree with uncommitted changes, or dated in the future.",
        ),
    ],
)
def test_the_sentence_is_no_better_than_the_proof(tmp_path: Path, need: Need, said: str) -> None:
    assert told(tmp_path, need).startswith(said)


def test_the_table_says_what_noticed_what(tmp_path: Path) -> None:
    text = told(tmp_path, need_of(proof(STEP, LOOK, IDLE), idle="for <b>show"))
    assert "step make its absence was noticed by look" in text
    assert "check look refused without make" in text
    assert "step idle not proven : left out, and nothing noticed. The reason that the card gives: for <b>show" in text
    assert "<b>show" not in page_of(tmp_path, replace(entry(), need=need_of(proof(IDLE), idle="for <b>show")))


def test_the_document_and_the_table_say_the_same() -> None:
    assert need_document(NEVER) is None
    document = need_document(need_of(proof(STEP, IDLE), idle="for show"))
    assert document is not None
    assert (document["standing"], document["proven"], document["total"]) == ("proven", 1, 2)
    assert document["excepted"] == [{"id": "idle", "line": 20, "reason": "for show"}]
    one = entry()
    assert [column.header for column in status_table([one]).columns] == ["status", "procedure", "verified (UTC)", "why"]
    needs = [need_of(proof(STEP)), need_of(proof(IDLE)), need_of(proof(STEP, digest="then")), need_of(proof()), NEVER]
    column = status_table([replace(one, need=need) for need in needs]).columns[3]
    assert (column.header, [str(cell) for cell in column.cells]) == ("need", ["1/1", "0/1 !", "stale", "-", "never"])
