"""What the command line chooses is collected wherever it lies, and nothing else is."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from repository import Repository, document

CONFIG = """\
pages: [docs, .ops, top.md]
environments: {local: {disposable: true}, box: {disposable: true}}
"""
PAGE = """\
---
runbook: {{}}
---
# Page
## One {{ #{0}-one }}
```bash {{.check}}
true
```
## Two {{ #{0}-two }}
```bash {{.check}}
true
```
"""
PAGES = ("docs/b/deep/b.md", "docs/a.md", "docs/build/c.md", "docs/a/d.md", ".ops/e.md", "top.md")
MISSING = """
import sys
from pathlib import Path
import pytest
from runbook_checks.choosing import Chosen
from runbook_checks.config import load_config
from runbook_checks.report import load_catalog
config = load_config(Path("runbook-checks.yml").resolve())
chosen = Chosen(("docs/a.md::a-one", "docs/a.md::gone", "docs/gone.md::x"), config, load_catalog(config))
sys.exit(pytest.main(["docs", "--rootdir", ".", "-p", "runbook_checks", *sys.argv[1:]], plugins=[chosen]))
"""


@pytest.fixture
def pages(repository: Repository) -> Repository:
    """Return a repository with pages in odd places, and with what others would run beside them."""
    shutil.rmtree(repository.root / "docs" / "runbooks")
    repository.write("runbook-checks.yml", CONFIG)
    for name in PAGES:
        repository.write(name, PAGE.format(name.rpartition("/")[2].removesuffix(".md")))
    repository.write("docs/test_theirs.py", "raise SystemExit('collected')\n")
    repository.write("docs/a/conftest.py", "collect_ignore_glob = ['*']\n")
    repository.write("docs/notes.md", "# No runbook\n```python\nraise SystemExit\n```\n")
    return repository


def ran(repository: Repository, *arguments: str) -> list[str]:
    """Return what ran, in its order."""
    return [record["procedure"] for record in document(repository.run("verify", "--json", *arguments))["records"]]


def listed(repository: Repository) -> list[str]:
    """Return all public ids in the order of the catalog."""
    return [one["id"] for one in document(repository.run("list", "--json"))["procedures"]]


def test_all_run_in_the_order_of_the_catalog(pages: Repository) -> None:
    every = listed(pages)
    assert len(every) == 2 * len(PAGES)
    assert ran(pages) == every


@pytest.mark.parametrize("workers", ["0", "2"])
def test_one_runs_alone(pages: Repository, workers: str) -> None:
    assert sorted(ran(pages, "--workers", workers, "c/c-two", "top/top-one")) == ["c/c-two", "top/top-one"]


def test_keywords_still_choose_among_what_was_chosen(pages: Repository) -> None:
    assert ran(pages, "-k", "two", "a", "top") == ["a/a-two", "top/top-two"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_failed_last_runs_alone(pages: Repository, workers: str) -> None:
    pages.replace("docs/a/d.md", "true", "false")
    assert len(ran(pages)) == 2 * len(PAGES)
    assert sorted(ran(pages, "--lf", "--workers", workers)) == ["d/d-one", "d/d-two"]
    assert ran(pages, "--lf", "d") == ["d/d-one", "d/d-two"]
    assert len(ran(pages, "--lf", "--environment", "box")) == 2 * len(PAGES)  # nothing has failed there


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_a_conftest_keeps_from_running_is_told_and_nothing_runs(pages: Repository, workers: str) -> None:
    hook = "@pytest.hookimpl(tryfirst=True)\ndef pytest_ignore_collect(): return True\n"
    pages.write("docs/a/conftest.py", f"import pytest\n{hook}")
    done = pages.run("verify", "--workers", workers)
    assert done.returncode == 2
    assert "a conftest.py or a plugin of pytest keeps from running: docs/" in done.stderr
    assert not pages.records("top/top-one")


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["here", "a worker"])
def test_what_is_no_longer_there_is_told_and_nothing_runs(pages: Repository, workers: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING, *workers], cwd=pages.root, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "no longer there: docs/a.md::gone, docs/gone.md::x" in done.stdout + done.stderr
    assert not pages.records("a/a-one")
