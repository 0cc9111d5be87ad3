"""What a run can prove, per environment: what cannot fail is no proof."""

from __future__ import annotations

import pytest

from runbook_checks.markdown import scan
from runbook_checks.proof import proves

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
