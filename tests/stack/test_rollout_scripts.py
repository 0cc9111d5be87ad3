"""The scripts that bring a release to all replicas, and back, on a real stack with real requests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from stack.requests import EVEN, SCRIPTS, traffic
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack


@pytest.fixture
def release(stack: Stack) -> Iterator[str]:
    """A release that is as good as the deployed one and has another name."""
    assert stack.shell("deployment/staging/copy-release.sh another").returncode == 0
    yield "another"
    stack.shell('rm -r "$RELEASES_DIR/another"')


@pytest.fixture
def bad_release(stack: Stack) -> Iterator[str]:
    """A release whose replicas are healthy and fail what they execute."""
    made = stack.shell("deployment/staging/faults/bad-release.sh bad")
    assert made.returncode == 0, made.stderr
    yield "bad"
    stack.shell('rm -r "$RELEASES_DIR/bad"')


def releases(stack: Stack) -> list[str]:
    """Return what each replica says that it runs."""
    said = []
    for name in ("SERVICE_A_URL", "SERVICE_B_URL"):
        with urlopen(f"{stack.env()[name]}/version", timeout=10) as answer:
            said.append(json.load(answer)["release"])
    return said


def recorded(stack: Stack, name: str) -> str | None:
    """Return what a file of the replicas' folder holds."""
    path = Path(stack.env()["REPLICAS_DIR"]) / name
    return path.read_text().strip() if path.exists() else None


def assert_as_before(stack: Stack, release: str | None) -> None:
    """Both replicas run that release, take requests evenly, and nothing is left of what was tried."""
    assert releases(stack) == [release, release]
    assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == EVEN
    assert recorded(stack, ".deployed") == release
    assert recorded(stack, ".previous") is None
    assert recorded(stack, ".rolling") is None
    assert stack.run("health").returncode == 0


@contextmanager
def running_rollout(stack: Stack, release: str) -> Iterator[subprocess.Popen[str]]:
    """A rollout that has come to its first stage and waits there for requests."""
    command = ["bash", f"{SCRIPTS}/rollout.sh", release, "--stages", "10,100"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | stack.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as rollout:
        deadline = time.monotonic() + 60
        while "service-b: 10 %" not in stack.shell(f"{SCRIPTS}/weights.sh").stdout:
            assert rollout.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield rollout


def test_a_good_release_is_rolled_out_and_can_be_rolled_back(stack: Stack, release: str) -> None:
    before = recorded(stack, ".deployed")
    with traffic(stack):
        done = stack.shell(f"{SCRIPTS}/rollout.sh {release} --stages 40,100", REQUESTS="100")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("stage ")]
    assert [line.split(" %")[0] for line in lines] == ["stage 40", "stage 100"]
    assert abs(float(lines[0].split(" requests, ")[1].split(" %")[0]) - 40) < 5
    assert " 100.0 % to service-b, 0.0 % of " in lines[1]
    assert done.stdout.endswith(f"rolled out {release} on 2 replicas\n")
    assert releases(stack) == [release, release]
    assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == EVEN
    assert stack.shell(f"{SCRIPTS}/rollback.sh").returncode == 0
    assert_as_before(stack, before)


def test_a_release_that_fails_its_executions_is_taken_back(stack: Stack, bad_release: str) -> None:
    before = recorded(stack, ".deployed")
    with traffic(stack):
        done = stack.shell(f"{SCRIPTS}/rollout.sh {bad_release} --stages 30,100", REQUESTS="10000")
    assert done.returncode == 1
    assert "stopped at 30 %: 100.0 % of" in done.stderr
    assert done.stdout.endswith(f"returned to {before}\n")
    assert_as_before(stack, before)


def test_a_rollout_without_traffic_proves_nothing_and_is_taken_back(stack: Stack, release: str) -> None:
    before = recorded(stack, ".deployed")
    done = stack.shell(f"{SCRIPTS}/rollout.sh {release}", STAGE_S="1")
    assert done.returncode == 1
    assert "stopped at 5 %: too little to judge in 1 s, 0 requests of 2000" in done.stderr
    assert_as_before(stack, before)


def test_an_interrupted_rollout_returns(stack: Stack, release: str) -> None:
    before = recorded(stack, ".deployed")
    with running_rollout(stack, release) as rollout:
        second = stack.shell(f"{SCRIPTS}/deploy.sh 0.1.3")
        assert "another deploy or rollback is running" in second.stderr
        # All of its group, as Ctrl-C does: what it has started ends with it.
        os.killpg(rollout.pid, signal.SIGTERM)
        said, errors = rollout.communicate(timeout=60)
    assert rollout.returncode == 1
    assert "rollout.sh: interrupted" in errors
    assert said.endswith(f"returned to {before}\n")
    assert_as_before(stack, before)


def test_a_killed_rollout_is_mended_by_a_rollback(stack: Stack, release: str) -> None:
    before = recorded(stack, ".deployed")
    with running_rollout(stack, release) as rollout:
        rollout.kill()
    assert sorted(releases(stack)) == sorted([str(before), release])
    done = stack.shell(f"{SCRIPTS}/rollback.sh")
    assert done.returncode == 0, done.stderr
    assert_as_before(stack, before)


def test_a_watch_says_what_has_become_worse(stack: Stack) -> None:
    assert stack.shell('date +%s >"$REPLICAS_DIR/.changed"').returncode == 0
    with traffic(stack, pipeline="fail", input={"text": "one", "fail": True}):
        done = stack.shell(f"{SCRIPTS}/watch.sh", WATCH_S="60", EVERY_S="1")
    assert done.returncode == 1
    assert "worse than before: more executions fail; go back with deployment/scripts/rollback.sh" in done.stderr
