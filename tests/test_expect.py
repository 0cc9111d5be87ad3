"""Expectations: what holds, what it captures, and what a reader is shown when it does not hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_checks import expect
from runbook_checks.expect import compare
from runbook_checks.model import Expectation, Match, Span, Stream


def expectation(text: str, match: Match = Match.LIKE) -> Expectation:
    return Expectation(text=text, match=match, stream=Stream.STDOUT, span=Span(10, 12))


@pytest.mark.parametrize(
    ("match", "wanted", "came"),
    [
        (Match.LIKE, "a\nb", "a\nb\n"),
        (Match.LIKE, "a  \nb", "a\nb   \n\n"),
        (Match.LIKE, "a ... c", "a b b c\n"),
        (Match.LIKE, "first\n...\nlast", "first\nlast\n"),
        (Match.LIKE, "first\n...\nlast", "first\n1\n2\nlast\n"),
        (Match.LIKE, r"\<host> is up", "<host> is up\n"),
        (Match.LIKE, r"loading\... <n> \...", "loading... 3 ...\n"),
        (Match.LIKE, "a\n\\...\nb", "a\n...\nb\n"),
        (Match.LIKE, "a.c (x|y)* [z]", "a.c (x|y)* [z]\n"),
        (Match.LIKE, "<id> is <id>", "7 is 7\n"),
        (Match.EXACT, "a\nb", "a\nb\n"),
        (Match.EXACT, "a", "a"),
        (Match.CONTAINS, "mid", "a mid b\n"),
        (Match.REGEX, r"^rows: \d+$", "x\nrows: 12\ny\n"),
        (Match.JSON, '{"a": 1}', '{"a": 1, "b": 2}'),
        (Match.JSON, '{"a": [{"b": true}]}', '{"a": [{"b": true, "c": null}]}'),
        (Match.JSON, '{"a": "..."}', '{"a": {"deep": 1}}'),
    ],
)
def test_holds(match: Match, wanted: str, came: str) -> None:
    verdict = compare(expectation(wanted, match), came, "page.md")
    assert (verdict.held, verdict.difference) == (True, "")


@pytest.mark.parametrize(
    ("match", "wanted", "came"),
    [
        (Match.LIKE, "a\nb", "a\n"),
        (Match.LIKE, "a", "a\nb\n"),
        (Match.LIKE, "a", ""),
        (Match.LIKE, "a ... c", "a b\n"),
        (Match.LIKE, "a.c", "abc\n"),
        (Match.LIKE, r"\<host>", "web-1\n"),
        (Match.LIKE, "rows <n>", "rows \n"),
        (Match.LIKE, "<id> is <id>", "7 is 8\n"),
        (Match.LIKE, "<id>\n...\n<id>", "7\nx\n8\n"),
        (Match.LIKE, "a ... c", "a\nc\n"),
        (Match.LIKE, r"loading\...", "loading 1 2 3\n"),
        (Match.LIKE, "a\n\\...\nb", "a\n1\n2\nb\n"),
        (Match.EXACT, "a", "a "),
        (Match.EXACT, "a", "a\n\n"),
        (Match.CONTAINS, "mid", "middle".upper()),
        (Match.REGEX, r"^rows: \d+$", "rows: 12 "),
        (Match.JSON, '{"a": 1}', '{"a": true}'),
        (Match.JSON, '{"a": 1}', '{"b": 1}'),
        (Match.JSON, '{"a": [1]}', '{"a": [1, 2]}'),
        (Match.JSON, '{"a": 1}', "<html>"),
        (Match.JSON, '{"a": 1}', '{"a": 2, "a": 1}'),
        (Match.JSON, '{"a": 1e400}', '{"a": 2e999}'),
        (Match.JSON, '{"a": "..."}', '{"a": NaN}'),
        (Match.JSON, '[["..."]]', "[" * 100_000),
        (Match.JSON, '{"a": "<x>"}', '{"a": [1]}'),
        (Match.JSON, '{"a": "<x>", "b": "<x>"}', '{"a": 1, "b": 2}'),
    ],
)
def test_does_not_hold_and_names_the_place(match: Match, wanted: str, came: str) -> None:
    verdict = compare(expectation(wanted, match), came, "page.md")
    assert not verdict.held
    assert verdict.difference.startswith("page.md:10: ")


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        (Match.LIKE, "...\nok"),
        (Match.EXACT, "x\nok"),
        (Match.REGEX, r"\Ax\n(?!.*failed)"),
        (Match.JSON, '"..."'),
    ],
)
def test_an_output_that_was_cut_holds_nothing_but_contains(match: Match, wanted: str) -> None:
    came = "1" if match is Match.JSON else "x\nok\n"
    assert compare(expectation(wanted, match), came, "p.md").held
    verdict = compare(expectation(wanted, match), came, "p.md", cut_bytes=7)
    assert (verdict.held, verdict.captures) == (False, ())
    assert verdict.difference == (
        "p.md:10: stdout is too long to compare, 7 bytes of it were not kept; print less, or say `match=contains`"
    )
    assert compare(expectation("ok", Match.CONTAINS), came + "ok", "p.md", cut_bytes=7).held
    assert not compare(expectation("no", Match.CONTAINS), came, "p.md", cut_bytes=7).held


def test_captures_are_returned_in_order_of_appearance() -> None:
    verdict = compare(
        expectation("restored <rows> rows from backup <backup_id>"), "restored 12 rows from backup b-7\n", "p.md"
    )
    assert verdict.captures == (("rows", "12"), ("backup_id", "b-7"))


@pytest.mark.parametrize(
    ("match", "wanted", "same", "other"),
    [
        (Match.LIKE, "runs <id>", "runs <b>\\...", "runs 8"),
        (Match.LIKE, "...\n<id> and <n>", "x\n<b>\\... and 2", "x\n8 and 2"),
        (Match.REGEX, r"id=(?P<id>\S+)", "id=8 id=<b>\\...", "id=8 id=9"),
        (Match.JSON, '{"id": "<id>"}', '{"id": "<b>\\\\..."}', '{"id": 8}'),
    ],
)
def test_a_name_that_was_captured_before_stands_for_the_same_text(
    match: Match, wanted: str, same: str, other: str
) -> None:
    known = {"id": "<b>\\...", "unused": "u"}
    verdict = compare(expectation(wanted, match), same, "p.md", known=known)
    assert (verdict.held, set(dict(verdict.captures)) - {"n"}) == (True, set())
    verdict = compare(expectation(wanted, match), other, "p.md", known=known)
    assert not verdict.held
    assert verdict.difference.endswith(f"\n(<id> stands for {known['id']!r}, captured before)")
    assert compare(expectation(wanted, match), other, "p.md").held


@pytest.mark.parametrize(
    ("wanted", "value", "same", "other"),
    [
        ("<<id>>", "alice", "<alice>", "<bob>"),
        ("<id>. ", "done..", "done...", "done.. and more"),
        (".<id>", "..", "...", ".x"),
        ("<id>...", "db.example.com.", "db.example.com. 300 IN", "db.example.com 300 IN"),
        ("<id><n>", "C:\\", "C:\\x", "C:<n>"),
        ("a\n<id>\nb", "...", "a\n...\nb", "a\nx\nb"),
        ("<id>:\nb", "one \n two\t", "one\n two\t:\nb", "one two:\nb"),
        ("id: <id>\nb", "7 ", "id: 7\nb", "id: 70\nb"),
        ("a\nid: <id>", "pem\n\n", "a\nid: pem\n\n\n", "a\nid: pem\nx"),
        ("...\nid <id>", "", "x\nid \n", "x\nid 7\n"),
        ("<n>.<id>", "a+", "x.a+", "x.aa"),
    ],
)
def test_what_was_captured_is_plain_text_beside_anything(wanted: str, value: str, same: str, other: str) -> None:
    known = {"id": value}
    assert compare(expectation(wanted), same, "p.md", known=known).held
    assert not compare(expectation(wanted), other, "p.md", known=known).held


def test_json_captures_scalars_as_text() -> None:
    verdict = compare(expectation('{"a": "<x>", "b": "<y>"}', Match.JSON), '{"a": 1.5, "b": "t"}', "p.md")
    assert verdict.captures == (("x", "1.5"), ("y", "t"))


def test_difference_shows_page_lines_and_output_lines_side_by_side() -> None:
    verdict = compare(expectation("start <id>\n...\nok\ndone"), "start 7\nnoise\nbroken\ndone\n", "p.md")
    assert verdict.difference.splitlines() == [
        "p.md:10: stdout is not what the page says",
        "  start 7",
        "- ok",
        "+ noise",
        "+ broken",
        "  done",
    ]


def test_a_pattern_that_explodes_is_a_failure_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_checks.expect._TIME_LIMIT_S", 0.1)
    verdict = compare(expectation(r"^(a|aa)+$b", Match.REGEX), "a" * 5000 + "!", "p.md")
    assert not verdict.held
    assert verdict.difference == "p.md:10: comparing took over 0.1 s; write a simpler pattern"


@pytest.mark.parametrize(
    ("match", "wanted", "came"),
    [
        (Match.LIKE, "...a" * 8 + "b", "a" * 1000),  # to show the difference, each line of the page is tried once more
        (Match.LIKE, "\n".join(["...a" * 8 + "b"] * 50), ("a" * 1000 + "\n") * 250),
        (Match.LIKE, " ".join(f"<a{number}>" for number in range(100)) + "!", "a " * 2000),
        (Match.LIKE, "...\n" * 300 + "x", "a\n" * 60_000),
        (Match.LIKE, "x\n" * 3000 + "y", "x\n" * 128_000),
        (Match.EXACT, "x\n" * 3000 + "y", "x\n" * 128_000),
        (Match.REGEX, "(a+)+$", "a" * 5000 + "b"),
        (Match.REGEX, "(?:abcdefghijkl){e<=10}z", "abcdefghij" * 5000),
        (Match.REGEX, "(?r)(a|aa)+b(c|cc)+$", "a" * 5000 + "c" * 5000),
        (Match.REGEX, "(((a{1,1000}){1,1000}){1,1000}){1,1000}b", "a" * 500),
        (Match.JSON, '{"a": 1}', "[" * 200_000),
        (Match.JSON, '{"a": 1}', "1" * 200_000),
        (Match.JSON, '{"a": 1}', '{"a": ' * 50_000),
    ],
)
def test_no_output_and_no_expectation_keeps_us_long(
    match: Match, wanted: str, came: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.expect._TIME_LIMIT_S", 0.1)
    monkeypatch.setattr("runbook_checks.expect._SHOWN_LIMIT_S", 0.1)
    begun_s = time.process_time()
    assert not compare(expectation(wanted, match), came, "p.md").held
    assert time.process_time() - begun_s < 3  # bounded by 0.2 s, but for a look at the clock now and then


def test_the_first_difference_of_a_long_output_is_shown_with_what_stands_before_it() -> None:
    lines = [str(number) for number in range(1000)]
    verdict = compare(expectation("\n".join(lines)), "\n".join([*lines[:900], "no", *lines[901:]]), "p.md")
    assert verdict.difference.splitlines()[:7] == [
        "p.md:10: stdout is not what the page says",
        "  (897 lines alike)",
        "  897",
        "  898",
        "  899",
        "- 900",
        "+ no",
    ]


@settings(max_examples=50)
@given(st.lists(st.text(st.characters(exclude_characters="<\n\r\\.", exclude_categories=["C", "Z"])), max_size=6))
def test_any_text_is_like_itself(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert compare(expectation(text), text, "p.md").held


@settings(max_examples=50)
@given(st.text(), st.text(), st.sampled_from(list(Match)))
def test_comparing_never_raises(wanted: str, came: str, match: Match) -> None:
    if match in {Match.REGEX, Match.JSON}:
        return  # their text was checked by the scanner: it is a pattern, or JSON
    compare(expectation(wanted, match), came, "p.md")


WORDS = st.text(st.characters(exclude_characters="<\n\r\\.", exclude_categories=["C", "Z"]), min_size=1, max_size=5)


@settings(max_examples=100)
@given(st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3), WORDS), min_size=1, max_size=5))
def test_dots_stand_for_any_text_and_any_lines_and_names_for_what_came(rows: list[tuple[str, list[str], str]]) -> None:
    wanted = "\n".join(f"{first} ... {first}|<n{place}>|\n..." for place, (first, _, _) in enumerate(rows))
    came = "\n".join("\n".join([f"{first} {last} {first}|{last}|", *between]) for first, between, last in rows)
    verdict = compare(expectation(wanted), came, "p.md")
    assert verdict.held, verdict.difference
    assert [name for name, _ in verdict.captures] == [f"n{place}" for place in range(len(rows))]


@settings(max_examples=100)
@given(st.lists(WORDS, min_size=1, max_size=6), st.data())
def test_a_line_more_or_less_or_another_never_holds(lines: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(WORDS.filter(lambda word: word != lines[place]))
    for changed in ([*lines[:place], other, *lines[place + 1 :]], [*lines, other]):
        assert not compare(expectation("\n".join(lines)), "\n".join(changed), "p.md").held
        assert not compare(expectation("\n".join(lines), Match.EXACT), "\n".join(changed), "p.md").held
    if lines[place] not in other:
        assert not compare(expectation(lines[place], Match.CONTAINS), other, "p.md").held


LINES = st.lists(
    st.lists(st.sampled_from(["a", "b", " ", "...", "<x>", "<y>", "\\\\<", "\\\\...", "<X>"]), max_size=5).map("".join),
    max_size=3,
)
TEXTS = st.lists(st.text(st.sampled_from("ab. <x"), max_size=6), max_size=3)


@settings(max_examples=400)
@given(LINES.map("\n".join), TEXTS.map("\n".join), st.booleans())
def test_plain_comparison_says_what_a_pattern_does(wanted: str, came: str, alike: bool) -> None:  # noqa: FBT001 - hypothesis takes no other
    came = wanted.replace("<x>", came).replace("...", "a") if alike else came
    quick = compare(expectation(wanted), came, "docs/page.md")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(expect, "_captured", lambda *_: None)
        assert compare(expectation(wanted), came, "docs/page.md") == quick


def test_a_single_capture_a_line_makes_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expect, "_match", lambda *_: pytest.fail("a pattern was made"))
    verdict = compare(expectation("row <x> of 3\n... ok\nend"), "row 17 of 3\nall ok\nend\n", "docs/page.md")
    assert verdict.captures == (("x", "17"),)
