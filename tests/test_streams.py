"""Standard streams that are closed, full, or read by nobody: no traceback, and nothing in the wrong file."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from repository import OKAY, document

if TYPE_CHECKING:
    from repository import Repository

TOLD = (
    ("list",),
    ("list", "--json"),
    ("status",),
    ("status", "--json"),
    ("status", "--metrics"),
    ("evidence", "check"),
    ("--version",),
    ("--help",),
    ("list", "--help"),
)
# argparse ignores that its help cannot be written, when it notices
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def shell(repository: Repository, redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line from a shell that redirects its streams."""
    command = f'exec "$@" {redirected}'
    return subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-m", "runbook_checks", *arguments],
        cwd=repository.root,
        env=BUFFERED,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", TOLD, ids=" ".join)
def test_an_output_that_is_closed_is_an_error_in_one_line(repository: Repository, arguments: tuple[str, ...]) -> None:
    done = shell(repository, ">&-", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "standard output is closed\n")


@pytest.mark.parametrize("arguments", TOLD, ids=" ".join)
def test_an_output_that_is_full_is_an_error_in_one_line(repository: Repository, arguments: tuple[str, ...]) -> None:
    done = shell(repository, ">/dev/full", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "[Errno 28] No space left on device\n")


@pytest.mark.parametrize("arguments", TOLD, ids=" ".join)
def test_a_reader_that_has_gone_ends_it_quietly(repository: Repository, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "runbook_checks", *arguments],
            cwd=repository.root,
            env=BUFFERED,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "<&- 2>&-", ">&-", "2>&-"])
def test_a_run_without_streams_keeps_whole_evidence(repository: Repository, closed: str) -> None:
    """The descriptor of a closed stream would be that of the next file: blocks and commands would print into it."""
    repository.only(OKAY)
    done = shell(repository, closed, "verify")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    (record,) = repository.records("extra/okay")
    assert record.blocks[0].exit_status == 0
    assert repository.left() == ([], [])


def test_what_is_said_on_a_closed_standard_error_goes_nowhere_else(repository: Repository) -> None:
    done = shell(repository, "2>&-", "list", "nonsense")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_the_document_is_whole_without_standard_error(repository: Repository) -> None:
    repository.only(OKAY)
    done = shell(repository, "2>&- <&-", "verify", "--json")
    assert [one["outcome"] for one in document(done)["records"]] == ["passed"]
