"""Groups for workers: what shares prerequisites stays together, and a lost worker takes one procedure with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from repository import document

from runbook_checks.catalog import load
from runbook_checks.scheduling import groups_of

if TYPE_CHECKING:
    from pathlib import Path

    from repository import Repository

PAGE = """---
runbook: {{owner: o}}
---
{sections}
"""
SECTION = """
## {name} {{ #{name} }}

```yaml {{.procedure}}
needs: [{needs}]
```

```bash {{.check}}
true
```
"""
OKAY = '## {0} {{ #{0} }}\n```bash {{.step}}\necho {0} >>"$OUT"\n```\n```bash {{.check}}\ntrue\n```\n'
KILLS = "## k {{ #k }}\n```bash {{.step}}\n{0}\n```\n```bash {{.check}}\ntrue\n```\n"


# What makes the moment long in which a worker is there and does not know its procedures yet.
SLOW = """
import pathlib, time
def pytest_collection(session):
    if pathlib.Path("replacing").exists() and hasattr(session.config, "workerinput"):
        pathlib.Path("collecting").touch()
        time.sleep(2)
"""


# As who is short of memory does it: workers are killed before they can begin.
SHORT = """
import os, pathlib
if os.environ.get("PYTEST_XDIST_WORKER") and pathlib.Path("{0}").exists():
    os.kill(os.getpid(), 9)
"""


def groups(tmp_path: Path, **needs: str) -> list[set[str]]:
    sections = "".join(SECTION.format(name=name, needs=listed) for name, listed in needs.items())
    page = tmp_path / "p.md"
    page.write_text(PAGE.format(sections=sections))
    catalog = load(tmp_path, [page])
    found: dict[str, set[str]] = {}
    for node_id, group in groups_of(catalog, catalog.procedures).items():
        found.setdefault(group, set()).add(node_id.rpartition("::")[2])
    return sorted(found.values(), key=sorted)


def test_a_chain_and_what_shares_a_prerequisite_with_it_is_one_group(tmp_path: Path) -> None:
    assert groups(tmp_path, build="", deploy="build", watch="deploy", other="build", alone="") == [
        {"alone"},
        {"build", "deploy", "other", "watch"},
    ]


def test_procedures_that_need_nothing_are_groups_of_their_own(tmp_path: Path) -> None:
    assert groups(tmp_path, a="", b="") == [{"a"}, {"b"}]


def test_two_groups_that_a_third_procedure_needs_become_one(tmp_path: Path) -> None:
    assert groups(tmp_path, a="", b="", both="a, b") == [{"a", "b", "both"}]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (1, 1), (2, 0), (1, 3), (3, 2), (0, 4)])
def test_the_run_goes_on_without_the_worker_and_ends(
    repository: Repository, before: int, after: int, workers: int
) -> None:
    names = [f"p{number}" for number in range(before + after)]
    killing = KILLS.format('kill -9 "$PPID"; sleep 5')
    sections = [OKAY.format(name) for name in names]
    repository.only(*sections[:before], killing, *sections[before:])
    out = repository.root.parent / "out"
    out.touch()
    done = repository.run("verify", "--environment", "box", "--json", "--workers", str(workers), OUT=str(out))
    assert done.returncode == 1, done.stderr
    records = {record["procedure"]: record["outcome"] for record in document(done)["records"]}
    assert records == {"extra/k": "failed", **{f"extra/{name}": "passed" for name in names}}
    assert sorted(out.read_text().split()) == names


def test_a_worker_that_is_killed_while_another_one_is_replaced_takes_one_procedure_with_it_too(
    repository: Repository,
) -> None:
    names = [f"p{number}" for number in range(5)]
    first = KILLS.format('touch replacing; kill -9 "$PPID"; sleep 5')
    second = KILLS.format('until [[ -e collecting ]]; do sleep 0.1; done\nsleep 0.5; kill -9 "$PPID"; sleep 5')
    second = second.replace("## k { #k }", "## l { #l }")
    repository.only(first, second, *(OKAY.format(name) for name in names))
    repository.write("conftest.py", SLOW)
    out = repository.root.parent / "out"
    done = repository.run("verify", "--environment", "box", "--json", "--workers", "2", OUT=str(out))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    records = {record["procedure"]: record["outcome"] for record in document(done)["records"]}
    failed = {"extra/k": "failed", "extra/l": "failed"}
    assert records == {**failed, **{f"extra/{name}": "passed" for name in names}}
    assert sorted(out.read_text().split()) == names


@pytest.mark.parametrize(
    ("since", "told"), [("replacing", "2 of 4 procedures were not run"), ("docs", "nothing was run")]
)
def test_what_no_worker_was_left_for_is_told(repository: Repository, since: str, told: str) -> None:
    killing = KILLS.format('touch replacing; kill -9 "$PPID"; sleep 5')
    repository.only(OKAY.format("a"), killing, OKAY.format("b"), OKAY.format("c"))
    repository.write("conftest.py", SHORT.format(since))
    out = repository.root.parent / "out"
    none = {"PYTEST_XDIST_WORKER": ""}  # it may be a worker of xdist that runs this test
    done = repository.run("verify", "--environment", "box", "--json", "--workers", "1", OUT=str(out), **none)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False), done.stderr
    assert f"workers were ended before they could begin: {told}" in done.stderr
    outcomes = [record["outcome"] for record in document(done)["records"]]
    assert outcomes == (["passed", "failed"] if since == "replacing" else [])


def test_a_run_that_ends_at_its_first_failure_leaves_the_rest_as_it_was_asked_to(repository: Repository) -> None:
    fails = [KILLS.format("false").replace("## k { #k }", f"## f{number} {{ #f{number} }}") for number in range(6)]
    repository.only(KILLS.format('kill -9 "$PPID"; sleep 5'), *fails)
    out = repository.root.parent / "out"
    done = repository.run("verify", "--environment", "box", "-x", "--workers", "1", OUT=str(out))
    assert "extra/k" in done.stderr
    assert done.stderr.count("failed on box") == 1
    assert (done.returncode, "before they could begin" in done.stderr) == (1, False), done.stderr
