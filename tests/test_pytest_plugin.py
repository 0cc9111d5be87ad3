"""Procedures as pytest items, in a user's own pytest session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from repository import Repository

PAGE = "docs/runbooks/site.md"
TAGGED = """
## Tagged { #tagged }
```yaml {.procedure}
tags: [xfail, skip, _x, "a b"]
```
```bash {.check}
false
```
"""
STEP_AND_BARE_FENCE = """
## One { #one }
```python {.step}
import os
print("in a session", "RUNBOOK_CHECKS_SESSION" in os.environ)
```
```text {.expect}
in a session True
```
```python
raise SystemExit("a bare fence ran")
```
"""
TORN = """---
runbook: {owner: [
---
```python
raise SystemExit("a page with torn front matter ran")
```
"""


def test_a_node_id_runs_one_procedure(repository: Repository) -> None:
    done = repository.pytest(f"{PAGE}::publish", "-v", autoload=True)
    assert done.returncode == 0, done.stdout
    assert f"{PAGE}::publish PASSED" in done.stdout
    assert len(repository.records("site/publish")) == 1
    assert repository.left() == ([], [])


def test_prerequisites_run_once_and_first_whatever_the_selection(repository: Repository) -> None:
    done = repository.pytest(f"{PAGE}::look", f"{PAGE}::publish", "-v")
    assert done.returncode == 0, done.stdout
    assert done.stdout.index("::publish PASSED") < done.stdout.index("::look PASSED")
    assert len(repository.records("site/publish")) == 1
    assert repository.pytest(f"{PAGE}::look").returncode == 0
    assert len(repository.records("site/publish")) == 2


def test_markdown_docs_runs_examples_of_ordinary_pages_and_never_a_block_of_a_runbook(repository: Repository) -> None:
    repository.only(STEP_AND_BARE_FENCE)
    done = repository.pytest("--markdown-docs", "docs", "-v", autoload=True)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    repository.replace("docs/guide/example.md", "== 2", "== 3")
    assert "an ordinary example" in repository.pytest("--markdown-docs", "docs/guide").stdout


def test_pytest_alone_runs_no_procedure_and_leaves_none_to_others(repository: Repository) -> None:
    repository.only(STEP_AND_BARE_FENCE)
    done = repository.pytest("--markdown-docs", "-v", autoload=True)
    assert "1 passed" in done.stdout
    assert "::" not in done.stdout.replace("example.md::", "")
    repository.write("pytest.ini", "[pytest]\ntestpaths = docs\n")
    for arguments in ([], ["-p", "xdist", "-n", "2"]):
        done = repository.pytest(*arguments, "-v")
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout
    assert "1 passed" in repository.pytest("docs", "-p", "xdist", "-n", "2").stdout


def test_broken_front_matter_keeps_a_page_from_everybody(repository: Repository) -> None:
    fence = "`" * 3
    repository.write(
        "docs/guide/torn.md", f"---\nrunbook: {{owner: [\n---\n{fence}python\nraise SystemExit(9)\n{fence}\n"
    )
    done = repository.pytest("--markdown-docs", "docs/guide", "-v")
    assert "1 passed" in done.stdout
    assert "torn" not in done.stdout


def test_a_failure_shows_the_page_and_never_our_internals(repository: Repository) -> None:
    repository.replace(PAGE, "published <bytes>", "printed <bytes>")
    done = repository.pytest(f"{PAGE}::publish")
    assert done.returncode == 1
    line = repository.line(PAGE, "printed <bytes>") - 1
    assert f"{PAGE}:{line}: stdout is not what the page says" in done.stdout
    assert "- printed <bytes> bytes as ...\n+ published 6 bytes as [redacted]" in done.stdout
    assert "runbook_checks/" not in done.stdout


def test_marks_select_roles_and_tags_and_never_change_what_a_run_means(repository: Repository) -> None:
    collected = repository.pytest("docs", "--collect-only", "-q", "-m", "destructive and web", "--strict-markers")
    assert collected.stdout.splitlines()[0] == f"{PAGE}::publish"
    assert "1/3 tests collected" in collected.stdout
    repository.only(TAGGED)
    done = repository.pytest("docs", "--strict-markers")
    assert done.returncode == 1
    assert "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("environment", "said"), [("production", "is protected"), ("bare", "has a setup block"), ("claimed", "setup block")]
)
def test_guards_hold_without_the_command_line_too(repository: Repository, environment: str, said: str) -> None:
    done = repository.pytest(f"{PAGE}::publish", "--runbook-environment", environment)
    assert done.returncode == 1
    assert said in done.stdout
    assert repository.records("site/publish", environment) == ()


def test_an_unknown_environment_fails_the_collection(repository: Repository) -> None:
    done = repository.pytest("docs", "--runbook-environment", "nope")
    assert done.returncode == 2
    assert "there is no environment 'nope'" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_source_error_fails_the_collection_with_its_place(repository: Repository) -> None:
    repository.replace(PAGE, "needs: [publish]", "needs: [publsh]")
    done = repository.pytest("docs")
    assert done.returncode == 2
    assert f"{PAGE}:{repository.line(PAGE, 'publsh') - 1}: needs `publsh`, which is no procedure" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_stack_that_stays_is_an_error_of_the_session(repository: Repository) -> None:
    repository.replace("scripts/stack", "  down) ", "  down) echo stuck; exit 5 ;;\n  never) ")
    done = repository.pytest(f"{PAGE}::publish")
    assert done.returncode == 3
    assert "stack down failed: `scripts/stack down` exited with 5\nstuck" in done.stderr
    assert repository.left()[0] == []
