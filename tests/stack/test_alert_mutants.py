"""The unit tests of the alerts refuse every rule in which a wait, a threshold, a comparison or a label is another."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from stack.rule_mutants import Mutant, expressions, mutants, unit_tests_of
from stack.running_stack import ROOT, Stack

if TYPE_CHECKING:
    from pathlib import Path

PROMETHEUS = ROOT / "deployment/monitoring/prometheus"
NO_LABELS = "the same rule: neither side has a label, so there is none to match on"
# The alert, the end of the changed expression, and why its unit tests cannot refuse it.
EXCEPTIONS = (
    ("BadDeploy", "> 0.05 and count(count by (release) (last_over_time(ia_service_info[30m]))) > 1", NO_LABELS),
    ("BackupTooOld", "and absent(ia_backup_last_success_timestamp_seconds)", NO_LABELS),
)
UNCHANGED = "as it is"


def promtool(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments],
        env={**os.environ, "PATH": stack.env()["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def made() -> tuple[Mutant, ...]:
    return tuple(mutants((PROMETHEUS / "alerts.yml").read_text()))


def test_each_alert_has_mutants_and_each_is_a_rule(stack: Stack, tmp_path: Path, made: tuple[Mutant, ...]) -> None:
    assert len({mutant.name for mutant in made}) == len(made)
    assert min(Counter(mutant.alert for mutant in made).values()) > 5
    for number, mutant in enumerate(made):
        (tmp_path / f"{number}.yml").write_text(mutant.text)
    checked = promtool(stack, "check", "rules", *(str(path) for path in tmp_path.glob("*.yml")))
    assert checked.returncode == 0, checked.stderr


def test_the_unit_tests_refuse_each_mutant_and_no_other(stack: Stack, tmp_path: Path, made: tuple[Mutant, ...]) -> None:
    tests = {name: (PROMETHEUS / "tests" / name).read_text() for name in ("alerts_test.yml", "bounds_test.yml")}
    environ = {**os.environ, "PATH": stack.env()["PATH"]}
    shutil.copy(PROMETHEUS / "recording_rules.yml", tmp_path)

    def lives(number: int) -> bool:
        folder = tmp_path / str(number)
        (folder / "tests").mkdir(parents=True)
        (folder / "recording_rules.yml").symlink_to(tmp_path / "recording_rules.yml")
        (folder / "alerts.yml").write_text(made[number].text)
        for name, text in tests.items():
            (folder / "tests" / name).write_text(unit_tests_of(made[number].alert, text))
        command = ["promtool", "test", "rules", *(str(folder / "tests" / name) for name in tests)]
        return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0

    with ThreadPoolExecutor(2) as pool:
        alive = pool.map(lives, range(len(made)))
    living = {mutant.name for mutant, lived in zip(made, alive, strict=True) if lived}
    same = {mutant.name for mutant in made if mutant.how == UNCHANGED}
    same |= {mutant.name for mutant in made for alert, end, _ in EXCEPTIONS if is_exception(mutant, alert, end)}
    assert len(same) == len({mutant.alert for mutant in made}) + len(EXCEPTIONS)
    assert living == same, "\n".join(sorted(living ^ same))


def is_exception(mutant: Mutant, alert: str, end: str) -> bool:
    return mutant.alert == alert and mutant.how.endswith(end)


@pytest.mark.parametrize(
    ("expression", "changed"),
    [
        ("up == 0", ["up != 0", "up == 1"]),
        ("a > 1", ["a < 1", "a >= 1", "a > 2", "a > 0"]),
        ("a > 0.5", ["a < 0.5", "a > 0.6", "a > 0.4167"]),
        ("a >= b", ["a < b", "a > b"]),
        (
            'sum(rate(a{b="<", c!="d"}[5m]))',
            [
                'sum(rate(a{b="<", c!="d"}[150s]))',
                'sum(rate(a{b="<", c!="d"}[600s]))',
                'sum(rate(a{c!="d"}[5m]))',
                'sum(rate(a{b="<"}[5m]))',
            ],
        ),
        ("sum by (x, y) (a)", ["sum by (y) (a)", "sum by (x) (a)", "sum (a)"]),
        ("a and on(x) b", ["a and b"]),
        ('a{b="c"}', ["a"]),
        ("f(a2, 4.5)", ["f(a2, 5.4)", "f(a2, 3.75)"]),
    ],
)
def test_an_expression_is_changed_in_one_place(expression: str, changed: list[str]) -> None:
    assert list(expressions(expression)) == changed
