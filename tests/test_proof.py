"""What a run can prove, per environment: what cannot fail is no proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runbook_checks.markdown import scan
from runbook_checks.proof import proves, proving_checks

if TYPE_CHECKING:
    from runbook_checks.markdown import Scan

FENCE = "`" * 3
STEP = f"{FENCE}bash {{.step}}\necho hi\n{FENCE}\n\n"
CHECK = f"{FENCE}bash {{.check}}\ntrue\n{FENCE}\n\n"
PROD = CHECK.replace(".check", ".check environment=prod")


def expect(text: str) -> str:
    return f"{FENCE}text {{.expect}}\n{text}\n{FENCE}\n\n"


@pytest.mark.parametrize(
    ("blocks", "holds"),
    [
        (CHECK, True),
        (STEP + expect("hi") + PROD, True),
        (STEP + PROD, False),
        (STEP + expect("...") + PROD, False),
        (STEP.replace(".step", ".cleanup") + expect("hi") + PROD, False),
        (CHECK.replace(".check", ".rollback") + expect("undone") + PROD, True),
    ],
)
def test_a_check_or_an_expectation_that_can_fail_must_run_there(blocks: str, *, holds: bool) -> None:
    runbook = scan(f"---\nrunbook: {{}}\n---\n## One\n{blocks}", "docs/p.md").runbook
    assert runbook is not None
    (procedure,) = runbook.procedures
    assert (proves(procedure, "box"), proves(procedure, "prod")) == (holds, True)


CARD = f"{FENCE}yaml {{.procedure}}\nalerts: [PoolFull, Slow]\n{FENCE}\n\n"
FAULT = f"{FENCE}bash {{.fault}}\ntouch broken\n{FENCE}\n\n"
MEND = f"{FENCE}bash {{.step}}\nrm broken; id=7\n{FENCE}\n\n"


def check(text: str, more: str = "", language: str = "bash") -> str:
    return f"{FENCE}{language} {{.check{more}}}\n{text}\n{FENCE}\n\n"


def page(*blocks: str) -> Scan:
    return scan("---\nrunbook: {}\n---\n## One { #one }\n" + "".join(blocks), "docs/p.md")


def asked(*blocks: str, environment: str = "box") -> list[str]:
    """Return the ids of the checks that can show the fault."""
    runbook = page(CARD, FAULT, *blocks).runbook
    assert runbook is not None
    return [block.id for block in proving_checks(runbook.procedures[0], environment)]


def test_only_checks_after_the_last_step_that_use_no_capture_can_show_a_fault() -> None:
    known = MEND + expect("id <id>")
    assert asked(check("before"), known, check('test "$id"', " #late"), check('test "$idle"', " #asked")) == ["asked"]


@pytest.mark.parametrize(
    ("again", "counts"),
    [
        (check("amtool alert query alertname=PoolFull", " #again"), False),
        (check("deployment/scripts/notified.sh Slow", " #again"), False),
        (check("cat alerts", " #again") + expect("Slow ...\nPoolFull ..."), False),
        (check('count(ALERTS{alertstate="firing"}) == 0', " #again", "promql"), False),
        (check("amtool alert query", " #again") + expect("none"), False),
        (check("GET $ALERTMANAGER_URL/api/v2/alerts", " #again", "http"), False),
        (check("GET $PROMETHEUS_URL/api/v1/alerts?x=1", " #again", "http"), False),
        (check("GET $API_URL/api/v1/alertscapes", " #again", "http"), True),
        (check("echo SlowQueries PoolFullness MyPoolFull", " #again"), True),
        (check("pool_used < pool_size", " #again", "promql"), True),
    ],
)
def test_a_check_that_says_what_the_alert_says_shows_nothing(again: str, *, counts: bool) -> None:
    assert asked(MEND, again) == (["again"] if counts else [])
    problems = page(CARD, FAULT, MEND, again).problems
    assert [problem.line for problem in problems] == ([] if counts else [17])
    assert page(CARD, MEND, again).problems == ()  # no drill


def test_a_drill_without_any_check_that_can_show_its_fault_is_a_source_error() -> None:
    (problem,) = page(CARD, FAULT, check("true"), MEND).problems
    assert (problem.line, problem.reason) == (
        9,
        "a drill needs a check after the last step that shows that the fault is on, and none can",
    )
    assert problem.suggestion.startswith("add a `.check` there that asks what the fault breaks")


@pytest.mark.parametrize(
    ("blocks", "sound"),
    [
        ((FAULT, MEND, check("true", " environment=box")), True),
        ((FAULT, MEND, check("true", " environment=box"), MEND), False),
        ((FAULT, MEND, check("true", " environment=box"), MEND.replace(".step", ".step environment=prod")), True),
        ((FAULT.replace(".fault", ".fault environment=box"), MEND, check("true", " environment=prod")), False),
        ((FAULT.replace(".fault", ".fault environment=box"), MEND, check("true", " environment=box")), True),
    ],
)
def test_a_check_counts_where_the_fault_is_made(blocks: tuple[str, ...], *, sound: bool) -> None:
    assert (page(CARD, *blocks).problems == ()) is sound
