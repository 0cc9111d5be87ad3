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


@pytest.mark.parametrize("options", ["size=1m", "nr_inodes=20"])
def test_where_others_have_filled_the_memory_our_files_lie_on_the_disk(repository: Repository, options: str) -> None:
    fill = """mount -t tmpfs -o "$1" none /dev/shm; shift
    for n in {1..30}; do head -c 50000 /dev/zero >/dev/shm/$n || break; done 2>/dev/null; exec "$@" """
    done = subprocess.run(
        [*OWN, fill, "_", options, sys.executable, "-m", "runbook_checks", "verify", "--environment", "box"],
        cwd=repository.root,
        env={name: value for name, value in os.environ.items() if name != "TMPDIR"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, len(repository.records("extra/print", "box"))) == (0, 2), done.stderr


PAD = f": {'x' * 10000}"  # what one block leaves free when it ends has no room for the next one
FILLS = """## Fill { #fill }

```bash {.step}
echo "made /srv/x"
```
```text {.expect}
made <made>
```

```bash {.step}
FILL
```

```bash {.check #next}
touch next
PAD
```

```bash {.rollback}
touch rolled-back
PAD
```

```bash {.cleanup}
PAD
TIDY
touch cleaned
```

```bash {.cleanup}
true
```
"""


def fills(repository: Repository, fill: str, tidy: str, pad: str = PAD) -> None:
    repository.only(FILLS.replace("FILL", fill).replace("TIDY", tidy).replace("PAD", pad))
    repository.write(".gitignore", "next\nrolled-back\ncleaned\n")


def ran(repository: Repository) -> list[str]:
    """Return what has run, by the files that it has made."""
    return [name for name in ("next", "rolled-back", "cleaned") if (repository.root / name).exists()]


@pytest.mark.parametrize("tidy", ['rm "$filler"', "false"])
def test_on_a_disk_that_a_step_has_filled_what_cleans_up_runs_in_its_shell_and_nobody_is_judged(
    repository: Repository, tidy: str
) -> None:
    fills(repository, 'filler=$(mktemp)\nhead -c 20000000 /dev/zero >"$filler" || true', tidy)
    tmp = {"TMPDIR": str(repository.root / "small")}
    code, said = on_small_disk(repository, "small", "size=1m", "verify", "--environment", "box", **tmp)
    assert code == 2
    assert "docs/runbooks/extra.md:19: check next could not begin: No space left on device" in said
    assert ("extra/fill is not judged; what cleans up has run" in said) == (tidy != "false")
    assert (": cleanup fill-cleanup-1 exited with 1, expected 0" in said) == (tidy == "false")
    assert ran(repository) == ["rolled-back", *(["cleaned"] * (tidy != "false"))]
    assert repository.records("extra/fill", "box") == ()
    assert repository.left() == ([], [])


def test_where_what_was_kept_free_is_not_enough_what_cleans_up_runs_elsewhere(repository: Repository) -> None:
    """The shell of the blocks is lost with their variables; captures are kept."""
    fill = 'head -c 20000000 /dev/zero >"$TMPDIR/filler" || true'
    fills(repository, fill, 'test "$made" = /srv/x', PAD * 4)
    tmp = {"TMPDIR": str(repository.root / "small")}
    code, said = on_small_disk(repository, "small", "size=1m", "verify", "--environment", "box", **tmp)
    assert (code, ran(repository)) == (2, ["rolled-back", "cleaned"]), said
    assert "extra/fill is not judged; what cleans up has run" in said
    assert repository.left() == ([], [])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_temporary_folder_what_cleans_up_runs_elsewhere(repository: Repository, workers: str) -> None:
    fills(repository, 'rm -rf "$TMPDIR"', 'test "$made" = /srv/x')
    (repository.root / "gone").mkdir()
    arguments = ("verify", "--environment", "box", "--workers", workers)
    done = repository.run(*arguments, TMPDIR=str(repository.root / "gone"))
    assert "Traceback" not in done.stderr
    assert (done.returncode, ran(repository)) == (1, ["rolled-back", "cleaned"]), done.stderr
    (record,) = repository.records("extra/fill", "box")
    assert "our files removed" in record.reason
    assert repository.left() == ([], [])


def test_evidence_that_becomes_read_only_meanwhile_is_an_error_after_cleaning_up(repository: Repository) -> None:
    name = ".runbook-checks/evidence"
    fills(repository, f"mount -o remount,ro {name}", "true")
    code, said = on_small_disk(repository, name, "size=1m", "verify", "--environment", "box")
    assert code == 2
    assert "box/extra/fill.jsonl: the evidence could not be written: Read-only file system" in said
    assert (repository.root / "cleaned").exists()


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
