"""The command line drills only what has a fault, and refuses what can be no drill before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alarms import CARD, CLEANUP, FAULT, HEALED, MEND, Alarm, alarm
from procedures import FENCE, check, log

from runbook_checks.config import load_config
from runbook_checks.drill import MOMENTS
from runbook_checks.errors import UsageError
from runbook_checks.guards import refuse_unsafe
from runbook_checks.report import load_catalog

if TYPE_CHECKING:
    from repository import Repository

__all__ = ["alarm"]

SETTINGS = """
environments:
  local:
    variables: {PROMETHEUS_URL: "URL"}
    stack: {up: "echo up >>log", down: "echo down >>log"}
    drill: {prometheus: $PROMETHEUS_URL, notifications: cat told, within: 20s, hold: 300ms}
  unmonitored:
    stack: {up: "echo up >>log", down: "true"}
  unset:
    stack: {up: "true", down: "true"}
    drill: {prometheus: $NO_SUCH_URL, notifications: cat told}
  box: {disposable: true, drill: {prometheus: $PROMETHEUS_URL, notifications: cat told}}
"""


def repository_with(repository: Repository, *blocks: str, alarm: Alarm | None = None) -> Repository:
    repository.only("## One { #one }\n" + "".join(blocks))
    repository.write(
        "runbook-checks.yml", "pages: [docs/runbooks]" + SETTINGS.replace('URL"', f'{alarm and alarm.url}"')
    )
    return repository


@pytest.mark.parametrize(
    ("environment", "blocks", "why"),
    [
        ("box", (CARD, FAULT, MEND, HEALED), "environment box has no stack of our own; a fault never runs elsewhere"),
        ("unmonitored", (CARD, FAULT, MEND, HEALED), "does not say whom a drill asks; give it a `drill:`"),
        ("local", (FAULT, MEND, HEALED), "its card names no alert that the fault raises; give it `alerts:`"),
        (
            "local",
            (CARD, FAULT, MEND, check("test ! -e broken", more=" environment=box")),
            "no check that runs in local after the last step can show that the fault is on; add one",
        ),
    ],
)
def test_what_can_be_no_drill_is_refused_before_anything_runs(
    repository: Repository, environment: str, blocks: tuple[str, ...], why: str
) -> None:
    one = repository_with(repository, *blocks)
    config = load_config(one.root / "runbook-checks.yml")
    with pytest.raises(UsageError) as caught:
        refuse_unsafe(config.environment(environment), load_catalog(config).procedures)
    assert why in str(caught.value)
    line = one.line("docs/runbooks/extra.md", "{.fault}")
    assert str(caught.value).startswith(f"docs/runbooks/extra.md:{line}: extra/one has a fault block")


def test_a_drill_that_only_asks_for_its_alert_again_is_exit_code_2_with_its_place(repository: Repository) -> None:
    again = check("amtool alert query alertname=Broken", more=" within=5s")
    one = repository_with(repository, CARD, FAULT, HEALED, MEND, again)
    done = one.run("drill")
    assert done.returncode == 2
    line = one.line("docs/runbooks/extra.md", "amtool") - 1
    assert f"docs/runbooks/extra.md:{line}: this check only asks for the alert again" in done.stderr
    assert "add a `.check` there that asks what the fault breaks" in done.stderr
    assert log(one.root) == []


@pytest.mark.parametrize("command", ["verify", "drill"])
def test_a_fault_outside_of_our_own_stack_is_exit_code_2_with_its_place(repository: Repository, command: str) -> None:
    one = repository_with(repository, CARD, FAULT, MEND, HEALED)
    done = one.run(command, "--environment", "box")
    assert done.returncode == 2
    assert f"extra.md:{one.line('docs/runbooks/extra.md', '{.fault}')}: extra/one has a fault block" in done.stderr
    assert log(one.root) == []


def test_an_address_of_prometheus_that_nobody_knows_is_refused_before_anything_runs(repository: Repository) -> None:
    done = repository_with(repository, CARD, FAULT, MEND, HEALED).run("drill", "--environment", "unset")
    assert done.returncode == 2
    assert "$NO_SUCH_URL is not set" in done.stderr
    assert log(repository.root) == []


def test_the_command_drills_only_what_has_a_fault(repository: Repository, alarm: Alarm) -> None:
    alarm.runbook_url = "https://runbooks.example/runbooks/extra/#one"
    plain = f"\n## Two {{ #two }}\n{FENCE}bash {{.check}}\necho two >>log\n{FENCE}\n"
    one = repository_with(repository, CARD, FAULT, MEND, HEALED, CLEANUP, plain, alarm=alarm)
    for name in ("runbook-checks.yml", "docs/runbooks/extra.md"):
        text = (one.root / name).read_text()
        for file in ("log", "told", "broken\n", "broken;"):  # beside the repository, where its digest does not look
            text = text.replace(f">{file}", f">../{file}").replace(f" {file}", f" ../{file}")
        one.write(name, text)
    done = one.run("drill")
    assert done.returncode == 0, done.stderr
    assert log(alarm.folder) == ["up", "fault", "step", "cleaned", "down"]
    (record,) = repository.records("extra/one")
    assert [moment.name for moment in record.moments] == list(MOMENTS)


def test_a_selection_without_a_fault_is_a_mistake(repository: Repository) -> None:
    done = repository_with(repository, MEND, HEALED).run("drill")
    assert (done.returncode, done.stderr) == (2, "there is no procedure to drill: none has a fault block\n")


def test_a_procedure_with_a_fault_has_the_mark_drill(repository: Repository) -> None:
    one = repository_with(repository, CARD, FAULT, MEND, HEALED)
    assert "1 test" in one.pytest("docs/runbooks", "-m", "drill", "--collect-only", "-q").stdout
    assert "no tests" in one.pytest("docs/runbooks", "-m", "not drill", "--collect-only", "-q").stdout
