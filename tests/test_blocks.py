"""What an expectation may say on a page."""

from __future__ import annotations

import pytest

from runbook_checks import markdown
from runbook_checks.blocks import can_fail, captures
from runbook_checks.model import Expectation, Match, Span, Stream

PAGE = "---\nrunbook: {}\n---\n## A\n```bash {.step}\ntrue\n```\n"


def expectation(match: Match, text: str) -> Expectation:
    return Expectation(text, match, Stream.STDOUT, Span(1, 3))


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (Match.LIKE, "...\n\n..."),
        (Match.JSON, "{}"),
        (Match.JSON, " { }\n"),
        (Match.JSON, '"..."'),
        (Match.REGEX, ".*"),
    ],
)
def test_what_says_nothing_is_no_proof(match: Match, text: str) -> None:
    assert not can_fail(expectation(match, text))
    problems = markdown.scan(f"{PAGE}```text {{.expect match={match.value}}}\n{text}\n```\n", "p.md").problems
    assert [problem.reason for problem in problems] == [
        "this expectation can never fail, and the procedure has no other"
    ]


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (Match.LIKE, "...\n\\..."),
        (Match.LIKE, "<x>"),
        (Match.JSON, "[]"),
        (Match.JSON, '{"a": "..."}'),
        (Match.JSON, '"<x>"'),
        (Match.EXACT, ""),
    ],
)
def test_what_says_something_is(match: Match, text: str) -> None:
    assert can_fail(expectation(match, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 2}', 'the expectation is not usable JSON: the key "a" is there twice in one object'),
        ('{"a": 1e400}', "the expectation is not usable JSON: 1e400 is not a number that can be compared"),
        ('{"a": NaN}', "the expectation is not usable JSON: NaN is not a number that can be compared"),
    ],
)
def test_json_that_could_mean_two_things_is_a_problem(text: str, said: str) -> None:
    problems = markdown.scan(f"{PAGE}```json {{.expect match=json}}\n{text}\n```\n", "p.md").problems
    assert [problem.reason for problem in problems] == [said]


def test_the_named_groups_of_a_pattern_are_its_captures() -> None:
    text = r"(?P<one>a)(?<two>b)(?<=c)\(?<three>"
    assert captures(Expectation(text, Match.REGEX, Stream.STDOUT, Span(1, 1))) == ("one", "two")
