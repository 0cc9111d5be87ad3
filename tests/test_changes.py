"""What has changed since a procedure was proven, in a reader's words, and as a diff that nobody drowns in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import record

from runbook_checks.changes import DIFF_CHARACTERS, Change, Changes, How, Sign, changes, in_words
from runbook_checks.markdown import scan
from runbook_checks.record import CHANGED, BlockRecord, Outcome

if TYPE_CHECKING:
    from runbook_checks.model import Procedure

PARTS = {
    "card": "1",
    "block first": "2",
    "block second": "3",
    "file scripts/a.sh": "4",
    "needs page/base": "5",
    "language sql": "6",
    "environment variables": "7",
    "stack deployment/a.py": "8",
}


def procedure(*blocks: str) -> Procedure:
    page = "---\nrunbook: {}\n---\n\n## One {#one}\n\n" + "\n".join(
        f"```bash {{.check #{block}}}\necho {block}\n```\n" for block in blocks
    )
    runbook = scan(page, "docs/page.md").runbook
    assert runbook is not None
    return runbook.procedures[0]


def parts_of(now: dict[str, str], then: dict[str, str] = PARTS) -> tuple[Change, ...]:
    found = changes(record(parts=tuple(then.items())), procedure("first"), tuple(now.items()), record().source)
    assert found.complete
    return found.parts


def test_nothing_has_changed_when_all_parts_are_the_same() -> None:
    assert changes(record(parts=tuple(PARTS.items())), procedure("first"), PARTS.items(), record().source) == Changes()


@pytest.mark.parametrize(
    ("part", "kind", "name"),
    [
        ("card", "the card", ()),
        ("block first", "block", ("first",)),
        ("file scripts/a.sh", "file", ("scripts/a.sh",)),
        ("needs page/base", "needed procedure", ("page/base",)),
        ("language sql", "the command for language", ("sql",)),
        ("environment variables", "the environment", ("variables",)),
        ("stack deployment/a.py", "the stack", ("deployment/a.py",)),
    ],
)
def test_what_changed_came_or_went_is_named(part: str, kind: str, name: tuple[str, ...]) -> None:
    without = {key: value for key, value in PARTS.items() if key != part}
    assert parts_of({**PARTS, part: "x"}) == (Change(How.CHANGED, kind, name),)
    assert parts_of(without) == (Change(How.REMOVED, kind, name),)
    assert parts_of(PARTS, then=without) == (Change(How.ADDED, kind, name),)


def test_of_many_files_the_first_are_named_and_the_others_counted() -> None:
    files = {f"stack deployment/{number}.py": "1" for number in range(9)}
    told = Change(How.ADDED, "the stack", tuple(f"deployment/{number}.py" for number in range(4)), more=5)
    assert parts_of({**PARTS, **files}) == (told,)


def test_a_file_of_the_stack_that_a_block_names_too_is_told_once() -> None:
    both = {**PARTS, "file deployment/a.py": "8"}
    now = {**both, "file deployment/a.py": "x", "stack deployment/a.py": "x"}
    assert parts_of(now, then=both) == (Change(How.CHANGED, "file", ("deployment/a.py",)),)


def test_a_block_that_only_got_another_number_has_not_changed() -> None:
    then = {"block a-step-1": "1", "block a-step-2": "2"}
    now = {"block a-step-1": "new", "block a-step-2": "1", "block a-step-3": "2"}
    assert parts_of(now, then) == (Change(How.ADDED, "block", ("a-step-1",)),)


def test_blocks_in_another_order_are_told() -> None:
    now = {"block second": "3", "block first": "2"}
    assert parts_of(now, {"block first": "2", "block second": "3"}) == (Change(How.CHANGED, "the order of the blocks"),)


def test_a_short_list_says_each_thing_once_and_stops_after_a_few() -> None:
    assert in_words([]) == ""
    files = [Change(How.ADDED, "files", ("a", "b"), more=3), Change(How.REMOVED, "file", ("c",))]
    stack = [Change(How.CHANGED, "the stack", ("a",)), Change(How.ADDED, "the stack", ("b",))]
    assert in_words([*files, *stack]) == "5 new files, file c removed, the stack"
    blocks = [Change(How.CHANGED, "block", (name,)) for name in "abcde"]
    assert in_words(blocks) == "block a, block b, block c, block d and more"


def test_a_diff_has_the_changed_lines_with_a_few_around_them() -> None:
    then = "\n".join(f"line {number}" for number in range(40))
    now = then.replace("line 9\n", "line nine\n").replace("line 30\n", "")
    found = changes(record(source=then), procedure("b"), record().parts, now)
    assert [f"{line.sign.value}{line.text}" for line in found.diff] == [
        *(" line 7", " line 8", "-line 9", "+line nine", " line 10", " line 11"),
        "…",
        *(" line 28", " line 29", "-line 30", " line 31", " line 32"),
    ]


@settings(max_examples=50)
@given(st.text(), st.text())
def test_a_diff_turns_one_text_into_the_other_whatever_is_in_them(then: str, now: str) -> None:
    found = changes(record(source=then), procedure("b"), record().parts, now)
    assert found.diff_cut == 0
    removed = [line.text for line in found.diff if line.sign is Sign.REMOVED]
    added = [line.text for line in found.diff if line.sign is Sign.ADDED]
    assert set(removed) <= set(then.splitlines())
    assert set(added) <= set(now.splitlines())
    assert bool(found.diff) == (then.splitlines() != now.splitlines())


def test_a_huge_diff_is_cut_and_says_how_much_is_left_out() -> None:
    then, now = ("\n".join(f"{word} {number}" for number in range(5000)) for word in ("old", "new"))
    found = changes(record(source=then), procedure("b"), record().parts, now)
    assert sum(len(line.text) for line in found.diff) <= DIFF_CHARACTERS
    assert len(found.diff) + found.diff_cut == 4000
    one_line = changes(record(source="x" * 9000), procedure("b"), record().parts, "y" * 9000)
    assert (one_line.diff, one_line.diff_cut) == ((), 2)


def test_an_old_record_tells_which_commands_changed_and_that_it_knows_no_more() -> None:
    block = BlockRecord("first", "check", "bash", 7, "echo first\n", Outcome.PASSED)
    old = record(schema_version=1, source="", parts=(), blocks=(block, replace(block, id="then", command="true\n")))
    found = changes(old, procedure("first", "second"), PARTS.items(), "the text")
    assert not found.complete
    assert found.parts == (Change(How.ADDED, "block", ("second",)), Change(How.REMOVED, "block", ("then",)))
    assert [line.text for line in found.diff if line.sign is Sign.REMOVED] == ["true"]


@pytest.mark.parametrize("fields", [{"digest": CHANGED}, {"blocks": ()}])
def test_a_record_that_tells_nothing_says_so(fields: dict[str, object]) -> None:
    found = changes(record(source="", parts=(), **fields), procedure("first"), PARTS.items(), "")
    assert found == Changes(complete=False)
