"""An environment that names its procedures: the others have no status there and cannot be chosen there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from repository import document

if TYPE_CHECKING:
    from repository import Repository

CHECK = "```bash {.check}\ntrue\n```\n"
PAGE = "docs/runbooks/extra.md"
SECTIONS = (
    f"## Base {{ #base }}\n{CHECK}",
    f"## One {{ #one }}\n```yaml {{.procedure}}\nneeds: [base]\nalerts: [Down]\n```\n{CHECK}",
    f"## Two {{ #two }}\n```yaml {{.procedure}}\nalerts: [Slow]\n```\n{CHECK}",
)
CONFIG = """
pages: [docs/runbooks]
environments:
  local: {disposable: true}
  cloud:
    disposable: true
    procedures:
      - one
"""


@pytest.fixture
def scoped(repository: Repository) -> Repository:
    """A repository of three procedures, of which `one`, and what it needs, is meant to run in the cloud."""
    repository.only(*SECTIONS)
    repository.write("runbook-checks.yml", CONFIG)
    return repository


def listed(repository: Repository, *arguments: str) -> list[tuple[str, str]]:
    found = document(repository.run("status", "--json", *arguments))["procedures"]
    return [(one["id"].removeprefix("extra/"), one["environment"]) for one in found]


def test_a_procedure_has_a_status_only_where_it_is_meant_to_run(scoped: Repository) -> None:
    everywhere = [("base", "local"), ("base", "cloud"), ("one", "local"), ("one", "cloud"), ("two", "local")]
    assert listed(scoped) == everywhere
    assert listed(scoped, "--environment", "cloud") == [("base", "cloud"), ("one", "cloud")]
    assert listed(scoped, "two") == [("two", "local")]


def test_what_an_environment_does_not_name_is_left_out_and_what_it_needs_is_not(scoped: Repository) -> None:
    done = scoped.run("verify", "--json", "--environment", "cloud")
    assert done.returncode == 0, done.stderr
    assert [one["procedure"] for one in document(done)["records"]] == ["extra/base", "extra/one"]
    done = scoped.run("verify", "--json", "--environment", "cloud", "extra")
    assert [one["procedure"] for one in document(done)["records"]] == ["extra/base", "extra/one"]


@pytest.mark.parametrize("command", ["verify", "drill", "mutate", "status"])
@pytest.mark.parametrize("words", [("two",), ("one", "extra/two"), ("t*",)])
def test_one_that_is_asked_for_elsewhere_is_exit_code_2_and_nothing_runs(
    scoped: Repository, command: str, words: tuple[str, ...]
) -> None:
    done = scoped.run(command, "--environment", "cloud", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"`{words[-1]}` is not meant to run in environment cloud, whose `procedures` in runbook-checks.yml are one;"
        " add it there, or choose another environment\n"
    )
    assert scoped.records("extra/two", "cloud") == scoped.records("extra/one", "cloud") == ()


def test_a_status_that_is_asked_for_and_is_none_is_no_silence(scoped: Repository) -> None:
    """`status one three` said `verified` of one, exit code 0, and nothing of the other."""
    scoped.replace("runbook-checks.yml", "- one", "- one\n      - three")
    three = "\n## Three { #three }\n```bash {.check environment=local}\ntrue\n```\n"
    scoped.write(PAGE, (scoped.root / PAGE).read_text() + three)
    done = scoped.run("status", "--environment", "cloud", "one", "three")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nothing of what `three` selects could fail in environment cloud"), done.stderr
    assert listed(scoped, "one", "three")[-1] == ("three", "local"), "without an environment, where it has one"


def test_plain_pytest_skips_it_too(scoped: Repository) -> None:
    done = scoped.pytest(f"{PAGE}::two", f"{PAGE}::one", "--runbook-environment", "cloud", "-rs")
    assert (done.returncode, "1 passed, 1 skipped" in done.stdout) == (0, True)
    assert "it is not meant to run in environment cloud" in done.stdout
    assert scoped.records("extra/two", "cloud") == ()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("oen", "environment cloud: `oen` selects no procedure; did you mean `one`"),
        ("zzz*", "environment cloud: `zzz*` selects no procedure; see `runbook-checks list`"),
    ],
)
@pytest.mark.parametrize("command", ["list", "verify", "status"])
def test_a_name_that_selects_nothing_is_an_error_with_its_line(
    scoped: Repository, command: str, name: str, told: str
) -> None:
    scoped.replace("runbook-checks.yml", "      - one\n", f"      - one\n      - '{name}'\n")
    done = scoped.run(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"runbook-checks.yml:9: {told}")


def test_a_block_for_an_environment_where_its_procedure_is_not_meant_to_run_is_an_error(scoped: Repository) -> None:
    scoped.only(*SECTIONS, "```bash {.check environment=cloud}\ntrue\n```\n")
    done = scoped.run("list")
    assert done.returncode == 2
    line = scoped.line(PAGE, "environment=cloud")
    assert done.stderr == (
        f"{PAGE}:{line}: this block is for environment `cloud`, where extra/two is not meant to run;"
        " name it under `procedures` of cloud in runbook-checks.yml, or take the block out\n"
    )


def test_an_alert_whose_procedure_runs_elsewhere_has_one_all_the_same(scoped: Repository) -> None:
    rules = "groups: [{name: g, rules: [{alert: Slow, expr: up, annotations: {runbook_url: /runbooks/extra/#two}}]}]\n"
    scoped.write("rules.yml", rules)
    scoped.replace("runbook-checks.yml", "environments:", "alerts: [rules.yml]\nenvironments:")
    (slow, *_) = document(scoped.run("alerts", "--json", "--environment", "cloud"))["alerts"]
    assert slow["procedures"] == [{"id": "extra/two", "status": None, "last_drill": None}]
    shown = scoped.run("alerts", "--environment", "cloud").stdout
    assert "extra/two  not run here" in shown
    (slow, *_) = document(scoped.run("alerts", "--json"))["alerts"]
    assert slow["procedures"] == [{"id": "extra/two", "status": "unverified", "last_drill": None}]
