"""What readers see of an entry: words before colours, everything escaped, nothing that Markdown would change."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import markdown
import pytest
from markupsafe import escape
from test_site_badges import DAY, PROCEDURE, RECORD, entry

from runbook_checks.model import Card, FigureBound
from runbook_checks.record import Evidence, Figure, Outcome
from runbook_checks.site import render
from runbook_checks.site.render import Need
from runbook_checks.status import Judgement, Status


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "0.2 s"),
        (3.0, "3 s"),
        (14.4, "14 s"),
        (120, "2 min"),
        (3900, "1 h 5 min"),
        (86400, "1 day"),
        (7 * 86400, "7 days"),
    ],
)
def test_durations_are_told_in_two_units_at_most(seconds: float, words: str) -> None:
    assert render.format_duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.00012, "0.00012"), (300.4, "300"), (999.4, "999"), (999.6, "1,000"), (-1234.5, "-1,234")]
)
def test_numbers_are_told_without_digits_that_nobody_reads_and_without_powers_of_ten(value: float, words: str) -> None:
    assert render.format_number(value) == words


def test_bounds_are_told_in_words() -> None:
    assert render.format_bounds(FigureBound("rto", "s", None, 300)) == "at most 300 s"
    assert render.format_bounds(FigureBound("p", "", 0.25, 1200)) == "at least 0.25, at most 1,200"
    assert render.format_bounds(FigureBound("p")) == ""


@pytest.mark.parametrize("status", list(Status))
def test_a_badge_says_its_status_in_text(status: Status) -> None:
    html = render.badge(entry(status), "#restore")
    assert f">{status.value}</span>" in html
    assert f'data-rb-status="{status.value}"' in html


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.VERIFIED])
def test_a_card_that_is_not_verified_says_why(status: Status) -> None:
    html = render.card(PROCEDURE, entry().runbook, [entry(status)], [])
    assert f"<strong>{render.headline(entry(status))}</strong>" in html
    assert render.headline(entry(status))


def test_a_card_and_a_table_tell_of_a_newer_run_that_is_not_believed() -> None:
    newer = Evidence(replace(RECORD, ended_at=(DAY + timedelta(hours=1)).isoformat()), refused="its pass is forged")
    doubted = replace(entry(), history=(Evidence(RECORD), newer))
    words = "a newer run does not count: its pass is forged"
    for html in (render.card(PROCEDURE, entry().runbook, [doubted], []), render.table([(doubted, "x")])):
        assert words in html.replace("&#58;", ":")


def test_a_figure_in_a_sentence_says_when_it_proves_nothing() -> None:
    bound = FigureBound("rto", "s", None, 300)
    assert "(stale)" in render.figure(bound, entry(Status.STALE))
    verified = render.figure(bound, entry())
    assert 'data-expires-at="' in verified
    assert "(" not in verified
    without = replace(RECORD, figures=(), outcome=Outcome.FAILED)
    failed = replace(entry(Status.FAILED), judgement=Judgement(Status.FAILED, "", without))
    assert "not measured by the last run" in render.figure(bound, failed)
    assert "not measured yet" in render.figure(bound, entry(Status.UNVERIFIED))


def test_a_card_of_several_environments_names_the_one_that_a_figure_and_a_proof_are_of() -> None:
    procedure = replace(PROCEDURE, card=Card(5, figures=(FigureBound("rto", "s", None, 300),)))
    measured = replace(RECORD, figures=(Figure("rto", 42.0, "s", None, 300.0),))
    other = replace(entry(environment="other"), judgement=replace(entry().judgement, record=measured))
    html = render.card(procedure, entry().runbook, [entry(Status.UNVERIFIED), other], [])
    assert "42 s on other" in html
    both = render.card(procedure, entry().runbook, [entry(), other], [])
    assert "One of these has expired since this page was built" in both


def test_a_card_has_the_facts_that_its_yaml_declares() -> None:
    card = Card(
        5,
        ("Down",),
        "critical",
        ("x",),
        ("database",),
        reversible=False,
        expected_s=120.0,
        figures=(FigureBound("rto", "s", None, 300),),
    )
    html = render.card(replace(PROCEDURE, card=card), entry().runbook, [entry()], [Need("Back up", "#back-up")])
    for fact in (
        "<code>Down</code>", "critical", "2 min", "no, it cannot be undone", "database", "platform",
        '<a href="#back-up">Back up</a>', "42 s", "at most 300 s",
    ):  # fmt: skip
        assert fact in html


def test_a_broken_bound_is_said_in_words() -> None:
    broken = replace(RECORD, figures=(Figure("rto", 400.0, "s", None, 300.0, kept=False),))
    failed = replace(entry(), judgement=Judgement(Status.FAILED, "rto", broken))
    card = Card(5, figures=(FigureBound("rto", "s", None, 300),))
    assert "400 s (bound broken)" in render.card(replace(PROCEDURE, card=card), failed.runbook, [failed], [])


def test_reasons_and_titles_never_become_markup() -> None:
    image, script = '<img src=x onerror="y">', "<script>alert(1)</script>"
    evil = replace(entry(), judgement=Judgement(Status.FAILED, f"{image}\n{script}", RECORD))
    html = render.card(PROCEDURE, evil.runbook, [evil], []) + render.table([(evil, "#x")]) + render.badge(evil, "#x")
    for text in (image, script, "<all>"):
        assert text not in html
        assert str(escape(text)) in html


@pytest.mark.parametrize("status", list(Status))
def test_only_a_verified_card_has_words_for_the_day_on_which_it_expires_and_they_wait_unseen(status: Status) -> None:
    html = render.card(PROCEDURE, entry().runbook, [entry(status)], [])
    moment = f'data-rb-status="{status.value}" data-expires-at="2026-11-28T07:30:00+00:00"'
    assert html.count(moment) == (0 if status is Status.UNVERIFIED else 2)  # on the card, and on its badge
    said, unseen = html.count("rb-if-expired"), len(re.findall(r'rb-if-expired"[^>]* hidden>', html))
    assert (said, unseen) == ((2, 2) if status is Status.VERIFIED else (0, 0))


@pytest.mark.parametrize("around", ["{}", "- item {}", "| a |\n|---|\n| {} |", "**bold {}**", "1. x\n\n    {}\n"])
def test_markdown_finds_nothing_to_interpret_in_a_badge(around: str) -> None:
    odd = replace(entry(), procedure=replace(PROCEDURE, title="a_b_ *c* | `d` [e](f) {g}"))
    for html in (render.badge(odd, "../a_b_c/#d_e_f"), render.table([(odd, "../a_b_c/#d")])):
        rendered = markdown.markdown(around.format(html), extensions=["tables", "attr_list"])
        assert html in rendered


def test_an_empty_table_says_that_it_is_empty() -> None:
    assert "No procedure here." in render.table([])


def test_what_needs_attention_comes_first() -> None:
    assert min(Status, key=render.urgency) is Status.FAILED
    assert max(Status, key=render.urgency) is Status.VERIFIED
