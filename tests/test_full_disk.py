"""A full disk, a real one: a clear error, no traceback, and the evidence that was there is there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from records import record
from repository import Repository, copy_sample

from runbook_checks.record import from_line
from runbook_checks.store import Store

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """## Print { #print }

```bash {.step}
head -c 20000 /dev/zero | tr '\\0' x
```

```bash {.check}
true
```
"""
# A file system of our own in a namespace of our own: it needs no root, and goes with the process.
OWN = ("unshare", "--user", "--map-root-user", "--mount", "bash", "-euc")
FULL = 'kept=$(mktemp -d -p ..) && cp -r "$1/." "$kept" && mount -t tmpfs -o "$2" none "$1" && cp -r "$kept/." "$1"'


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    copied = copy_sample(tmp_path)
    copied.only(PAGE)
    Store(copied.root / ".runbook-checks/evidence").append(record(procedure="extra/print", environment="box"))
    return copied


def on_small_disk(
    repository: Repository, folder: str, options: str, *arguments: str, **environ: str
) -> tuple[int, str]:
    """Run a command while a folder lies on a small disk, keep what is there then, and return how the command ended."""
    (repository.root / folder).mkdir(parents=True, exist_ok=True)
    script = f'{FULL}; shift 2; status=0; "$@" || status=$?; cp -r {folder}/. left; exit "$status"'
    done = subprocess.run(
        [*OWN, script, "_", folder, options, sys.executable, "-m", "runbook_checks", *arguments],
        cwd=repository.root,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("size", ["20k", "8k"])
def test_evidence_that_does_not_fit_is_an_error_and_the_old_is_intact(repository: Repository, size: str) -> None:
    name = ".runbook-checks/evidence"
    before = (repository.root / name / "box/extra/print.jsonl").read_text()
    code, said = on_small_disk(repository, name, f"size={size}", "verify", "--environment", "box")
    assert code == 2
    assert "box/extra/print.jsonl: the evidence could not be written: No space left on device" in said
    after = (repository.root / "left/box/extra/print.jsonl").read_text()
    assert after in {before, before + "\n"}
    assert from_line(after.splitlines()[0])


def test_a_temporary_folder_without_room_is_an_error_and_no_failure(repository: Repository) -> None:
    tmp = {"TMPDIR": str(repository.root / "small")}
    code, said = on_small_disk(repository, "small", "size=64k,nr_inodes=3", "verify", "--environment", "box", **tmp)
    assert code == 2
    assert "No space left on device" in said
    assert len(repository.records("extra/print", "box")) == 1


def test_a_report_that_cannot_be_written_is_an_error_and_the_evidence_is_kept(repository: Repository) -> None:
    (repository.root / ".gitignore").write_text("junit\n")
    arguments = ("verify", "--environment", "box", "--junitxml", "junit/junit.xml")
    code, said = on_small_disk(repository, "junit", "size=4k,nr_inodes=1", *arguments)
    assert code == 2
    assert "No space left on device" in said
    assert len(repository.records("extra/print", "box")) == 2


def test_a_site_that_does_not_fit_is_an_error(repository: Repository) -> None:
    repository.write("docs/index.md", "# Home\n")
    repository.write(
        "mkdocs.yml",
        "site_name: x\ntheme: {name: material, font: false}\nplugins: [runbook-checks]\n"
        "markdown_extensions: [attr_list, pymdownx.superfences]\n",
    )
    code, said = on_small_disk(repository, "site", "size=256k", "site", "build")
    assert code == 2
    assert "No space left on device" in said
