from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_checks.card import front_matter, read_card, read_runbook
from runbook_checks.durations import seconds
from runbook_checks.model import Card, FigureBound


def test_a_card_becomes_values() -> None:
    card, problems = read_card(
        "alerts: [DatabaseDown]\nseverity: critical\nneeds: [a, b/c]\nchanges: [database]\nreversible: false\n"
        "expected: 2m\nuses: ['deployment/**']\ntags: [slow]\nfigures:\n  rto: {min: -1, max: 3e2, unit: s}\n",
        "page.md",
        7,
    )
    assert problems == ()
    assert card == Card(
        line=7,
        alerts=("DatabaseDown",),
        severity="critical",
        needs=("a", "b/c"),
        changes=("database",),
        reversible=False,
        expected_s=120.0,
        uses=("deployment/**",),
        tags=("slow",),
        figures=(FigureBound("rto", "s", -1.0, 300.0),),
    )


def test_older_ids_are_those_of_this_page_or_whole() -> None:
    card, problems = read_card("formerly: [one, old_page/one.two, my page/x]", "page.md", 7)
    assert (card.formerly, problems) == (("one", "old_page/one.two", "my page/x"), ())


def test_reasons_for_what_is_not_proven_are_by_block() -> None:
    card, problems = read_card("unproven:\n  look: cannot fail here\n  idle: 'for show'", "page.md", 7)
    assert (card.unproven, problems) == ((("look", "cannot fail here"), ("idle", "for show")), ())


def test_an_empty_card_says_nothing() -> None:
    assert read_card("", "page.md", 3) == (Card(line=3), ())


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("alert: [A]", 8, "unknown key `alert` in the card; did you mean `alerts`?"),
        ("\nalerts: A", 9, "`alerts` must be a list, not a single value; write `alerts: [A]`"),
        ("alerts: [A, A]", 8, "names `A` twice"),
        ("alerts: ['']", 8, "an empty entry"),
        ("alerts: [[A]]", 8, "must be one value, not a list"),
        ("severity: critcal", 8, "unknown severity `critcal`; did you mean `critical`?"),
        ("reversible: maybe", 8, "must be true or false"),
        ("expected: 1:30", 8, "is not a duration"),
        ("uses: [../x]", 8, "leaves the folder"),
        ("formerly: [a b]", 8, "`formerly: a b` is no id that a procedure can have had"),
        ("formerly: [page.md#one]", 8, "without `.md` and `#`"),
        ("formerly: [/one]", 8, "no id"),
        ("formerly: [page/]", 8, "no id"),
        ("formerly: [docs/page/one]", 8, "no id"),
        ("formerly: [../one]", 8, "no id"),
        ("formerly: [page/..]", 8, "no id"),
        ("formerly: [one, one]", 8, "names `one` twice"),
        ("unproven: [a]", 8, "`unproven:` must be `key: value` lines"),
        ("unproven: {a: ''}", 8, "`unproven: a` has no reason; say why nothing can prove it"),
        ("unproven:\n  a: x\n  b: [y]", 10, "`unproven: b` must be one value, not a list"),
        ("unproven: {a: x, a: y}", 8, "has the key `a` twice"),
        ("figures: {a: {max: .inf}}", 8, "must be a number"),
        ("figures: {a: {max: 1e999}}", 8, "must be a number"),
        ("figures: {a: {min: 2, max: 1}}", 8, "never be kept"),
        ("figures: {a: {mx: 1}}", 8, "unknown key `mx`"),
        ("figures: [a]", 8, "must be `key: value` lines"),
        ("severity: info\nseverity: info", 9, "the key `severity` twice"),
        ("needs: [a\nseverity: info", 9, "not valid YAML"),
        ("- a", 8, "must be `key: value` lines"),
        ("? [a]\n: b", 8, "no plain word"),
        ("a: 1\n---\nb: 2", 9, "not valid YAML"),
        ("tags: [" + ", ".join(["&a x", *["*a"] * 21]) + "]", 7, "more than 20 aliases"),
        ("tags: " + "[" * 200 + "]" * 200, 7, "nested too deeply"),
        ("tags: [" + "x" * 65_536 + "]", 7, "larger than 64 KiB"),
    ],
)
def test_what_is_wrong_in_a_card_has_the_line_of_the_page(text: str, line: int, words: str) -> None:
    _, problems = read_card(text, "page.md", 7)
    assert any(problem.line == line and words in str(problem) for problem in problems), problems


def test_front_matter_becomes_a_runbook() -> None:
    front, lines = front_matter(
        "---\ntitle: Recovery\ntags: [a]\nrunbook:\n  owner: platform\n  escalation: '#x'\n  verify_every: 7d\n"
        "  tags: [b, a]\n---\n# Title\n"
    )
    runbook, problems = read_runbook(front, "docs/a.md")
    assert (lines, problems) == (9, ())
    assert runbook is not None
    assert (runbook.path, runbook.title, runbook.owner, runbook.escalation) == (
        "docs/a.md",
        "Recovery",
        "platform",
        "#x",
    )
    assert (runbook.verify_every_s, runbook.tags) == (604_800.0, ("a", "b"))


@pytest.mark.parametrize("text", ["", "# Title\n", "---\ntitle: x\n---\n", "text\n---\nrunbook:\n---\n"])
def test_a_page_without_the_key_is_no_runbook(text: str) -> None:
    assert read_runbook(front_matter(text)[0], "a.md") == (None, ())


@pytest.mark.parametrize(
    ("front", "line", "words"),
    [
        ("runbook:\n  ownr: x\n", 3, "unknown key `ownr` under `runbook:`; did you mean `owner`?"),
        ("runbook: yes\n", 2, "must be `key: value` lines"),
        ("title: a\nrunbook:\n  tags: b\n", 4, "must be a list"),
        ("title: [\nrunbook:\n", 4, "not valid YAML"),
        ("runbook:\n  verify_every: weekly\n", 3, "is not a duration"),
        ("runbook:\n  owner: " + "x" * 65_536 + "\n", 1, "larger than 64 KiB"),
    ],
)
def test_what_is_wrong_in_front_matter_has_the_line_of_the_page(front: str, line: int, words: str) -> None:
    runbook, problems = read_runbook(front, "a.md")
    assert runbook is not None
    assert any(problem.line == line and words in str(problem) for problem in problems), problems


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#?%@, \n\t0\x00é"))
def test_reading_yaml_never_raises(text: str) -> None:
    read_card(text, "a.md", 1)
    read_runbook(f"runbook:\n{text}", "a.md")


@pytest.mark.parametrize(
    ("text", "value"),
    [("500ms", 0.5), ("60s", 60.0), ("1.5m", 90.0), ("2h", 7200.0), ("7d", 604_800.0), ("1w", 604_800)],
)
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "5", "5 m", "-5m", "0s", "1e3s", "٣s", "5M", "11000d", "1.s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
