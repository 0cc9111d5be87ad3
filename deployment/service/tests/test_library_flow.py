"""The flow that the infrastructure page runs on MariaDB, here on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys


def flow(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ia_service.library_flow", *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_wires_the_library_as_a_replica_does_and_meets_its_managers_known_mistake(empty_database: str) -> None:
    # On PostgreSQL nexusql replaces ":mode" inside ":mode_violation" too: the service has a manager of its own.
    done = flow(empty_database)
    assert (done.returncode, done.stdout) == (1, "list: 6 pipelines\n"), done.stderr
    assert 'column "null_violation" does not exist' in done.stderr


def test_what_a_service_needs_besides_is_there(empty_database: str) -> None:
    done = flow(empty_database, "--limits")
    assert done.stdout == (
        "what another connection has committed is seen\ntimes are whole\nhalf of a failed migration stays\n"
    ), done.stderr


def test_a_wrong_option_and_a_database_that_is_not_there_are_refused(database: str) -> None:
    wrong = flow(database, "--unknown")
    assert (wrong.returncode, wrong.stderr.startswith("Usage: ")) == (2, True)
    gone = flow("postgresql://ia@127.0.0.1:1/none")
    assert (gone.returncode, gone.stderr) == (1, "library_flow: the library cannot connect\n")
