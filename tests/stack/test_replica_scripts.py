"""The scripts that say which replicas serve, on a real stack; and what every script for replicas refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from stack.requests import EVEN, SCRIPTS, execute
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack


@contextmanager
def reads(stack: Stack) -> Iterator[Counter[int]]:
    """Reads through the load balancer, from a few clients at once; counts the statuses of the answers."""
    api, over, statuses = stack.env()["API_URL"], threading.Event(), Counter[int]()

    def ask() -> None:
        while not over.is_set():
            try:
                with urlopen(f"{api}/version", timeout=30) as answer:
                    statuses[answer.status] += 1
            except HTTPError as error:
                statuses[error.code] += 1
            time.sleep(0.02)

    clients = [threading.Thread(target=ask) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        yield statuses
    finally:
        over.set()
        for client in clients:
            client.join()


@contextmanager
def slow_balancer(stack: Stack) -> Iterator[None]:
    """Let the load balancer stand still for longer than a replica drains, again and again."""
    pid, over = int(stack.shell("supervisorctl pid envoy").stdout), threading.Event()

    def hold_up() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGSTOP)
            over.wait(1.5)
            os.kill(pid, signal.SIGCONT)
            over.wait(0.3)

    holding = threading.Thread(target=hold_up)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()


@pytest.mark.parametrize(
    ("script", "argument"),
    [
        ("weights", ""),
        ("rollout", "x"),
        ("reconfigure", "X=1"),
        ("restart", ""),
        ("scale", "2"),
        ("shed", ""),
        ("rotate", "redis"),
        ("watch", ""),
    ],
)
def test_each_script_explains_itself_and_says_what_it_lacks(stack: Stack, script: str, argument: str) -> None:
    assert stack.shell(f"{SCRIPTS}/{script}.sh --help").stdout.startswith(f"Usage: {SCRIPTS}/{script}.sh")
    bare = stack.shell(f"env -i PATH=/usr/bin:/bin {SCRIPTS}/{script}.sh {argument}")
    assert bare.returncode == 2
    assert "is not set; take it from" in bare.stderr


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("weights.sh a=60 b=60", "the shares are 120 % in all, not 100"),
        ("weights.sh a=100", "name every replica in service once: a b"),
        ("weights.sh a=50 z=50", "no replica 'z' in service"),
        ("weights.sh a=-1 b=101", "expected REPLICA=PERCENT"),
        ("rollout.sh 9.9.9", "no release 9.9.9"),
        ("rollout.sh 0.1.3 --stages 50,5,100", "the stages must rise"),
        ("rollout.sh 0.1.3 --stages 5,50", "the last stage must be 100"),
        ("rollout.sh 0.1.3 --stages ''", "expected --stages like 5,25,50,100"),
        ("reconfigure.sh pool_size=3", "a name in capitals"),
        ("reconfigure.sh SERVICE_NAME=x", "is each replica's own"),
        ("reconfigure.sh $'LOG_LEVEL=INFO\\nX=1'", "line breaks or control characters"),
        ("reconfigure.sh REDIS_URL </dev/null", "no value for REDIS_URL came from standard input"),
        ("reconfigure.sh POOL_SIZE=plenty", "the service does not accept this configuration; nothing was changed"),
        ("restart.sh a/../b", "no replica 'a/../b' in service"),
        ("scale.sh 0", "expected a number of replicas"),
        ("scale.sh 5", "there are places for 4 replicas: a b c d"),
        ("shed.sh 101", "expected one whole number from 0 to 100"),
        ("rotate.sh database", "Usage:"),
        ("watch.sh now", "Usage:"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_touched(stack: Stack, command: str, reason: str) -> None:
    state = 'cat "$ENDPOINTS_FILE" "$SERVICE_ENV" && supervisorctl pid service-a'
    before = stack.shell(state).stdout
    assert before.splitlines()[-1].isdigit(), "no process to leave alone"
    done = stack.shell(f"{SCRIPTS}/{command}")
    assert done.returncode == 2, done.stdout
    assert reason in done.stderr
    assert stack.shell(state).stdout == before


def test_shedding_turns_executions_away_and_nothing_else(stack: Stack) -> None:
    api = stack.env()["API_URL"]
    assert stack.shell(f"{SCRIPTS}/shed.sh 100").stdout == "shedding 100 % of new executions\n"
    try:
        status, body = execute(api)
        assert (status, json.loads(body)["error"]) == (503, "shed")
        with urlopen(f"{api}/api/pipelines", timeout=10) as answer:
            assert answer.status == 200
    finally:
        assert stack.shell(f"{SCRIPTS}/shed.sh 0").stdout == "shedding 0 % of new executions\n"
    assert execute(api)[0] == 202
    assert stack.shell(f"{SCRIPTS}/shed.sh").stdout == "shedding 0 % of new executions\n"


def test_requests_follow_the_shares(stack: Stack) -> None:
    api = stack.env()["API_URL"]

    def ask(times: int) -> Counter[str]:
        replicas: Counter[str] = Counter()
        for _ in range(times):
            with urlopen(f"{api}/version", timeout=10) as answer:
                replicas[json.load(answer)["replica"]] += 1
        return replicas

    try:
        assert stack.shell(f"{SCRIPTS}/weights.sh a=20 b=80").stdout == "service-a: 20 %\nservice-b: 80 %\n"
        assert abs(ask(200)["service-a"] - 40) <= 8
        assert stack.shell(f"{SCRIPTS}/weights.sh b=0 a=100").returncode == 0
        assert ask(30) == {"service-a": 30}
        drained = stack.shell(f"{SCRIPTS}/restart.sh")
        assert drained.returncode == 1
        assert "service-b gets no requests; share them first: deployment/scripts/weights.sh a=50 b=50" in drained.stderr
    finally:
        assert stack.shell(f"{SCRIPTS}/weights.sh a=50 b=50").stdout == EVEN


def test_a_rolling_restart_loses_nothing_while_the_load_balancer_is_slow(stack: Stack) -> None:
    # A busy machine, made certain: it learns everything late, what a replica says at /ready too.
    with slow_balancer(stack), reads(stack) as statuses:
        done = stack.shell(f"{SCRIPTS}/restart.sh")
    assert done.stdout.endswith("restarted 2 replicas\n"), done.stderr
    assert set(statuses) == {200}, statuses
    assert statuses[200] > 50
    assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == EVEN


@pytest.mark.parametrize("state", [": 0 %", "health checks"])
def test_an_interrupted_restart_leaves_all_replicas_in_service(stack: Stack, state: str) -> None:
    command = ["bash", f"{SCRIPTS}/restart.sh", "b"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | stack.env(), stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as restart:
        # Out of the load balancer, or stopped already: for a moment, so nothing else is started to look at it.
        seen = f"until {SCRIPTS}/weights.sh | grep --quiet 'service-b.*{state}'; do :; done"
        assert stack.shell('timeout 60 bash -c "$SEEN"', SEEN=seen).returncode == 0
        os.killpg(restart.pid, signal.SIGINT)
        _, errors = restart.communicate(timeout=60)
    assert restart.returncode == 1
    assert "restart.sh: interrupted" in errors
    deadline = time.monotonic() + 60
    while stack.shell(f"{SCRIPTS}/weights.sh").stdout != EVEN:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert stack.run("health").returncode == 0


def test_a_restart_keeps_uneven_shares(stack: Stack) -> None:
    try:
        assert stack.shell(f"{SCRIPTS}/weights.sh a=90 b=10").returncode == 0
        assert stack.shell(f"{SCRIPTS}/restart.sh a").returncode == 0
        assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == "service-a: 90 %\nservice-b: 10 %\n"
    finally:
        assert stack.shell(f"{SCRIPTS}/weights.sh a=50 b=50").stdout == EVEN


def test_what_a_replica_got_is_shared_out_as_before() -> None:
    def shared(*shares: int) -> str:
        said = "\n".join(f"{name} {share} healthy 0 0 0" for name, share in zip("abc", shares, strict=True))
        program = f'source {SCRIPTS}/balancer.sh; without b <<<"$SAID"'
        command = ["bash", "-euc", program]
        env = os.environ | {"SAID": said}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    assert shared(34, 33, 33) == "a=51\nb=0\nc=49\n"
    assert shared(5, 95, 0) == "a=100\nb=0\nc=0\n"
    assert shared(1, 1, 98) == "a=1\nb=0\nc=99\n"


def test_a_third_replica_serves_and_goes_again(stack: Stack) -> None:
    variables = stack.env()
    targets = Path(variables["TARGETS_DIR"]) / "service.json"
    before = json.loads(targets.read_text())
    out = stack.shell(f"{SCRIPTS}/scale.sh 3")
    assert out.stdout.endswith("3 replicas serve: a b c\n"), out.stderr
    assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == "service-a: 34 %\nservice-b: 33 %\nservice-c: 33 %\n"
    assert [target["labels"]["replica"] for target in json.loads(targets.read_text())] == ["a", "b", "c"]
    with urlopen(f"{variables['SERVICE_C_URL']}/health", timeout=10) as answer:
        assert answer.status == 200

    back = stack.shell(f"{SCRIPTS}/scale.sh 2")
    assert back.stdout.endswith("2 replicas serve: a b\n"), back.stderr
    assert stack.shell(f"{SCRIPTS}/weights.sh").stdout == EVEN
    assert json.loads(targets.read_text()) == before
    assert "STOPPED" in stack.shell("supervisorctl status service-c").stdout
    assert stack.run("health").returncode == 0
